//! Peers, at both ends, and a model of it all.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use udp_retry::fault::{Delivery, Direction, DirectionStats, Fate, Link, Profile, Record};
use udp_retry::time::Timestamp;
use udp_retry::transport::{PathError, Transport};
use udp_retry::{Impairments, LossySink, Probability, Seed};

use super::{Room, assert_balanced, everything};
use crate::scripted::{at_ms, ms};

#[test]
fn every_peer_has_links_of_its_own_by_the_order_of_first_datagrams() {
    let spec = Impairments::loss(Probability::HALF);
    let mut sink = LossySink::at_server(Room::default(), Profile::both(spec.clone()), Seed::new(9));
    // Peers 30, 10 and 20 come in this order; what the others do meanwhile matters to none of them.
    let mut turns = Vec::new();
    for n in 0..300_u32 {
        let peer = [30, 10, 20][if n < 3 { n as usize } else { (n * n % 7 % 3) as usize }];
        sink.get_mut().inbox.push_back((at_ms(u64::from(n)), peer, n.to_be_bytes().to_vec()));
        let received = sink.recv_until(&mut [0; 8], at_ms(u64::from(n))).unwrap();
        turns.push((peer, received.is_none()));
    }
    for (ordinal, peer) in [(0, 30), (1, 10), (2, 20)] {
        let mut link = Link::new(spec.clone(), Direction::ToServer.link_seed(Seed::new(9), ordinal));
        for (_, lost) in turns.iter().filter(|(of, _)| *of == peer) {
            assert_eq!(matches!(link.transmit(at_ms(0), b"1234"), Fate::Dropped(_)), *lost, "peer {peer}");
        }
    }
    let stats = sink.stats(Direction::ToServer);
    assert_eq!((stats.fates.received, sink.stats(Direction::ToClient)), (300, DirectionStats::default()));
    assert_balanced(&stats);
}

#[test]
fn a_flood_of_peers_forgets_the_ones_not_heard_of_for_longest_and_no_count() {
    let mut sink =
        LossySink::at_server(Room::default(), Profile::both(Impairments::loss(Probability::HALF)), Seed::new(9));
    let ordinals = Arc::new(Mutex::new(Vec::new()));
    let seen = ordinals.clone();
    let mut sink = {
        sink.get_mut().outbox.clear();
        sink.observed(move |peer, record| seen.lock().unwrap().push((peer, record.link)))
    };
    let last = |peer| ordinals.lock().unwrap().iter().rev().find(|(of, _)| *of == peer).unwrap().1;
    for peer in 0..3000 {
        sink.send(peer, b"x").unwrap();
        sink.send(0, b"kept, as it is used").unwrap();
    }
    assert_eq!(last(0), 0);
    sink.send(2999, b"x").unwrap();
    assert_eq!(last(2999), 2999, "still known");
    sink.send(1, b"x").unwrap();
    assert_eq!(last(1), 3000, "forgotten, so a new one");
    let stats = sink.stats(Direction::ToClient);
    assert_eq!(stats.fates.received, 6002);
    assert_eq!(stats.passed, sink.get_ref().outbox.len() as u64);
    assert_balanced(&stats);
}

