//! One link for all clients, as one wire.

use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::time::Duration;

use udp_retry::fault::{Direction, Fate, Link, Profile, Record, Trace};
use udp_retry::proxy::{Proxy, ProxyBuilder};
use udp_retry::time::Timestamp;
use udp_retry::{Impairments, Seed};

use crate::links::recording;
use crate::tools::{Running, Service, ask, client, hear, socket, to_server};
use crate::watchdog::{MINUTE, within};

/// Of 200 bytes with its headers: 25 ms at 64 kbit/s.
const DATAGRAM: [u8; 172] = [7; 172];
const EACH: Duration = Duration::from_millis(25);
const CLIENTS: u32 = 10;

/// By the fates alone, so however slow the machine is: when the last datagram leaves, after the first one came.
fn drained(builder: ProxyBuilder) -> (Duration, Duration) {
    let service = socket("127.0.0.1:0");
    let (records, observer) = recording();
    let profile = to_server("rate 64kbit queue 1h".parse().unwrap());
    let proxy = Running::start(builder.profile(profile).observer(observer), service.local_addr().unwrap());
    let clients: Vec<UdpSocket> = (0..CLIENTS).map(|_| client(proxy.address)).collect();
    for _ in 0..20 {
        for client in &clients {
            client.send(&DATAGRAM).unwrap();
        }
    }
    proxy.until(|stats| stats.to_server.fates.received == 200);
    proxy.stop();
    let records = records.lock().unwrap();
    let leaves = |(_, record): &(SocketAddr, Record)| match &record.fate {
        Fate::Delivered(copies) => copies.iter().map(|copy| copy.at).max(),
        _ => None,
    };
    let (first, last_in) = (records[0].1.at, records.last().unwrap().1.at);
    let last = records.iter().map(|it| leaves(it).expect("no queue is full")).max().unwrap();
    (last.since(first), last_in.since(first))
}

#[test]
fn ten_clients_that_share_64_kbit_have_64_kbit_together_and_each_its_own_if_they_do_not() {
    within(MINUTE, || {
        let (together, sending) = drained(Proxy::builder().shared());
        let all = 200 * EACH;
        assert!(all <= together && together <= all + sending, "{together:?}, sent within {sending:?}");
        let (apart, sending) = drained(Proxy::builder());
        let own = 20 * EACH;
        assert!(own <= apart && apart <= own + sending, "{apart:?}, sent within {sending:?}");
    });
}

#[test]
fn numbers_and_draws_are_those_of_one_link_whoever_sends_and_however_often_sessions_end() {
    within(MINUTE, || {
        let spec: Impairments = "script { drop 1,4 }; loss 30%".parse().unwrap();
        let service = socket("127.0.0.1:0");
        let (records, observer) = recording();
        let builder = Proxy::builder().shared().profile(to_server(spec.clone())).seed(Seed::new(5));
        // One session at a time, so that each client ends that of another.
        let builder = builder.max_sessions(NonZeroUsize::MIN).observer(observer);
        let proxy = Running::start(builder, service.local_addr().unwrap());
        let clients = [client(proxy.address), client(proxy.address), client(proxy.address)];
        for n in 0..60_u64 {
            clients[n as usize % 3].send(&[9; 50]).unwrap();
            proxy.until(|stats| stats.to_server.fates.received == n + 1);
        }
        let stats = proxy.stop();
        assert_eq!((stats.opened, stats.evicted, stats.to_server.fates.links), (60, 59, 1));
        assert_eq!(stats.to_server.fates.dropped.script, 2);
        let mut link = Link::new(spec, Direction::ToServer.link_seed(Seed::new(5), 0));
        for (n, (_, record)) in records.lock().unwrap().iter().enumerate() {
            assert_eq!((record.link, record.n), (0, n as u64 + 1));
            let lost = matches!(link.transmit(Timestamp::ZERO, &[9; 50]), Fate::Dropped(_));
            assert_eq!(matches!(record.fate, Fate::Dropped(_)), lost, "datagram {}", record.n);
        }
    });
}

