//! The proxy over loopback: true addresses, true times.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime};

use udp_retry::Seed;
use udp_retry::fault::{Capture, Profile};
use udp_retry::proxy::Proxy;

use crate::installed::installed;
use crate::reading::{Memory, Packet, packets};
use crate::watchdog::{MINUTE, within};

const MS: u64 = 1_000_000;

#[test]
fn both_sides_of_a_proxy_are_written_with_true_addresses_and_times() {
    if !installed("both_sides_of_a_proxy_are_written_with_true_addresses_and_times", &["tshark"]) {
        return;
    }
    within(2 * MINUTE, || {
        // By the addresses on the clients' side and the service's.
        for (listen, client, service) in [
            ("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:0", "[::1]:0", "127.0.0.1:0"),
            ("127.0.0.1:0", "127.0.0.1:0", "[::1]:0"),
            // On a wildcard the proxy does not know to which address a datagram came.
            ("[::]:0", "127.0.0.1:0", "127.0.0.1:0"),
        ] {
            forwards(listen, client, service);
        }
    });
}

fn forwards(listen: &str, client: &str, service: &str) {
    let (client, service) = (UdpSocket::bind(client).unwrap(), UdpSocket::bind(service).unwrap());
    service.set_nonblocking(true).unwrap();
    client.set_nonblocking(true).unwrap();
    let [client_at, service_at] = [&client, &service].map(|it| it.local_addr().unwrap());
    let memory = Memory::default();
    let capture = Capture::new(memory.clone());
    let spec = "delay 20ms; script { drop 2; duplicate 3 after 10ms; corrupt 3 bit 0 }";
    let profile = Profile { to_server: spec.parse().unwrap(), ..Profile::default() };
    let before = nanos(SystemTime::now());
    let builder = Proxy::builder().profile(profile).seed(Seed::new(7)).capture(capture.clone());
    let mut proxy = builder.bind(listen, service_at).unwrap();
    let listener = SocketAddr::new(client_at.ip(), proxy.local_addr().port());

    for n in 1..=3 {
        client.send_to(&[n; 3], listener).unwrap();
    }
    let (mut buffer, mut heard, mut answered) = ([0; 16], Vec::new(), 0);
    let mut session = None;
    while answered < 3 {
        proxy.run_for(Duration::from_millis(1)).unwrap();
        while let Ok((len, from)) = service.recv_from(&mut buffer) {
            service.send_to(&buffer[..len], from).unwrap();
            heard.push(buffer[..len].to_vec());
            session = Some(from);
        }
        while client.recv(&mut buffer).is_ok() {
            answered += 1;
        }
    }
    let after = nanos(SystemTime::now());
    capture.finish().unwrap();
    assert_eq!(heard, [vec![1; 3], vec![0x83, 3, 3], vec![3; 3]]);

    let found = packets(&memory.bytes());
    let session = session.unwrap();
    // Where the system does not say which address was asked, a wildcard has it.
    let knows_asked = cfg!(all(any(target_os = "linux", target_os = "android"), not(udp_retry_portable)));
    let shown = match listen {
        "[::]:0" if !knows_asked => SocketAddr::new([0, 0, 0, 0].into(), listener.port()),
        _ => listener,
    };
    for packet in &found {
        let ends = match (packet.interface.as_str(), &packet.comment[..9]) {
            ("client", "to_server") => (client_at, shown),
            ("server", "to_server") => (session, service_at),
            ("server", "to_client") => (service_at, session),
            ("client", "to_client") => (shown, client_at),
            other => panic!("{other:?}"),
        };
        assert_eq!((packet.from, packet.to), ends, "{packet:?}");
        assert!((before..=after).contains(&packet.at), "{packet:?} not from {before} to {after}");
    }
    let one = |side: &str, comment: &str, payload: &[u8]| {
        let like = |it: &&Packet| (it.interface.as_str(), it.comment.as_str()) == (side, comment);
        let [packet] = found.iter().filter(like).collect::<Vec<_>>()[..] else {
            panic!("not one {comment}: {found:#?}")
        };
        assert_eq!(packet.payload, payload, "{comment}");
        packet.at
    };
    let whole = "to_server n 1: delivered after 20ms";
    let (first, second) = ("delivered after 20ms, copy 1 of 2, bits 0 flipped", "delivered after 30ms, copy 2 of 2");
    let entered = one("client", whole, &[1; 3]);
    one("client", "to_server n 2: dropped (script)", &[2; 3]);
    let third = one("client", &format!("to_server n 3: {first}; {second}"), &[3; 3]);
    // Never early, and each answer after its request.
    let left = one("server", whole, &[1; 3]);
    assert!(left >= entered + 20 * MS);
    assert!(one("server", &format!("to_server n 3: {first}"), &[0x83, 3, 3]) >= third + 20 * MS);
    assert!(one("server", &format!("to_server n 3: {second}"), &[3; 3]) >= third + 30 * MS);
    let reply = one("server", "to_client n 1: delivered", &[1; 3]);
    assert!(reply >= left && one("client", "to_client n 1: delivered", &[1; 3]) >= reply);
    assert_eq!(found.len(), 3 + 3 + 3 + 3, "{found:#?}");
}

fn nanos(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos().try_into().unwrap()
}