#[test]
fn at_both_ends_the_fates_of_a_direction_are_the_same() {
    let profile = Profile { to_server: everything(), to_client: Impairments::loss(Probability::HALF) };
    let mut client = LossySink::at_client(Room::default(), profile.clone(), Seed::new(4));
    let mut server = LossySink::at_server(Room::default(), profile.clone(), Seed::new(4));
    let mut bare = Link::new(profile.to_server, Direction::ToServer.link_seed(Seed::new(4), 0));
    let (at_client, at_server) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let (one, other) = (at_client.clone(), at_server.clone());
    client = client.observed(move |_, record| one.lock().unwrap().push(*record));
    server = server.observed(move |_, record| other.lock().unwrap().push(*record));
    for n in 0..2000_u64 {
        let datagram = vec![7; (n * 37 % 1500) as usize];
        let now = at_ms(n * 3);
        client.get_mut().now = now;
        client
            .send(5, &datagram)
            .or_else(|error| matches!(error, PathError::TooBig { .. }).then_some(()).ok_or(error))
            .unwrap();
        server.get_mut().inbox.push_back((now, 5, datagram.clone()));
        while server.recv_until(&mut [0; 2000], now).unwrap().is_some() {}
        let record: Record = *at_client.lock().unwrap().last().unwrap();
        assert_eq!((record.n, record.len, record.direction), (n + 1, datagram.len(), Direction::ToServer));
        assert_eq!(record.fate, bare.transmit(now, &datagram));
    }
    assert_eq!(*at_client.lock().unwrap(), *at_server.lock().unwrap());
    assert_balanced(&client.stats(Direction::ToServer));
    assert_balanced(&server.stats(Direction::ToServer));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn what_comes_out_is_what_the_links_let_through_and_when(
        seed in any::<u64>(),
        steps in prop::collection::vec((0_u64..40, 0_usize..1500, any::<bool>()), 1..120),
    ) {
        // A model that keeps all there is in one list and looks at it anew each time.
        let profile = Profile::both(everything());
        let mut out = Link::new(profile.to_server.clone(), Direction::ToServer.link_seed(Seed::new(seed), 0));
        let mut back = Link::new(profile.to_client.clone(), Direction::ToClient.link_seed(Seed::new(seed), 0));
        let mut expected_out = Vec::new();
        let mut expected_back = Vec::new();
        let mut sink = LossySink::at_client(Room::default(), profile, Seed::new(seed));
        let mut got = Vec::new();
        let mut buffer = vec![0; 2000];
        for (n, (pause, len, inwards)) in (0_u64..).zip(steps) {
            let datagram: Vec<u8> = (0..len).map(|byte| (byte as u64 * 31 + n) as u8).collect();
            let now = sink.now();
            if inwards {
                sink.get_mut().inbox.push_back((now, 0, datagram.clone()));
                note(&mut expected_back, back.transmit(now, &datagram), &datagram);
            } else {
                let sent = sink.send(0, &datagram);
                let fate = out.transmit(now, &datagram);
                prop_assert_eq!(sent.is_err(), matches!(fate, Fate::TooBig { .. }));
                note(&mut expected_out, fate, &datagram);
            }
            let until = now.after(ms(pause));
            while let Some(received) = sink.recv_until(&mut buffer, until).unwrap() {
                prop_assert!(received.at <= sink.now());
                got.push((received.at, buffer[..received.len].to_vec()));
            }
            prop_assert_eq!(sink.now(), until);
        }
        sink.flush().unwrap();
        let end = at_ms(1_000_000);
        while let Some(received) = sink.recv_until(&mut buffer, end).unwrap() {
            got.push((received.at, buffer[..received.len].to_vec()));
        }
        expected_out.sort_by_key(|(at, _)| *at);
        expected_back.sort_by_key(|(at, _)| *at);
        let left: Vec<_> = sink.get_ref().outbox.iter().map(|(at, _, datagram)| (*at, datagram.clone())).collect();
        prop_assert_eq!(left, expected_out);
        prop_assert_eq!(got, expected_back);
        for direction in [Direction::ToServer, Direction::ToClient] {
            let stats = sink.stats(direction);
            assert_balanced(&stats);
            prop_assert_eq!((stats.in_flight, stats.discarded, stats.failed), (0, 0, 0));
        }
    }

}

fn note(expected: &mut Vec<(Timestamp, Vec<u8>)>, fate: Fate, datagram: &[u8]) {
    if let Fate::Delivered(deliveries) = fate {
        expected
            .extend(deliveries.iter().map(|copy: &Delivery| (copy.at, copy.apply_to(&mut datagram.to_vec()).to_vec())));
    }
}

fn cases() -> u32 {
    std::env::var("UDP_RETRY_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256)
}
