//! The loop of the front for many requests, over a transport that does what no real one can be made to do: floods, full send
//! buffers, errors that swallow a send, a process that is suspended.

use std::time::Duration;

use udp_retry::policy::Backoff;
use udp_retry::requester::Waited;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Execution, Failure, Limits, OnUnreachable};
use udp_retry::transport::{Incoming, NoEntropy, PathError, PathIndex, Received, Renewal, Renewed, Transport};
use udp_retry::{ConcurrentRequester, RetryPolicy, Seed, transaction_id};

use crate::scripted::{Back, START, Scripted, at_ms, ms, refused, reply};
use crate::watchdog::{MINUTE, within};

const US: Duration = Duration::from_micros(1);

#[test]
fn a_flood_of_strays_keeps_no_caller_past_the_time_and_no_transmission_from_leaving() {
    within(MINUTE, || {
        let world = Scripted::silent().flooded(US);
        let builder = ConcurrentRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN);
        let mut requester = builder.over(Odd { world, send: Duration::ZERO, broken: None }).unwrap();
        requester.submit(b"id 1 ping", 1).unwrap();
        for (waited, sent) in [(50, 1), (150, 2), (350, 3)] {
            assert!(matches!(requester.wait_until(at_ms(waited)), Waited::TimeUp));
            let late = requester.now().since(at_ms(waited));
            assert!(late <= 65 * US, "late by {late:?}");
            assert_eq!(requester.transport().world.sent.len(), sent, "after {waited} ms");
        }
        let error = requester.wait().unwrap().reply().unwrap_err();
        assert_eq!((error.is_timeout(), error.transmissions()), (true, 5));
        let late = requester.now().since(at_ms(3100));
        assert!(late < ms(2), "it ended late by {late:?}");
        assert!(requester.strays().empty > 3_000_000, "{:?}", requester.strays());
    });
}

#[test]
fn a_full_send_buffer_is_waited_for_and_costs_no_transmission() {
    let mut world = Scripted::echo(ms(3));
    world.fail_sends(5, PathError::NoBuffers);
    let mut requester = over(world);
    for n in 1..=3 {
        requester.submit(format!("id {n} ping").as_bytes(), n).unwrap();
    }
    for n in 1..=3 {
        let done = requester.wait().unwrap();
        assert_eq!((done.token(), done.transmissions(), done.round_trip()), (n, 1, Some(ms(3))));
        assert!(done.reply().is_ok());
    }
    let sent = requester.transport().sent_ms();
    assert!(sent.len() == 3 && sent.iter().all(|at| (5.0..5.7).contains(at)), "after five pauses of 1 ms: {sent:?}");
}

#[test]
fn an_error_that_swallows_a_send_delays_it_by_nothing() {
    // Each datagram is refused at once, which the next send meets.
    let mut requester = over(Scripted::new(|_| vec![refused(Duration::ZERO)]));
    for n in 1..=9 {
        requester.submit(format!("id {n} ping").as_bytes(), n).unwrap();
    }
    assert!(matches!(requester.wait_until(at_ms(50)), Waited::TimeUp));
    assert_eq!(requester.transport().sent_ms(), [0.0; 9]);
    while let Some(done) = requester.wait() {
        let error = done.reply().unwrap_err();
        // No one says whose they are, but nothing else ever came.
        assert_eq!((error.failure(), error.execution()), (Failure::Refused, Execution::Unknown), "{error}");
        assert_eq!(error.transmissions(), 5);
    }
}

#[test]
fn an_error_that_no_one_can_attribute_ends_a_request_only_if_it_is_alone() {
    for (requests, ends) in [(1, true), (2, false)] {
        let builder = ConcurrentRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN);
        let builder = builder.on_unreachable(OnUnreachable::FailFast);
        let mut world = Scripted::silent();
        world.inject(at_ms(10), Back::Error(PathError::Refused));
        let mut requester = builder.over(world).unwrap();
        for n in 1..=requests {
            requester.submit(format!("id {n} ping").as_bytes(), n).unwrap();
        }
        match requester.wait_until(at_ms(20)) {
            Waited::Completion(done) => assert_eq!(done.reply().unwrap_err().failure(), Failure::Refused),
            waited => assert!(!ends, "{waited:?}"),
        }
        assert_eq!(requester.in_flight() as u64, requests - u64::from(ends));
    }
}

#[test]
fn a_cancellation_sends_nothing_and_ends_nothing() {
    let mut requester = over(Scripted::echo(ms(3)).cancelled_at(START));
    requester.submit(b"id 1 ping", 1).unwrap();
    assert!(matches!(requester.wait_until(at_ms(50)), Waited::Cancelled));
    assert_eq!((requester.transport().sent.len(), requester.in_flight()), (0, 1));
    let done = requester.wait().unwrap();
    assert_eq!((done.transmissions(), done.elapsed()), (1, ms(3)));
}

