//! A sink deals out the fates of its links around any transport, in both directions, and loses count of nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use udp_retry::fault::{
    Bottleneck, Corrupt, DelayLaw, DelayModel, Delivery, Direction, DirectionStats, Duplicate, Fate, Link, LossModel,
    MtuClamp, Oversize, Profile, QueueLimit, Record, Reorder, Rule, Script, Truncate,
};
use udp_retry::size::{Plpmtu, Pmtu};
use udp_retry::time::Timestamp;
use udp_retry::transport::{PathError, Received, Transport};
use udp_retry::{Impairments, LossySink, Probability, Seed};

use scripted::{Back, Scripted, at_ms, ms, refused, reply};

#[path = "common/scripted.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod scripted;

// Loss.

#[test]
fn the_directions_of_a_sink_share_no_decision() {
    for seed in SEEDS {
        for p in [0.1, 0.5, 0.9] {
            let (sending, receiving) = both_directions(p, seed, MILLION);
            for lag in [0, 1] {
                let correlation = correlation(&sending[lag..], &receiving[..MILLION - lag], p);
                assert!(correlation.abs() < SIX_SIGMA, "{correlation}, p {p}, seed {seed}");
            }
        }
    }
}

#[test]
fn what_one_direction_carries_never_changes_the_other() {
    let (alone, _) = both_directions(0.5, 3, 1000);
    let mut sink = LossySink::new(echo(), Impairments::loss(Probability::HALF), Seed::new(3));
    let mut sent = Vec::new();
    for n in 0..1000 {
        sink.get_mut().inject(at_ms(0), Back::Datagram(vec![1]));
        for _ in 0..n % 4 {
            let _ = sink.recv_until(&mut [0; 8], at_ms(0));
        }
        let before = sink.get_ref().left;
        sink.send(0, b"x").unwrap();
        sent.push(sink.get_ref().left == before);
    }
    assert_eq!(sent, alone);
}

#[test]
fn what_is_dropped_on_the_way_out_looks_sent() {
    let mut sink = LossySink::at_client(echo(), requests(always()), Seed::new(1));
    for n in 1..=100 {
        assert_eq!(sink.send(0, b"x"), Ok(()));
        assert_eq!(sink.send_again(0, b"x"), Ok(None));
        assert_eq!(
            (sent(&sink).fates.received, sent(&sink).fates.dropped.loss, sent(&sink).fates.delivered),
            (2 * n, 2 * n, 0)
        );
    }
    assert_eq!(sink.get_ref().left, 0);
    assert_eq!(heard(&sink), DirectionStats::default());
}

#[test]
fn what_is_dropped_on_the_way_in_is_never_seen_and_the_wait_goes_on() {
    let mut sink = LossySink::at_client(echo(), replies(always()), Seed::new(1));
    for n in 1..=100 {
        sink.send(0, b"x").unwrap();
        let until = sink.now().after(ms(10));
        assert_eq!(sink.recv_until(&mut [0; 8], until), Ok(None));
        assert_eq!(sink.now(), until, "the whole wait, as if nothing had come");
        assert_eq!((heard(&sink).fates.received, heard(&sink).fates.dropped.loss), (n, n));
    }
}

#[test]
fn a_perfect_path_changes_nothing() {
    let mut sink = LossySink::new(echo(), Impairments::default(), Seed::new(1));
    sink.send(0, b"ping").unwrap();
    let mut buffer = [0; 3];
    let received = sink.recv_until(&mut buffer, at_ms(10)).unwrap().unwrap();
    assert_eq!((received.from, received.len, received.actual, received.at), (0, 3, 4, at_ms(1)));
    assert_eq!((&buffer, sink.now()), (b"pin", at_ms(1)));
    assert_eq!(sink.recv_until(&mut buffer, at_ms(0)), Ok(None));
    assert_eq!(sink.now(), at_ms(1), "a time past waits for nothing");
}

