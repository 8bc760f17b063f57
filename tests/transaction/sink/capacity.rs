//! What a sink can keep of what is delayed: a setting, a cause of its own, and a fair share for each peer.

use std::sync::{Arc, Mutex};

use udp_retry::fault::{Capacity, Direction, DropCause, Duplicate, Fate, Infeasible, Profile, Record};
use udp_retry::transport::{PathError, PathIndex, Transport};
use udp_retry::{Impairments, LossySink, Seed};

use super::{Room, assert_balanced, delay, heard, probability, requests, sent};
use crate::scripted::{Scripted, at_ms, ms};
use crate::waits::Waits;

#[test]
fn what_exceeds_the_capacity_is_a_drop_of_its_own_and_is_known_at_once() {
    let fates = Arc::new(Mutex::new(Vec::new()));
    let seen = fates.clone();
    let mut sink = LossySink::at_client(Scripted::silent(), requests(delay(ms(30))), Seed::new(1))
        .with_capacity(capacity(10, 65_535))
        .observed(move |_, record: &Record| seen.lock().unwrap().push((record.fate, record.to_string())));
    for n in 0..15 {
        assert_eq!(sink.send(PathIndex::FIRST, &[n]), Ok(()), "as in a network, its sender is not told");
    }
    let stats = sent(&sink);
    assert_eq!((stats.in_flight, stats.fates.dropped.capacity, stats.discarded), (10, 5, 0));
    assert_balanced(&stats);
    let fates: Vec<_> = std::mem::take(&mut fates.lock().unwrap());
    assert!(fates[..10].iter().all(|(fate, _)| matches!(fate, Fate::Delivered(_))));
    assert!(fates[10..].iter().all(|(fate, _)| *fate == Fate::Dropped(DropCause::Capacity)));
    assert!(fates[10].1.ends_with(r#""dropped":"capacity"}"#), "{}", fates[10].1);

    // As they leave, others can come.
    assert_eq!(sink.wait(&mut [0; 8], at_ms(40)), Ok(None));
    sink.send(PathIndex::FIRST, &[15]).unwrap();
    assert_eq!((sent(&sink).in_flight, sent(&sink).passed), (1, 10));
}

#[test]
fn bytes_are_bounded_as_datagrams_are() {
    let mut sink = LossySink::at_client(Scripted::silent(), requests(delay(ms(30))), Seed::new(1))
        .with_capacity(capacity(1000, 100_000));
    for len in [60_000, 30_000, 20_000, 9_000, 2_000, 1_000] {
        sink.send(PathIndex::FIRST, &vec![0; len]).unwrap();
    }
    assert_eq!((sent(&sink).in_flight, sent(&sink).fates.dropped.capacity), (4, 2), "60, 30, 9 and 1 kB");
}

#[test]
fn a_flood_of_one_peer_takes_no_others_share_in_either_direction() {
    let mut sink = LossySink::at_server(Room::default(), Profile::both(delay(ms(1000))), Seed::new(1))
        .with_capacity(capacity(1000, 1 << 20));
    // What is sent to peer 1, then what comes from peer 1; and of the others as much as fits beside it.
    for _ in 0..5000 {
        sink.send(1, b"flood").unwrap();
        sink.get_mut().inbox.push_back((at_ms(1), 1, b"flood".to_vec()));
    }
    for peer in [2, 3] {
        for _ in 0..200 {
            sink.send(peer, b"quiet").unwrap();
            sink.get_mut().inbox.push_back((at_ms(2), peer, b"quiet".to_vec()));
        }
    }
    while sink.get_ref().inbox.front().is_some() {
        assert_eq!(sink.wait(&mut [0; 8], at_ms(2)), Ok(None));
    }
    for direction in [Direction::ToServer, Direction::ToClient] {
        let stats = sink.stats(direction);
        assert_eq!((stats.in_flight, stats.fates.dropped.capacity), (1000 + 400, 4000), "{direction:?}");
        assert_balanced(&stats);
    }
}

#[test]
fn a_copy_that_is_not_kept_takes_the_datagram_with_it_no_more_than_the_datagram_the_copy() {
    let late = Duplicate::new(probability(1.0)).late(udp_retry::fault::DelayLaw::fixed(ms(500)).unwrap());
    let spec = Impairments::NONE.with_duplicate(late);
    let mut sink =
        LossySink::at_client(Scripted::silent(), requests(spec), Seed::new(1)).with_capacity(capacity(2, 65_535));
    for n in 0..5 {
        sink.send(PathIndex::FIRST, &[n]).unwrap();
    }
    let stats = sent(&sink);
    assert_eq!((stats.passed, stats.in_flight, stats.fates.dropped.capacity), (5, 2, 3));
    assert_eq!((stats.fates.delivered, stats.fates.duplicates), (7, 5));
    assert_balanced(&stats);
}

#[test]
fn a_flush_keeps_no_more_of_what_arrives_than_there_is_capacity_for() {
    let mut sink =
        LossySink::at_client(Room::default(), requests(delay(ms(50))), Seed::new(1)).with_capacity(capacity(8, 65_535));
    sink.send(0, b"x").unwrap();
    for n in 0..20 {
        sink.get_mut().inbox.push_back((at_ms(n), 0, vec![n as u8]));
    }
    sink.flush().unwrap();
    assert_eq!((heard(&sink).in_flight, heard(&sink).fates.dropped.capacity), (8, 12));
}

#[test]
fn a_capacity_holds_a_datagram_at_least() {
    for (datagrams, bytes) in [(0, 1 << 20), (1, 65_534), (0, 0)] {
        assert_eq!(Capacity::new(datagrams, bytes), Err(Infeasible::NoCapacity { datagrams, bytes }));
    }
    assert_eq!(
        Capacity::new(0, 9).unwrap_err().to_string(),
        "a capacity of 0 datagrams and 9 bytes is too small: 1 datagram and 65535 bytes at least"
    );
    let usual = Capacity::default();
    assert_eq!((usual.datagrams(), usual.bytes()), (65_536, 64 << 20));
    // None is too large.
    let mut sink = LossySink::at_client(Scripted::silent(), requests(delay(ms(30))), Seed::new(1))
        .with_capacity(capacity(usize::MAX, usize::MAX));
    for _ in 0..70_000 {
        sink.send(PathIndex::FIRST, b"x").unwrap();
    }
    assert_eq!((sent(&sink).in_flight, sent(&sink).fates.dropped.capacity), (70_000, 0));
}

#[test]
fn a_sink_is_within_its_dose_in_both_directions() {
    let spec: Impairments = "loss 100%; dose 2 of 3".parse().unwrap();
    let mut sink = LossySink::at_client(Room::default(), Profile::both(spec), Seed::new(1));
    let mut arrived = Vec::new();
    for n in 0..9 {
        sink.send(0, &[n]).unwrap();
        sink.get_mut().inbox.push_back((at_ms(n.into()), 0, vec![n]));
        let mut buffer = [0];
        if sink.wait(&mut buffer, at_ms(n.into())).unwrap().is_some() {
            arrived.push(buffer[0]);
        }
    }
    let left: Vec<_> = sink.get_ref().outbox.iter().map(|(.., payload)| payload[0]).collect();
    assert_eq!((&left[..], &arrived[..]), (&[2, 5, 8][..], &[2, 5, 8][..]));
    assert_eq!((sent(&sink).fates.spared, heard(&sink).fates.dropped.loss), (3, 6));
    assert_eq!(sink.send(0, b""), Ok::<(), PathError>(()));
}

fn capacity(datagrams: usize, bytes: usize) -> Capacity {
    Capacity::new(datagrams, bytes).unwrap()
}