/// Where a wildcard address of IPv6 has the clients of both.
#[cfg(target_os = "linux")]
#[test]
fn clients_of_both_families_share_one_link() {
    within(MINUTE, || {
        let service = socket("127.0.0.1:0");
        let builder = Proxy::builder().shared().profile(to_server("script { drop 1,3,6 }".parse().unwrap()));
        let proxy = Running::listen(builder, "[::]:0", service.local_addr().unwrap());
        let at = |ip: &str| client(SocketAddr::new(ip.parse().unwrap(), proxy.address.port()));
        let clients = [at("127.0.0.1"), at("::1")];
        for n in 1..=6_u8 {
            clients[usize::from(n) % 2].send(&[n]).unwrap();
            proxy.until(|stats| stats.to_server.fates.received == u64::from(n));
        }
        assert_eq!([(); 3].map(|()| hear(&service)), [[2], [4], [5]]);
        let stats = proxy.stop();
        assert_eq!((stats.opened, stats.to_server.fates.links, stats.to_server.fates.dropped.script), (2, 1, 3));
    });
}

#[test]
fn a_change_and_a_release_are_of_the_shared_link_too() {
    within(MINUTE, || {
        let service = Service::echo("127.0.0.1:0");
        let late = to_server("delay 1h".parse().unwrap());
        let proxy = Running::start(Proxy::builder().shared().profile(late), service.address);
        let (one, other) = (client(proxy.address), client(proxy.address));
        one.send(b"1").unwrap();
        other.send(b"2").unwrap();
        proxy.until(|stats| stats.to_server.in_flight == 2);
        proxy.control.set_profile(Profile::default());
        proxy.control.release(Direction::ToServer);
        assert_eq!((hear(&one), hear(&other)), (b"1".to_vec(), b"2".to_vec()));
        // Nothing waits behind what was released.
        assert_eq!((ask(&one, b"3"), ask(&other, b"4")), (b"3".to_vec(), b"4".to_vec()));
        proxy.control.set(Direction::ToClient, "loss 100%".parse().unwrap());
        one.send(b"5").unwrap();
        other.send(b"6").unwrap();
        proxy.until(|stats| stats.to_client.fates.dropped.loss == 2);
        proxy.stop();
    });
}

#[test]
fn what_was_recorded_of_a_shared_link_is_repeated_by_one() {
    within(MINUTE, || {
        let service = socket("127.0.0.1:0");
        let address = service.local_addr().unwrap();
        let run = |builder: ProxyBuilder| {
            let (records, observer) = recording();
            let proxy = Running::start(builder.shared().observer(observer), address);
            let clients = [client(proxy.address), client(proxy.address)];
            for n in 0..40_u64 {
                clients[n as usize % 2].send(&[3; 30]).unwrap();
                proxy.until(|stats| stats.to_server.fates.received == n + 1);
            }
            proxy.stop();
            let records = records.lock().unwrap();
            records.iter().map(|(_, record)| (record.to_string(), matches!(record.fate, Fate::Dropped(_)))).collect()
        };
        let first: Vec<(String, bool)> = run(Proxy::builder().profile(to_server("loss 40%".parse().unwrap())));
        let trace: Trace = first.iter().map(|(line, _)| format!("{line}\n")).collect::<String>().parse().unwrap();
        let again: Vec<(String, bool)> = run(Proxy::builder().replay(trace));
        let lost = |records: &[(String, bool)]| records.iter().map(|(_, lost)| *lost).collect::<Vec<_>>();
        assert_eq!(lost(&again), lost(&first));
        assert!(lost(&first).contains(&true) && lost(&first).contains(&false));
    });
}

#[test]
fn a_shared_link_counts_the_headers_of_the_family_that_it_listens_on() {
    within(MINUTE, || {
        for (listen, family, limit) in [("127.0.0.1:0", "127.0.0.1:0", 72), ("[::1]:0", "[::1]:0", 52)] {
            let Ok(service) = UdpSocket::bind(family) else { continue };
            let profile = Profile { to_client: "mtu 100".parse().unwrap(), ..Profile::default() };
            let builder = Proxy::builder().shared().profile(profile);
            let proxy = Running::listen(builder, listen, service.local_addr().unwrap());
            let client = client(proxy.address);
            client.send(b"?").unwrap();
            let (_, session) = service.recv_from(&mut [0; 8]).unwrap();
            for len in [limit, limit + 1] {
                service.send_to(&vec![1; len], session).unwrap();
            }
            assert_eq!(hear(&client).len(), limit);
            proxy.until(|stats| stats.to_client.fates.dropped.mtu == 1);
            proxy.stop();
        }
    });
}