#[test]
fn a_process_that_was_suspended_finds_its_replies_and_sends_no_burst() {
    // Whoever waits past 50 ms wakes after 2 s, when three transmissions would have been due.
    let world = Scripted::new(|heard| match heard.payload[3] {
        b'1' => vec![reply(ms(80), heard.payload)],
        _ => Vec::new(),
    });
    let mut requester = over(world.suspended(at_ms(50), at_ms(2000)));
    for id in [&b"id 1 ping"[..], b"id 2 ping"] {
        requester.submit(id, id[3].into()).unwrap();
    }
    let done = requester.wait().unwrap();
    assert_eq!((done.token(), done.transmissions()), (b'1'.into(), 1));
    assert!(done.reply().is_ok());
    let error = requester.wait().unwrap().reply().unwrap_err();
    let sent = requester.transport().sent_ms();
    assert_eq!(sent.len() as u32, error.transmissions() + 1, "the first one's, and those of the second");
    assert!(sent[2] >= 2000.0 && sent.windows(2).skip(2).all(|pair| pair[1] - pair[0] >= 50.0), "{sent:?}");
}

#[test]
fn what_ends_while_the_caller_is_away_is_handed_out_one_by_one() {
    let mut requester = over(Scripted::echo(ms(3)));
    for n in 1..=4 {
        requester.submit(format!("id {n} ping").as_bytes(), n).unwrap();
    }
    assert!(matches!(requester.wait_until(at_ms(1)), Waited::TimeUp));
    requester.transport_mut().advance(ms(500));
    for n in 1..=4 {
        // A time in the past: a look is enough.
        let done = requester.wait_until(at_ms(0)).completion().unwrap();
        assert_eq!((done.token(), done.transmissions(), done.elapsed()), (n, 1, ms(3)));
    }
    assert!(matches!(requester.wait_until(at_ms(0)), Waited::TimeUp));
}

#[test]
fn what_a_long_batch_sends_last_is_not_sent_again_too_early() {
    let limits = Limits::default().window(200.try_into().unwrap());
    let policy = RetryPolicy::new(Backoff::constant(ms(100)).unwrap()).with_max_transmissions(2).unwrap();
    let builder = ConcurrentRequester::builder(transaction_id(0..4)).policy(policy).limits(limits);
    // The last one of each batch is answered by none.
    let world = Scripted::new(|heard| match heard.payload[3] % 64 {
        63 => Vec::new(),
        _ => vec![reply(ms(1), heard.payload)],
    });
    let mut requester = builder.over(Odd { world, send: SEND, broken: None }).unwrap();
    for n in 0..192_u32 {
        requester.submit(&n.to_be_bytes(), n.into()).unwrap();
    }
    while requester.wait().is_some() {}
    for n in [63, 127, 191] {
        let of = requester.transport().world.sent.iter().filter(|sent| sent.payload[3] == n);
        let sent: Vec<Timestamp> = of.map(|sent| sent.at).collect();
        let waited = sent[1].since(sent[0]);
        // The clock is read for each 16 of them.
        assert!(sent.len() == 2 && waited >= ms(100) - 16 * SEND && waited < ms(101), "{waited:?}");
    }
}

#[test]
fn a_socket_that_reports_nothing_but_errors_keeps_no_request_and_no_caller_past_its_time() {
    within(MINUTE, || {
        for error in [PathError::Other(5), PathError::Refused] {
            let builder = ConcurrentRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN);
            let broken = Odd { world: Scripted::silent(), send: Duration::ZERO, broken: Some(error) };
            let mut requester = builder.over(broken).unwrap();
            for id in [b"id 1", b"id 2"] {
                requester.submit(id, 0).unwrap();
            }
            assert!(matches!(requester.wait_until(at_ms(50)), Waited::TimeUp));
            assert!(requester.now() <= at_ms(51));
            for _ in 0..2 {
                let failed = requester.wait().unwrap().reply().unwrap_err();
                assert_eq!(failed.transmissions(), 5, "{failed}");
            }
            assert!(requester.now() <= at_ms(3102), "{:?}", requester.now());
        }
    });
}

/// It does not know when a datagram arrived, as UDP sockets do not: at the end of the wait at the latest.
struct Odd {
    world: Scripted,
    /// What a send takes.
    send: Duration,
    /// Every receive fails, at the end of its wait.
    broken: Option<PathError>,
}

impl Transport for Odd {
    type Peer = PathIndex;

    fn now(&self) -> Timestamp {
        self.world.now()
    }

    fn send(&mut self, to: PathIndex, datagram: &[u8]) -> Result<(), PathError> {
        let sent = self.world.send(to, datagram);
        self.world.advance(self.send);
        sent
    }

    fn recv(&mut self, buffer: &mut [u8], now: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
        let Some(error) = self.broken else {
            return match self.world.recv(buffer, now, until) {
                Incoming::Datagram(received) => {
                    let Received { from, len, actual, at, .. } = received;
                    Incoming::Datagram(Received::new(from, len, actual, at.min(until)))
                }
                other => other,
            };
        };
        self.world.advance(until.since(self.now()));
        Incoming::PathError { path: Some(PathIndex::FIRST), error, quoted: 0 }
    }

    fn renew(&mut self, path: PathIndex, need: Renewal) -> Result<Renewed, PathError> {
        self.world.renew(path, need)
    }

    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        self.world.entropy(key)
    }
}

fn over(world: Scripted) -> ConcurrentRequester<Scripted> {
    let builder = ConcurrentRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).seed(Seed::new(0));
    builder.over(world).unwrap()
}

/// What a send takes where that matters.
const SEND: Duration = Duration::from_micros(100);