#[test]
fn two_sinks_deliver_the_product_of_their_rates() {
    const N: u64 = 300_000;
    for (seed, outer, inner) in [(0, 0.3, 0.5), (1, 0.5, 0.5), (u64::MAX, 0.1, 0.9)] {
        let near = LossySink::new(echo(), Impairments::loss(probability(inner)), Seed::new(seed));
        let mut sink = LossySink::new(near, Impairments::loss(probability(outer)), Seed::new(seed).derive(1));
        for _ in 0..N {
            sink.send(0, b"x").unwrap();
        }
        let (first, second) = (sent(&sink).fates, sent(sink.get_ref()).fates);
        assert_eq!((first.received, second.received), (N, first.delivered));
        assert_eq!(sink.get_ref().get_ref().left, second.delivered);
        let expected = (1.0 - outer) * (1.0 - inner);
        let rate = second.delivered as f64 / N as f64;
        let sigma = (expected * (1.0 - expected) / N as f64).sqrt();
        assert!((rate - expected).abs() < 6.0 * sigma, "{rate}, not {expected}, seed {seed}");
    }
}

#[test]
fn a_send_that_is_repeated_meets_one_fate() {
    // Every send is swallowed once by the refusal of the one before.
    let world = Scripted::new(|_| vec![refused(Duration::ZERO)]);
    let mut sink = LossySink::new(world, Impairments::loss(Probability::HALF), Seed::new(11));
    let fates = both_directions(0.5, 11, 1000).0;
    let mut news = 0;
    for (n, lost) in (1..).zip(fates) {
        let before = sink.get_ref().left;
        news += u64::from(sink.send_again(0, b"x").unwrap() == Some(PathError::Refused));
        assert_eq!(sent(&sink).fates.received, n);
        assert_eq!(sink.get_ref().left == before, lost);
    }
    assert_eq!(news, sent(&sink).fates.delivered - 1, "all but the first that left");
}

#[test]
fn errors_of_the_transport_inside_come_through_and_meet_no_fate() {
    let mut sink = LossySink::new(Scripted::new(|_| vec![refused(ms(1))]), Impairments::NONE, Seed::new(1));
    sink.send(0, b"x").unwrap();
    assert_eq!(sink.recv_until(&mut [0; 8], at_ms(10)), Err(PathError::Refused));
    assert_eq!(sink.now(), at_ms(1));
    assert_eq!(heard(&sink), DirectionStats::default());
    sink.get_mut().fail_sends(2, PathError::NoBuffers);
    assert_eq!(sink.send_again(0, b"x"), Err(PathError::NoBuffers));
    assert_eq!(sent(&sink).fates.received, 2);
}

#[test]
fn a_flood_that_is_dropped_keeps_nobody_past_his_time() {
    let each = Duration::from_micros(10);
    let mut sink = LossySink::new(Scripted::silent().flooded(each), always(), Seed::new(1));
    for until in [at_ms(50), at_ms(50), at_ms(0), at_ms(70)] {
        let due = sink.now().max(until);
        assert_eq!(sink.recv_until(&mut [0; 8], until), Ok(None));
        assert!(sink.now() >= until && sink.now() <= due.after(100 * each), "{:?}, not {due:?}", sink.now());
    }
    assert_eq!(heard(&sink).fates.dropped.loss, heard(&sink).fates.received);
}

#[test]
fn a_datagram_that_passes_is_found_behind_those_that_do_not_even_when_the_time_has_come() {
    // Between two that pass there are often hundreds that do not.
    let fates = both_directions(0.99, 2, 10_000).1;
    let mut sink = LossySink::new(Scripted::silent(), Impairments::loss(probability(0.99)), Seed::new(2));
    for _ in 0..10_000 {
        sink.get_mut().inject(at_ms(5), Back::Datagram(vec![7]));
    }
    let mut found = 0;
    while sink.recv_until(&mut [0; 8], at_ms(5)).unwrap().is_some() {
        found += 1;
    }
    assert_eq!(found, fates.iter().filter(|&&lost| !lost).count());
    assert_eq!(sink.now(), at_ms(5));
}

#[test]
fn a_fresh_port_is_the_inner_transports_business() {
    let mut sink = LossySink::new(echo(), Impairments::NONE, Seed::new(1));
    sink.send(0, b"x").unwrap();
    assert_eq!(sink.renew(), Ok(()));
    assert_eq!(sink.get_ref().port(), 1);
    assert_eq!(sink.recv_until(&mut [0; 8], at_ms(10)), Ok(None), "the reply went to the old port");
    let mut fixed = LossySink::new(echo().not_renewable(), Impairments::NONE, Seed::new(1));
    assert_eq!(fixed.renew(), Err(PathError::Unsupported));
    assert_eq!(fixed.into_inner().port(), 0);
}

// Delay, without a thread.

