//! Delay, without a thread.

use std::time::Duration;

use udp_retry::fault::{Profile, Rule};
use udp_retry::transport::{PathError, PathIndex, Renewal, Renewed, Transport};
use udp_retry::{LossySink, Seed};

use super::{Room, assert_balanced, delay, echo, heard, replies, requests, script, sent};
use crate::scripted::{Scripted, at_ms, ms};
use crate::waits::Waits;

#[test]
fn what_is_delayed_on_the_way_out_leaves_on_time_while_somebody_waits() {
    let mut sink = LossySink::at_client(Scripted::silent(), requests(delay(ms(30))), Seed::new(1));
    for n in 0..3 {
        assert_eq!(sink.send(PathIndex::FIRST, &[n]), Ok(()));
        sink.get_mut().advance(ms(10));
    }
    assert_eq!(sink.get_ref().left, 0);
    assert_eq!(sent(&sink).in_flight, 3);
    assert_eq!(sink.wait(&mut [0; 8], at_ms(100)), Ok(None));
    assert_eq!(sink.now(), at_ms(100));
    let left: Vec<_> = sink.get_ref().sent.iter().map(|sent| (sent.at, sent.payload[0])).collect();
    assert_eq!(left, [(at_ms(30), 0), (at_ms(40), 1), (at_ms(50), 2)]);
    assert_eq!((sent(&sink).in_flight, sent(&sink).passed), (0, 3));
}

#[test]
fn what_is_due_when_the_wait_ends_has_left() {
    let mut sink = LossySink::at_client(Scripted::silent(), requests(delay(ms(30))), Seed::new(1));
    sink.send(PathIndex::FIRST, b"x").unwrap();
    assert_eq!(sink.wait(&mut [0; 8], at_ms(30)), Ok(None));
    assert_eq!((sink.get_ref().left, sink.get_ref().sent[0].at), (1, at_ms(30)));
}

#[test]
fn more_than_there_is_capacity_for_is_dropped_and_counted_as_that() {
    let mut sink = LossySink::at_client(Scripted::silent(), requests(delay(ms(30))), Seed::new(1));
    for _ in 0..70_000 {
        sink.send(PathIndex::FIRST, b"x").unwrap();
    }
    let stats = sent(&sink);
    assert_eq!((stats.in_flight, stats.fates.dropped.capacity, stats.discarded), (65_536, 70_000 - 65_536, 0));
    assert_balanced(&sent(&sink));
}

#[test]
fn whoever_wakes_late_is_still_shown_first_what_came_first() {
    let mut sink = LossySink::at_client(Room::default(), replies(delay(ms(5))), Seed::new(1));
    sink.get_mut().inbox.push_back((at_ms(0), 0, b"1".to_vec()));
    assert_eq!(sink.wait(&mut [0; 8], at_ms(0)), Ok(None));
    sink.get_mut().late = ms(10);
    sink.control().set_profile(Profile::default());
    sink.get_mut().inbox.push_back((at_ms(7), 0, b"2".to_vec()));
    let mut buffer = [0; 8];
    for (datagram, at) in [(b'1', at_ms(5)), (b'2', at_ms(7))] {
        let received = sink.wait(&mut buffer, at_ms(6)).unwrap().unwrap();
        assert_eq!((buffer[0], received.at), (datagram, at));
    }
}

#[test]
fn what_is_due_leaves_before_what_is_sent_now() {
    let mut sink =
        LossySink::at_client(Scripted::silent(), requests(script([(1, Rule::Delay { by: ms(5) })])), Seed::new(1));
    sink.send(PathIndex::FIRST, &[1]).unwrap();
    sink.get_mut().advance(ms(9));
    sink.send(PathIndex::FIRST, &[2]).unwrap();
    let left: Vec<_> = sink.get_ref().sent.iter().map(|sent| (sent.at, sent.payload[0])).collect();
    assert_eq!(left, [(at_ms(9), 1), (at_ms(9), 2)], "late, as nobody waited, but in its order");
}

#[test]
fn what_is_delayed_on_the_way_in_is_shown_at_its_time_and_said_to_have_come_then() {
    let mut sink = LossySink::at_client(echo(), replies(delay(ms(30))), Seed::new(1));
    sink.send(PathIndex::FIRST, b"ping").unwrap();
    let mut buffer = [0; 8];
    assert_eq!(sink.wait(&mut buffer, at_ms(30)), Ok(None));
    assert_eq!(sink.now(), at_ms(30));
    let received = sink.wait(&mut buffer, at_ms(31)).unwrap().unwrap();
    assert_eq!((received.len, received.actual, received.at), (4, 4, at_ms(31)), "due at the very end of the wait");
    assert_eq!((&buffer[..4], sink.now()), (&b"ping"[..], at_ms(31)));

    sink.send(PathIndex::FIRST, b"pong").unwrap();
    assert_eq!(sink.wait(&mut buffer, at_ms(33)), Ok(None));
    sink.get_mut().advance(ms(60));
    let received = sink.wait(&mut buffer, at_ms(0)).unwrap().unwrap();
    assert_eq!((received.at, sink.now()), (at_ms(62), at_ms(93)), "a late caller learns when it came");
}

