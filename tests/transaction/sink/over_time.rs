//! Conditions that change: by themselves, and by a control, in both directions.

use udp_retry::fault::{Direction, Profile};
use udp_retry::size::IpFamily;
use udp_retry::transport::{PathError, Transport};
use udp_retry::{Impairments, LossySink, Seed};

use super::{Room, assert_balanced, heard, sent};
use crate::scripted::at_ms;
use crate::waits::Waits;

const PEER: u32 = 0;

#[test]
fn times_count_from_when_the_sink_was_made() {
    let late = |millis| Room { now: at_ms(millis), ..Room::default() };
    let all = spec("outage from 50ms for 10ms; at 100ms loss 100%; at 200ms none");
    let mut sink = LossySink::at_client(late(7000), Profile::both(all), Seed::new(1));
    for (millis, passes) in
        [(0, true), (49, true), (50, false), (60, true), (99, true), (100, false), (199, false), (200, true)]
    {
        sink.get_mut().now = at_ms(7000 + millis);
        sink.send(PEER, b"x").unwrap();
        assert_eq!(sink.get_mut().outbox.pop().is_some(), passes, "{millis} ms, sent");
        sink.get_mut().inbox.push_back((at_ms(7000 + millis), PEER, b"y".to_vec()));
        let received = sink.wait(&mut [0; 8], at_ms(7000 + millis)).unwrap();
        assert_eq!(received.is_some(), passes, "{millis} ms, received");
    }
    // A peer that appears later has the same times.
    sink.get_mut().now = at_ms(7150);
    sink.send(PEER + 1, b"x").unwrap();
    assert_eq!(sink.get_ref().outbox, []);
}

#[test]
fn a_rate_that_a_control_raises_leaves_in_the_queue_what_is_really_there() {
    for direction in [Direction::ToServer, Direction::ToClient] {
        let mut sink =
            LossySink::at_client(Room::default(), Profile::both(spec("rate 8kbit queue 64kB")), Seed::new(1));
        for n in 0..10 {
            pass_in(&mut sink, direction, n);
        }
        sink.control().set(direction, spec("rate 10gbit queue 64kB"));
        for n in 10..60 {
            pass_in(&mut sink, direction, n);
        }
        let stats = sink.stats(direction);
        assert_eq!((stats.fates.dropped.queue, stats.fates.delivered), (0, 60), "{direction:?}");
        // The other way round all 50,000 bytes and more are ahead, although they leave at once.
        sink.control().set(direction, spec("rate 8kbit queue 50kB"));
        pass_in(&mut sink, direction, 60);
        assert_eq!(sink.stats(direction).fates.dropped.queue, 1, "{direction:?}");
        sink.control().set(direction, spec("rate 8kbit queue 60 datagrams"));
        pass_in(&mut sink, direction, 61);
        assert_eq!(sink.stats(direction).fates.dropped.queue, 1, "{direction:?}");
        assert_balanced(&sink.stats(direction));
    }
}

#[test]
fn what_is_in_flight_keeps_its_order_until_it_is_released() {
    for direction in [Direction::ToServer, Direction::ToClient] {
        let mut sink =
            LossySink::at_client(Room::default(), Profile::both(spec("delay 10s ~1s unordered")), Seed::new(1));
        for n in 0..5 {
            pass_in(&mut sink, direction, n);
        }
        let control = sink.control();
        control.set(direction, spec("delay 5s"));
        pass_in(&mut sink, direction, 5);
        control.set(direction, Impairments::NONE);
        pass_in(&mut sink, direction, 6);
        assert_eq!(sink.stats(direction).in_flight, 7, "in order, so it waits for the one before");
        assert_eq!(sink.wait(&mut [0; 2000], at_ms(10)), Ok(None));
        assert_eq!(sink.get_ref().outbox.len(), 0);

        // The other direction is not released.
        control.release(direction.opposite());
        assert_eq!((sink.wait(&mut [0; 2000], at_ms(20)), sink.stats(direction).in_flight), (Ok(None), 7));
        control.release(direction);
        match direction {
            Direction::ToServer => sink.send(PEER, &[7]).unwrap(),
            Direction::ToClient => sink.get_mut().inbox.push_back((at_ms(20), PEER, vec![7])),
        }
        let mut order: Vec<u8> = Vec::new();
        let mut buffer = [0; 2000];
        while let Some(received) = sink.wait(&mut buffer, at_ms(20)).unwrap() {
            assert!(received.at <= at_ms(20));
            order.push(buffer[0]);
        }
        order.extend(sink.get_ref().outbox.iter().map(|(.., datagram)| datagram[0]));
        assert_eq!(order.len(), 8, "{direction:?}");
        // The first five were to come last, each at its own time, and the one behind the release waits for none.
        assert_eq!((&order[..2], order[7]), (&[5, 6][..], 7), "{order:?}");
        assert_ne!(order[2..7], [0, 1, 2, 3, 4], "in the order in which they were to come");
        assert_eq!((sink.stats(direction).in_flight, sink.stats(direction).passed), (0, 8));
        assert_balanced(&sink.stats(direction));
    }
}

#[test]
fn a_release_empties_the_queue_of_every_link() {
    let mut sink =
        LossySink::at_client(Room::default(), Profile::both(spec("rate 8bit queue 0 datagrams")), Seed::new(1));
    sink.send(PEER, b"").unwrap();
    sink.send(PEER, b"").unwrap();
    assert_eq!(sent(&sink).fates.dropped.queue, 1);
    sink.control().release(Direction::ToServer);
    sink.send(PEER, b"").unwrap();
    assert_eq!((sent(&sink).fates.dropped.queue, sent(&sink).passed, sent(&sink).in_flight), (1, 1, 1));
    assert_eq!(heard(&sink).fates.received, 0);
}

#[test]
fn a_sink_told_its_family_counts_its_headers() {
    for (family, limit) in [(None, 1252), (Some(IpFamily::V4), 1252), (Some(IpFamily::V6), 1232)] {
        let sink = LossySink::new(Room::default(), spec("mtu 1280 error"), Seed::new(1));
        let mut sink = family.into_iter().fold(sink, LossySink::over);
        assert_eq!(sink.send(PEER, &[0; 1280][..limit]), Ok(()));
        let Err(PathError::TooBig { limit: Some(told), .. }) = sink.send(PEER, &[0; 1280][..=limit]) else {
            panic!("{family:?}")
        };
        assert_eq!(told.bytes(), limit);
    }
}

/// A datagram of 1,000 bytes with its headers, known by its first byte.
fn pass_in(sink: &mut LossySink<Room>, direction: Direction, n: u8) {
    let datagram = [&[n][..], &[0; 971]].concat();
    match direction {
        Direction::ToServer => sink.send(PEER, &datagram).unwrap(),
        Direction::ToClient => {
            let now = sink.now();
            sink.get_mut().inbox.push_back((now, PEER, datagram));
            // Of a busy link nothing comes at once.
            assert_eq!(sink.wait(&mut [0; 2000], now), Ok(None), "{n}");
        }
    }
}

fn spec(text: &str) -> Impairments {
    text.parse().unwrap()
}