#[test]
fn what_is_delayed_on_the_way_out_leaves_on_time_while_somebody_waits() {
    let mut sink = LossySink::at_client(Scripted::silent(), requests(delay(ms(30))), Seed::new(1));
    for n in 0..3 {
        assert_eq!(sink.send(0, &[n]), Ok(()));
        sink.get_mut().advance(ms(10));
    }
    assert_eq!(sink.get_ref().left, 0);
    assert_eq!(sent(&sink).in_flight, 3);
    assert_eq!(sink.recv_until(&mut [0; 8], at_ms(100)), Ok(None));
    assert_eq!(sink.now(), at_ms(100));
    let left: Vec<_> = sink.get_ref().sent.iter().map(|sent| (sent.at, sent.payload[0])).collect();
    assert_eq!(left, [(at_ms(30), 0), (at_ms(40), 1), (at_ms(50), 2)]);
    assert_eq!((sent(&sink).in_flight, sent(&sink).passed), (0, 3));
}

#[test]
fn what_is_due_when_the_wait_ends_has_left() {
    let mut sink = LossySink::at_client(Scripted::silent(), requests(delay(ms(30))), Seed::new(1));
    sink.send(0, b"x").unwrap();
    assert_eq!(sink.recv_until(&mut [0; 8], at_ms(30)), Ok(None));
    assert_eq!((sink.get_ref().left, sink.get_ref().sent[0].at), (1, at_ms(30)));
}

#[test]
fn more_than_there_is_room_for_is_discarded_and_counted() {
    let mut sink = LossySink::at_client(Scripted::silent(), requests(delay(ms(30))), Seed::new(1));
    for _ in 0..70_000 {
        sink.send(0, b"x").unwrap();
    }
    assert_eq!((sent(&sink).in_flight, sent(&sink).discarded), (65_536, 70_000 - 65_536));
    assert_balanced(&sent(&sink));
}

#[test]
fn whoever_wakes_late_is_still_shown_first_what_came_first() {
    let mut sink = LossySink::at_client(Room::default(), replies(delay(ms(5))), Seed::new(1));
    sink.get_mut().inbox.push_back((at_ms(0), 0, b"1".to_vec()));
    assert_eq!(sink.recv_until(&mut [0; 8], at_ms(0)), Ok(None));
    sink.get_mut().late = ms(10);
    sink.control().set_profile(Profile::default());
    sink.get_mut().inbox.push_back((at_ms(7), 0, b"2".to_vec()));
    let mut buffer = [0; 8];
    for (datagram, at) in [(b'1', at_ms(5)), (b'2', at_ms(7))] {
        let received = sink.recv_until(&mut buffer, at_ms(6)).unwrap().unwrap();
        assert_eq!((buffer[0], received.at), (datagram, at));
    }
}

#[test]
fn what_is_due_leaves_before_what_is_sent_now() {
    let mut sink =
        LossySink::at_client(Scripted::silent(), requests(script([(1, Rule::Delay { by: ms(5) })])), Seed::new(1));
    sink.send(0, &[1]).unwrap();
    sink.get_mut().advance(ms(9));
    sink.send(0, &[2]).unwrap();
    let left: Vec<_> = sink.get_ref().sent.iter().map(|sent| (sent.at, sent.payload[0])).collect();
    assert_eq!(left, [(at_ms(9), 1), (at_ms(9), 2)], "late, as nobody waited, but in its order");
}

#[test]
fn what_is_delayed_on_the_way_in_is_shown_at_its_time_and_said_to_have_come_then() {
    let mut sink = LossySink::at_client(echo(), replies(delay(ms(30))), Seed::new(1));
    sink.send(0, b"ping").unwrap();
    let mut buffer = [0; 8];
    assert_eq!(sink.recv_until(&mut buffer, at_ms(30)), Ok(None));
    assert_eq!(sink.now(), at_ms(30));
    let received = sink.recv_until(&mut buffer, at_ms(31)).unwrap().unwrap();
    assert_eq!((received.len, received.actual, received.at), (4, 4, at_ms(31)), "due at the very end of the wait");
    assert_eq!((&buffer[..4], sink.now()), (&b"ping"[..], at_ms(31)));

    sink.send(0, b"pong").unwrap();
    assert_eq!(sink.recv_until(&mut buffer, at_ms(33)), Ok(None));
    sink.get_mut().advance(ms(60));
    let received = sink.recv_until(&mut buffer, at_ms(0)).unwrap().unwrap();
    assert_eq!((received.at, sink.now()), (at_ms(62), at_ms(93)), "a late caller learns when it came");
}