#[test]
fn one_that_is_not_delayed_overtakes_one_that_is() {
    let late_first = script([(1, Rule::Delay { by: ms(50) })]);
    let mut sink = LossySink::at_client(echo(), replies(late_first), Seed::new(1));
    sink.send(PathIndex::FIRST, b"1").unwrap();
    sink.send(PathIndex::FIRST, b"2").unwrap();
    let mut order = Vec::new();
    let mut buffer = [0; 8];
    while let Some(received) = sink.wait(&mut buffer, at_ms(500)).unwrap() {
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
        assert_eq!(sink.wait(&mut [0; 8], until), Ok(None));
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
    sink.send(PathIndex::FIRST, b"one").unwrap();
    sink.get_mut().advance(ms(5));
    sink.send(PathIndex::FIRST, b"two").unwrap();
    assert_eq!(sink.flush(), Ok(()));
    assert_eq!((sink.now(), sink.get_ref().left), (at_ms(25), 2));
    let mut buffer = [0; 8];
    let first = sink.wait(&mut buffer, at_ms(0)).unwrap().unwrap();
    assert_eq!((&buffer[..first.len], first.at), (&b"one"[..], at_ms(21)), "it came during the flush");
    let second = sink.wait(&mut buffer, at_ms(26)).unwrap().unwrap();
    assert_eq!((&buffer[..second.len], second.at), (&b"two"[..], at_ms(26)));
    assert_eq!(sink.flush(), Ok(()));
    assert_eq!(sink.now(), at_ms(26), "with nothing on its way there is nothing to wait for");
}

#[test]
fn what_the_system_says_of_a_datagram_that_left_late_is_news_for_whoever_receives_next() {
    let mut sink = LossySink::at_client(Scripted::silent(), requests(delay(ms(10))), Seed::new(1));
    sink.send(PathIndex::FIRST, b"x").unwrap();
    sink.get_mut().fail_sends(2, PathError::NoBuffers);
    assert_eq!(sink.wait(&mut [0; 8], at_ms(50)), Err(PathError::NoBuffers));
    assert_eq!((sink.now(), sent(&sink).failed), (at_ms(10), 1));
    assert_eq!(sink.wait(&mut [0; 8], at_ms(50)), Ok(None), "once");

    // An error that an earlier datagram left behind swallows one attempt, not the datagram.
    sink.send(PathIndex::FIRST, b"y").unwrap();
    sink.get_mut().fail_sends(1, PathError::Refused);
    assert_eq!(sink.wait(&mut [0; 8], at_ms(80)), Err(PathError::Refused));
    assert_eq!((sink.get_ref().left, sent(&sink).passed), (1, 1));
    sink.send(PathIndex::FIRST, b"z").unwrap();
    sink.get_mut().fail_sends(2, PathError::Denied);
    assert_eq!(sink.flush(), Err(PathError::Denied));
    assert_balanced(&sent(&sink));
}

#[test]
fn a_fresh_port_drops_what_is_on_its_way_in_both_directions_and_counts_it() {
    let mut sink = LossySink::new(echo(), delay(ms(10)), Seed::new(1));
    sink.send(PathIndex::FIRST, b"a").unwrap();
    assert_eq!(sink.wait(&mut [0; 8], at_ms(15)), Ok(None));
    sink.send(PathIndex::FIRST, b"b").unwrap();
    assert_eq!((sent(&sink).in_flight, heard(&sink).in_flight), (1, 1));
    assert_eq!(sink.renew(PathIndex::FIRST, Renewal::Required), Ok(Renewed::FreshPort));
    assert_eq!((sent(&sink).discarded, heard(&sink).discarded), (1, 1));
    assert_eq!(sink.wait(&mut [0; 8], at_ms(100)), Ok(None));
    assert_balanced(&sent(&sink));
    assert_balanced(&heard(&sink));

    // News of the old port too.
    sink.send(PathIndex::FIRST, b"c").unwrap();
    sink.get_mut().advance(ms(10));
    sink.get_mut().fail_sends(2, PathError::Denied);
    sink.send(PathIndex::FIRST, b"d").unwrap();
    assert_eq!(sent(&sink).failed, 1);
    assert_eq!(sink.renew(PathIndex::FIRST, Renewal::Required), Ok(Renewed::FreshPort));
    assert_eq!(sink.wait(&mut [0; 8], at_ms(200)), Ok(None));
}
