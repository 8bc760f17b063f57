//! A blocking prober, over a simulated network.

use std::net::SocketAddr;
use std::time::Duration;

use udp_retry::Seed;
use udp_retry::fault::Profile;
use udp_retry::pmtu::{PlpmtuSearch, ProbeId, SearchNext, SearchSettings, SearchState};
use udp_retry::policy::RttEstimator;
use udp_retry::sim::{SimNet, echo};
use udp_retry::size::{IpFamily, Pmtu};
use udp_retry::transport::{Fragmentation, Incoming, PathError, PathIndex, Transport};

use crate::path::{packet, usual};

/// Probes a path until the search waits.
fn probe_path(transport: &mut impl Transport<Peer = PathIndex>, search: &mut PlpmtuSearch, rtt: &RttEstimator) -> u32 {
    let (mut probes, mut buffer) = (0, vec![0; 65_535]);
    let id_in = |buffer: &[u8]| ProbeId::new(u32::from_be_bytes(*buffer.first_chunk().unwrap()));
    while let SearchNext::Send(probe) = search.next(transport.now()) {
        let mut datagram = vec![0; probe.len.bytes()];
        datagram[..4].copy_from_slice(&probe.id.number().to_be_bytes());
        let mut send = || transport.send(PathIndex::FIRST, &datagram);
        // The first error may be an earlier probe's.
        if let Err(error) = send().or_else(|_| send()) {
            let PathError::TooBig { limit, .. } = error else { panic!("{error}") };
            search.on_probe_refused(probe.id, limit);
            continue;
        }
        search.on_probe_sent(probe.id);
        probes += 1;
        let sent = transport.now();
        let until = sent.after(rtt.rto(sent));
        while search.next(transport.now()) == SearchNext::Await(probe.id) {
            match transport.recv(&mut buffer, transport.now(), until) {
                Incoming::Datagram(received) => {
                    let id = id_in(&buffer);
                    search.on_probe_acked(id);
                    if id == probe.id {
                        rtt.on_reply(received.at, Some(received.at.since(sent)));
                    }
                }
                Incoming::PathError { error: PathError::TooBig { limit: Some(limit), .. }, quoted: 4.., .. } => {
                    search.on_reported(id_in(&buffer), limit);
                }
                Incoming::PathError { .. } => {}
                Incoming::TimeUp(_) => search.on_probe_lost(probe.id),
                other => panic!("{other:?}"),
            }
        }
    }
    probes
}

/// What is found between a host on Ethernet and a server that echoes, and with how many probes.
fn found(family: IpFamily, to_server: &str, to_client: &str, seed: u64) -> (u32, u32) {
    let address = |host: u8| -> SocketAddr {
        let text = if family == IpFamily::V4 { format!("10.0.0.{host}:7") } else { format!("[fd00::{host}]:7") };
        text.parse().unwrap()
    };
    let net = SimNet::new(Seed::new(seed));
    let [client, server] = [1, 2].map(|host| net.host(address(host).ip()).unwrap());
    let profile = Profile { to_server: to_server.parse().unwrap(), to_client: to_client.parse().unwrap() };
    net.path(client, server, profile).unwrap();
    net.interface_mtu(client, Pmtu::new(1500)).unwrap();
    net.serve(address(2), echo()).unwrap();
    let mut transport = net.connect(client, address(2)).unwrap();
    transport.set_fragmentation(Fragmentation::Probing);
    let ms = Duration::from_millis;
    let rtt = RttEstimator::new(ms(1_000), ms(200), ms(60_000)).unwrap();
    let mut search = PlpmtuSearch::new(SearchSettings::new(family));
    let probes = probe_path(&mut transport, &mut search, &rtt);
    assert_eq!(search.state(), SearchState::Complete);
    (packet(search.plpmtu(), family), probes)
}

#[test]
fn a_path_without_loss_is_found_as_on_paper() {
    for family in [IpFamily::V4, IpFamily::V6] {
        for carries in [1280, 1300, 1400, 1420, 1492, 1500] {
            let silent = format!("delay 20ms; mtu {carries}");
            let (size, probes) = found(family, &silent, "delay 20ms", 1);
            assert_eq!(size, usual(family, carries), "{family:?} {carries}");
            assert!((2..=15).contains(&probes), "{family:?} {carries}: {probes}");
            // An echo is as large as what it answers, so it is the narrower direction that counts.
            assert_eq!(found(family, "delay 20ms", &silent, 1), (size, probes), "{family:?} {carries}");
            let reporting = format!("delay 20ms; mtu {carries} report");
            let expected = if carries == 1500 || carries == 1280 && family == IpFamily::V6 { 2 } else { 3 };
            assert_eq!(found(family, &reporting, "delay 20ms", 1), (carries, expected), "{family:?}");
        }
    }
}

#[test]
fn a_lossy_path_is_found_in_nearly_every_case() {
    for (loss, least) in [(10, 98), (30, 93)] {
        let mut right = 0;
        for seed in 0..200 {
            let family = if seed % 2 == 0 { IpFamily::V4 } else { IpFamily::V6 };
            let carries = [1500, 1492, 1480, 1420, 1400, 1280][seed as usize % 6];
            // Reordered as well: what overtakes arrives late.
            let to_server = format!("loss {loss}%; delay 20ms ~5ms unordered; mtu {carries}");
            let to_client = format!("loss {loss}%; delay 20ms ~5ms unordered; duplicate 5%");
            let (size, _) = found(family, &to_server, &to_client, seed);
            assert!(size <= carries);
            right += u32::from(size == carries);
        }
        println!("{loss} %: {right} of 200");
        assert!(right >= least * 2, "{loss} %: {right} of 200");
    }
}