#[test]
fn one_that_is_not_delayed_overtakes_one_that_is() {
    let late_first = script([(1, Rule::Delay { by: ms(50) })]);
    let mut sink = LossySink::at_client(echo(), replies(late_first), Seed::new(1));
    sink.send(0, b"1").unwrap();
    sink.send(0, b"2").unwrap();
    let mut order = Vec::new();
    let mut buffer = [0; 8];
    while let Some(received) = sink.recv_until(&mut buffer, at_ms(500)).unwrap() {
        order.push((buffer[0], received.at));
    }
    assert_eq!(order, [(b'2', at_ms(1)), (b'1', at_ms(51))]);
}

#[test]
fn a_flood_that_is_delayed_keeps_nobody_past_his_time_and_memory_is_bounded() {
    let each = Duration::from_micros(1);
    let mut sink = LossySink::at_client(Scripted::silent().flooded(each), replies(delay(ms(1_000_000))), Seed::new(1));
    for until in [at_ms(1), at_ms(1), at_ms(200)] {
        let due = sink.now().max(until);
        assert_eq!(sink.recv_until(&mut [0; 8], until), Ok(None));
        assert!(sink.now() >= until && sink.now() <= due.after(100 * each), "{:?}, not {due:?}", sink.now());
    }
    let stats = heard(&sink);
    assert!(stats.fates.received > 190_000);
    assert_eq!(stats.in_flight, 65_536);
    assert_balanced(&stats);
}

#[test]
fn flush_sends_off_what_is_on_its_way_and_keeps_what_arrives_meanwhile() {
    let mut sink = LossySink::at_client(echo(), requests(delay(ms(20))), Seed::new(1));
    sink.send(0, b"one").unwrap();
    sink.get_mut().advance(ms(5));
    sink.send(0, b"two").unwrap();
    assert_eq!(sink.flush(), Ok(()));
    assert_eq!((sink.now(), sink.get_ref().left), (at_ms(25), 2));
    let mut buffer = [0; 8];
    let first = sink.recv_until(&mut buffer, at_ms(0)).unwrap().unwrap();
    assert_eq!((&buffer[..first.len], first.at), (&b"one"[..], at_ms(21)), "it came during the flush");
    let second = sink.recv_until(&mut buffer, at_ms(26)).unwrap().unwrap();
    assert_eq!((&buffer[..second.len], second.at), (&b"two"[..], at_ms(26)));
    assert_eq!(sink.flush(), Ok(()));
    assert_eq!(sink.now(), at_ms(26), "with nothing on its way there is nothing to wait for");
}

#[test]
fn what_the_system_says_of_a_datagram_that_left_late_is_news_for_whoever_receives_next() {
    let mut sink = LossySink::at_client(Scripted::silent(), requests(delay(ms(10))), Seed::new(1));
    sink.send(0, b"x").unwrap();
    sink.get_mut().fail_sends(2, PathError::NoBuffers);
    assert_eq!(sink.recv_until(&mut [0; 8], at_ms(50)), Err(PathError::NoBuffers));
    assert_eq!((sink.now(), sent(&sink).failed), (at_ms(10), 1));
    assert_eq!(sink.recv_until(&mut [0; 8], at_ms(50)), Ok(None), "once");

    // An error that an earlier datagram left behind swallows one attempt, not the datagram.
    sink.send(0, b"y").unwrap();
    sink.get_mut().fail_sends(1, PathError::Refused);
    assert_eq!(sink.recv_until(&mut [0; 8], at_ms(80)), Err(PathError::Refused));
    assert_eq!((sink.get_ref().left, sent(&sink).passed), (1, 1));
    sink.send(0, b"z").unwrap();
    sink.get_mut().fail_sends(2, PathError::Denied);
    assert_eq!(sink.flush(), Err(PathError::Denied));
    assert_balanced(&sent(&sink));
}

#[test]
fn a_fresh_port_drops_what_is_on_its_way_in_both_directions_and_counts_it() {
    let mut sink = LossySink::new(echo(), delay(ms(10)), Seed::new(1));
    sink.send(0, b"a").unwrap();
    assert_eq!(sink.recv_until(&mut [0; 8], at_ms(15)), Ok(None));
    sink.send(0, b"b").unwrap();
    assert_eq!((sent(&sink).in_flight, heard(&sink).in_flight), (1, 1));
    assert_eq!(sink.renew(), Ok(()));
    assert_eq!((sent(&sink).discarded, heard(&sink).discarded), (1, 1));
    assert_eq!(sink.recv_until(&mut [0; 8], at_ms(100)), Ok(None));
    assert_balanced(&sent(&sink));
    assert_balanced(&heard(&sink));

    // News of the old port too.
    sink.send(0, b"c").unwrap();
    sink.get_mut().advance(ms(10));
    sink.get_mut().fail_sends(2, PathError::Denied);
    sink.send(0, b"d").unwrap();
    assert_eq!(sent(&sink).failed, 1);
    assert_eq!(sink.renew(), Ok(()));
    assert_eq!(sink.recv_until(&mut [0; 8], at_ms(200)), Ok(None));
}

// Copies and damage.

#[test]
fn copies_and_damage_are_the_links() {
    let rules = [
        (1, Rule::Duplicate { after: ms(7) }),
        (1, Rule::Corrupt { copy: 1, bit: 8 }),
        (2, Rule::Truncate { copy: 0, to: 2 }),
        (3, Rule::Corrupt { copy: 0, bit: 0 }),
    ];
    let harmed = [(0, b"abcd".to_vec()), (0, b"ab".to_vec()), (0, b"\xe1bcd".to_vec()), (7, b"a\xe2cd".to_vec())];
    let mut sink = LossySink::at_client(Scripted::silent(), requests(script(rules)), Seed::new(1));
    for _ in 0..3 {
        sink.send(0, b"abcd").unwrap();
    }
    sink.flush().unwrap();
    let left: Vec<_> = sink.get_ref().sent.iter().map(|sent| (millis(sent.at), sent.payload.clone())).collect();
    assert_eq!(left, harmed);

    let mut sink = LossySink::at_client(Scripted::silent(), replies(script(rules)), Seed::new(1));
    for _ in 0..3 {
        sink.get_mut().inject(at_ms(0), Back::Datagram(b"abcd".to_vec()));
    }
    let mut buffer = [0; 64];
    let mut heard = Vec::new();
    while let Some(received) = sink.recv_until(&mut buffer, at_ms(50)).unwrap() {
        assert_eq!(received.actual, received.len);
        heard.push((millis(received.at), buffer[..received.len].to_vec()));
    }
    assert_eq!(heard, harmed);
}

#[test]
fn a_buffer_too_small_is_told_the_true_length_however_late_the_datagram_is() {
    let mut sink = LossySink::at_client(echo(), replies(delay(ms(5))), Seed::new(1));
    sink.send(0, b"abcdef").unwrap();
    let mut small = [0; 4];
    let received = sink.recv_until(&mut small, at_ms(50)).unwrap().unwrap();
    assert_eq!((received.len, received.actual, &small), (4, 6, b"abcd"));
    sink.send(0, b"abcdef").unwrap();
    assert_eq!(sink.recv_until(&mut [0; 64], at_ms(7)), Ok(None));
    let received = sink.recv_until(&mut small[..2], at_ms(50)).unwrap().unwrap();
    assert_eq!((received.len, received.actual), (2, 6));

    // What the path cut off is gone, whatever the buffer cuts off besides.
    let cut = script([(1, Rule::Truncate { copy: 0, to: 3 }), (2, Rule::Truncate { copy: 0, to: 5 })]);
    let mut sink = LossySink::at_client(echo(), replies(cut), Seed::new(1));
    for (len, actual) in [(3, 3), (4, 5)] {
        sink.send(0, b"abcdef").unwrap();
        let received = sink.recv_until(&mut small, at_ms(50)).unwrap().unwrap();
        assert_eq!((received.len, received.actual), (len, actual));
    }
}

#[test]
fn what_is_too_big_for_the_path_is_an_error_of_the_send_and_of_nothing_else() {
    let clamp = |oversize| Impairments::NONE.with_mtu(MtuClamp::new(Pmtu::new(1400), oversize));
    let mut sink = LossySink::new(echo(), clamp(Oversize::Error), Seed::new(1));
    let limit = Some(Plpmtu::new(1372));
    assert_eq!(sink.send(0, &[0; 1373]), Err(PathError::TooBig { limit }));
    assert_eq!(sink.send_again(0, &[0; 1373]), Err(PathError::TooBig { limit }));
    assert_eq!(sink.send(0, &[0; 1372]), Ok(()));
    assert_eq!((sent(&sink).fates.dropped.mtu, sent(&sink).passed), (2, 1));
    sink.get_mut().inject(at_ms(0), Back::Datagram(vec![0; 1500]));
    let received = sink.recv_until(&mut [0; 2000], at_ms(10)).unwrap().unwrap();
    assert_eq!(received.len, 1372, "nobody here sent the other one");
    assert_eq!(heard(&sink).fates.dropped.mtu, 1);
    let mut quiet = LossySink::new(echo(), clamp(Oversize::Drop), Seed::new(1));
    assert_eq!(quiet.send(0, &[0; 1373]), Ok(()));
}

// Peers.

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

// Steered and watched.

#[test]
fn a_control_changes_a_sink_in_another_thread_and_the_links_go_on() {
    fn thread_safe<T: Send + Sync>(_: &T) {}
    let mut sink = LossySink::at_client(echo(), requests(Impairments::NONE), Seed::new(1));
    let control = sink.control();
    thread_safe(&control);
    sink.send(0, b"x").unwrap();
    std::thread::scope(|scope| scope.spawn(|| control.clone().set(Direction::ToServer, always())).join()).unwrap();
    assert_eq!(control.profile(), requests(always()));
    sink.send(0, b"x").unwrap();
    assert_eq!((sink.get_ref().left, sent(&sink).fates.dropped.loss), (1, 1));
    // The links count on: a script knows the third datagram as the third.
    control.set_profile(requests(script([(3, Rule::Drop)])));
    for _ in 0..2 {
        sink.send(0, b"x").unwrap();
    }
    assert_eq!((sink.get_ref().left, sent(&sink).fates.dropped.script), (2, 1));
    // Each direction by itself.
    control.set_profile(replies(always()));
    sink.send(0, b"x").unwrap();
    assert_eq!((sink.get_ref().left, sink.recv_until(&mut [0; 8], at_ms(50))), (3, Ok(None)));
    assert_eq!(heard(&sink).fates.dropped.loss, 3);
}

#[test]
fn everything_is_seen_as_it_is_decided_and_two_runs_are_the_same() {
    let run = || {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let watch = seen.clone();
        let mut sink = LossySink::new(echo(), everything(), Seed::new(3))
            .observed(move |peer, record| watch.lock().unwrap().push((peer, record.to_string())));
        for n in 0..500_u64 {
            let _ = sink.send(0, &vec![1; (n % 1400) as usize]);
            let until = sink.now().after(ms(n % 5));
            while !matches!(sink.recv_until(&mut [0; 2000], until), Ok(None)) {}
        }
        assert_balanced(&sent(&sink));
        assert_balanced(&heard(&sink));
        let seen = seen.lock().unwrap().clone();
        let fates = sent(&sink).fates.received + heard(&sink).fates.received;
        assert_eq!(seen.len() as u64, fates);
        seen
    };
    assert_eq!(run(), run());
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

/// A server's end in virtual time: what it sends is kept, what it hears is put there by the test.
#[derive(Default, Debug)]
struct Room {
    now: Timestamp,
    /// Whoever waits finds what came up to so much later.
    late: Duration,
    inbox: VecDeque<(Timestamp, u32, Vec<u8>)>,
    outbox: Vec<(Timestamp, u32, Vec<u8>)>,
}

impl Transport for Room {
    type Peer = u32;

    fn now(&self) -> Timestamp {
        self.now
    }

    fn send(&mut self, to: u32, datagram: &[u8]) -> Result<(), PathError> {
        self.outbox.push((self.now, to, datagram.to_vec()));
        Ok(())
    }

    fn recv_until(&mut self, buffer: &mut [u8], until: Timestamp) -> Result<Option<Received<u32>>, PathError> {
        let limit = until.max(self.now).after(self.late);
        let due = self.inbox.front().is_some_and(|(at, ..)| *at <= limit);
        let Some((at, from, datagram)) = due.then(|| self.inbox.pop_front()).flatten() else {
            self.now = limit;
            return Ok(None);
        };
        self.now = self.now.max(at);
        let len = datagram.len().min(buffer.len());
        buffer[..len].copy_from_slice(&datagram[..len]);
        Ok(Some(Received { from, len, actual: datagram.len(), at }))
    }

    fn renew(&mut self) -> Result<(), PathError> {
        Err(PathError::Unsupported)
    }
}

/// Every stage, none of them rare.
fn everything() -> Impairments {
    let often = |percent| Probability::ratio(percent, 100).unwrap();
    Impairments::loss(Probability::ZERO)
        .with_mtu(MtuClamp::new(Pmtu::new(1400), Oversize::Error))
        .with_bottleneck(Bottleneck::new(1_000_000, QueueLimit::Time(ms(20))).unwrap())
        .with_loss(LossModel::bursts(often(20), 2.5).unwrap())
        .with_duplicate(Duplicate::new(often(25)).late(DelayLaw::exponential(ms(0), ms(10)).unwrap()))
        .with_truncate(Truncate::new(often(10)))
        .with_corrupt(Corrupt::new(often(20)))
        .with_delay(DelayModel::new(DelayLaw::uniform(ms(10), ms(10)).unwrap()))
        .with_reorder(Reorder::new(often(10), ms(15)).unwrap())
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

/// Of a client's end.
fn sent<T: Transport>(sink: &LossySink<T>) -> DirectionStats {
    sink.stats(Direction::ToServer)
}

fn heard<T: Transport>(sink: &LossySink<T>) -> DirectionStats {
    sink.stats(Direction::ToClient)
}

/// Every datagram and every copy is accounted for.
#[track_caller]
fn assert_balanced(stats: &DirectionStats) {
    let fates = &stats.fates;
    assert_eq!(fates.received + fates.duplicates, fates.delivered + fates.dropped.total(), "{stats:?}");
    assert_eq!(fates.delivered, stats.passed + stats.in_flight + stats.discarded + stats.failed, "{stats:?}");
}

fn requests(to_server: Impairments) -> Profile {
    Profile { to_server, ..Profile::default() }
}

fn replies(to_client: Impairments) -> Profile {
    Profile { to_client, ..Profile::default() }
}

fn delay(by: Duration) -> Impairments {
    Impairments::NONE.with_delay(DelayModel::new(DelayLaw::fixed(by).unwrap()))
}

fn script(rules: impl IntoIterator<Item = (u64, Rule)>) -> Impairments {
    Impairments::NONE.with_script(Script::new(rules).unwrap())
}

fn millis(at: Timestamp) -> u64 {
    at.as_nanos() / 1_000_000
}

/// What a sink loses on the way out, and of as many datagrams on the way in.
fn both_directions(p: f64, seed: u64, datagrams: usize) -> (Vec<bool>, Vec<bool>) {
    let mut sink = LossySink::new(echo(), Impairments::loss(probability(p)), Seed::new(seed));
    let (mut sending, mut receiving) = (Vec::with_capacity(datagrams), Vec::with_capacity(datagrams));
    for _ in 0..datagrams {
        let lost = sent(&sink).fates.dropped.loss;
        sink.send(0, b"x").unwrap();
        sending.push(sent(&sink).fates.dropped.loss > lost);
    }
    let mut sink = LossySink::new(Scripted::silent(), Impairments::loss(probability(p)), Seed::new(seed));
    for _ in 0..datagrams {
        sink.get_mut().inject(at_ms(0), Back::Datagram(Vec::new()));
        let heard = sink.recv_until(&mut [0; 8], at_ms(0)).unwrap();
        receiving.push(heard.is_none());
    }
    (sending, receiving)
}

/// Between two sequences of decisions that each come out `true` with probability `p`.
fn correlation(one: &[bool], other: &[bool], p: f64) -> f64 {
    let both = one.iter().zip(other).filter(|&(&one, &other)| one && other).count() as f64;
    let (ones, others) = (count(one), count(other));
    let n = one.len() as f64;
    (both - p * (ones + others) + n * p * p) / (n * p * (1.0 - p))
}

fn count(decisions: &[bool]) -> f64 {
    decisions.iter().filter(|&&decision| decision).count() as f64
}

fn echo() -> Scripted {
    let mut echo = Scripted::new(|heard| if heard.ordinal < 1000 { vec![reply(ms(1), heard.payload)] } else { vec![] });
    echo.forgetful = true;
    echo
}

fn always() -> Impairments {
    Impairments::loss(Probability::ONE)
}

fn probability(p: f64) -> Probability {
    Probability::new(p).unwrap()
}

const SEEDS: [u64; 3] = [0, 1, u64::MAX];
const MILLION: usize = 1_000_000;
/// Of a correlation over a million pairs.
const SIX_SIGMA: f64 = 0.006;
