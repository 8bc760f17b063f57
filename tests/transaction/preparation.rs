//! What has to be ready before a request can leave: in which order, and that the time it takes shortens no wait.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::time::Timestamp;
use udp_retry::transaction::{
    BuildFor, Execution, Failure, GiveUp, Next, ReplyMatcher, Transaction, any_reply, transaction_id,
};
use udp_retry::transport::{Incoming, NoEntropy, PathError, PathIndex, Renewal, Renewed, Transport};
use udp_retry::{ReliableRequester, RetryBudget, RetryPolicy, Seed};

use crate::by_hand::{RENEW, RENEW_IF_FREE, TRANSMIT, Takes, in_silence, looked};
use crate::scripted::{Scripted, at_ms, ms, reply};

#[test]
fn a_slot_is_granted_built_renewed_and_transmitted_in_this_order() {
    let budget = RetryBudget::new(0.0, 2, 2).unwrap();
    let policy = RetryPolicy::LAN.with_start_delay(ms(50), ms(50)).unwrap();
    let mut transaction = Transaction::new(policy, any_reply()).with_budget(budget.clone());
    transaction.start_building(at_ms(0), Seed::new(0));
    assert_eq!(transaction.next(at_ms(0)), Next::WaitUntil(at_ms(50)), "nothing is built before the start delay");
    assert_eq!(looked(&mut transaction, at_ms(50)), Next::Build(PathIndex::FIRST, 1));
    transaction.build(|it, bytes| bytes.push(it.transmission as u8));
    assert_eq!(transaction.next(at_ms(50)), RENEW, "only what was built has an identity");
    transaction.on_renewed(at_ms(50), PathIndex::FIRST, Ok(Renewed::FreshPort));
    assert_eq!(transaction.next(at_ms(50)), TRANSMIT);
    transaction.on_transmitted(at_ms(50));
    for (due, number) in [(150, 2), (350, 3)] {
        assert_eq!(budget.balance(), 4 - number, "{number}");
        assert_eq!(looked(&mut transaction, at_ms(due)), Next::Build(PathIndex::FIRST, number));
        assert_eq!(budget.balance(), 3 - number, "the token is taken before anything is built");
        transaction.build(|it, bytes| bytes.push(it.transmission as u8));
        assert_eq!(transaction.next(at_ms(due)), TRANSMIT, "from the same port");
        transaction.on_transmitted(at_ms(due));
    }
    assert_eq!(looked(&mut transaction, at_ms(750)), Next::WaitUntil(at_ms(1550)), "withheld, so not built");

    // Where the request before was not answered: only what was built is known to be another one.
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction.start(b"id 1", at_ms(0), Seed::new(0));
    transaction.on_transmitted(at_ms(0));
    transaction.start_building(at_ms(0), Seed::new(0));
    assert_eq!(transaction.next(at_ms(0)), Next::Build(PathIndex::FIRST, 1));
    transaction.build(|_, bytes| bytes.extend_from_slice(b"id 2"));
    assert_eq!(transaction.next(at_ms(0)), RENEW_IF_FREE);
}

#[test]
fn given_bytes_are_built_once() {
    for delay in [0, 50] {
        let policy = RetryPolicy::LAN.with_start_delay(ms(delay), ms(delay)).unwrap();
        let mut transaction = Transaction::new(policy, transaction_id(0..4));
        transaction.start(b"id 1", at_ms(0), Seed::new(0));
        for due in [0, 100, 300, 700, 1500].map(|due| at_ms(due + delay)) {
            assert_eq!(looked(&mut transaction, due), TRANSMIT);
            assert_eq!(transaction.datagram(), b"id 1");
            transaction.on_transmitted(due);
        }
    }
}

#[test]
fn a_builder_is_asked_again_for_each_slot_and_not_for_a_send_that_is_repeated() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction.start_building(at_ms(0), Seed::new(0));
    let build = |transaction: &mut Transaction<_>, bytes: &[u8]| {
        transaction.build(|_, built| built.extend_from_slice(bytes));
    };
    assert_eq!(transaction.next(at_ms(0)), Next::Build(PathIndex::FIRST, 1));
    build(&mut transaction, b"id 1a");
    transaction.on_not_transmitted(at_ms(0), PathError::Denied);
    assert_eq!((transaction.next(at_ms(0)), transaction.datagram()), (TRANSMIT, &b"id 1a"[..]));
    transaction.on_not_transmitted(at_ms(0), PathError::Denied);
    assert_eq!(looked(&mut transaction, at_ms(100)), Next::Build(PathIndex::FIRST, 1), "none has left yet");
    build(&mut transaction, b"id 1b");
    transaction.on_transmitted(at_ms(100));
    assert_eq!(looked(&mut transaction, at_ms(300)), Next::Build(PathIndex::FIRST, 2));
}

#[test]
fn what_a_builder_takes_shortens_no_wait_and_moves_no_deadline() {
    for (build, deadline, sent, end) in [
        (0, 3000, vec![0, 100, 300, 700, 1500], 3000),
        (30, 10_000, vec![30, 160, 390, 820, 1650], 3250),
        (30, 350, vec![30, 160], 350),
        // As long as it pleases: the wait begins when the request has left.
        (150, 10_000, vec![150, 400, 750, 1300, 2250], 3850),
    ] {
        let (world, mut requester) = slow(Scripted::silent(), ms(deadline));
        let error = requester.request_with(|it, bytes| build_slowly(&world, ms(build), it, bytes)).unwrap_err();
        let left: Vec<u64> = world.borrow().sent_ms().into_iter().map(|at| at as u64).collect();
        assert_eq!((left, error.elapsed()), (sent, ms(end)), "{build} ms, deadline {deadline}");
    }
}

#[test]
fn the_round_trip_does_not_count_the_building() {
    let (world, mut requester) = slow(Scripted::echo(ms(3)), ms(5000));
    let reply = requester.request_with(|it, bytes| build_slowly(&world, ms(400), it, bytes)).unwrap();
    assert_eq!((reply.round_trip(), reply.elapsed(), reply.transmissions()), (Some(ms(3)), ms(403), 1));
}

#[test]
fn a_build_that_ends_after_the_deadline_is_not_sent_and_hides_no_reply() {
    let (world, mut requester) = slow(Scripted::silent(), ms(1000));
    let error = requester.request_with(|it, bytes| build_slowly(&world, ms(700), it, bytes)).unwrap_err();
    assert_eq!((error.transmissions(), error.failure()), (1, Failure::TimedOut(GiveUp::Deadline)));
    assert_eq!((error.elapsed(), world.borrow().sent_ms()), (ms(1500), vec![700.0]), "the build cannot be interrupted");

    let (world, mut requester) = slow(Scripted::silent(), ms(500));
    let error = requester.request_with(|it, bytes| build_slowly(&world, ms(700), it, bytes)).unwrap_err();
    assert_eq!((error.transmissions(), error.execution()), (0, Execution::NotSent));

    // The reply to the first came while the second was built.
    for (after, counts) in [(300, true), (301, false)] {
        let answering = Scripted::new(move |heard| vec![reply(ms(after), heard.payload)]);
        let (world, mut requester) = slow(answering, ms(1000));
        let ended = requester.request_with(|it, bytes| build_slowly(&world, ms(700), it, bytes));
        assert_eq!(ended.map(|reply| reply.elapsed()).ok(), counts.then_some(ms(1000)), "after {after} ms");
    }
}

#[test]
fn the_start_delay_is_served_once_whatever_the_matcher() {
    fn first<M: ReplyMatcher>(policy: RetryPolicy, matcher: M, seed: u64, renewal: u64) -> u64 {
        let mut transaction = Transaction::new(policy, matcher);
        transaction.start(b"id 1", at_ms(0), Seed::new(seed));
        let (sent, ..) = in_silence(&mut transaction, &Takes { renewal: ms(renewal), ..Takes::default() });
        sent[0]
    }
    let fixed = RetryPolicy::LAN.with_start_delay(ms(300), ms(300)).unwrap();
    assert_eq!((first(fixed, transaction_id(0..4), 0, 0), first(fixed, any_reply(), 0, 0)), (300, 300));
    assert_eq!(first(fixed, any_reply(), 0, 20), 320, "and what a fresh port takes");
    let drawn = RetryPolicy::LAN.with_start_delay(ms(0), ms(1000)).unwrap();
    let mut latest = 0;
    for seed in 0..1000 {
        let by_id = first(drawn, transaction_id(0..4), seed, 0);
        assert_eq!(first(drawn, any_reply(), seed, 0), by_id, "seed {seed}");
        latest = latest.max(by_id);
    }
    assert!((900..=1000).contains(&latest), "{latest}");
}

#[test]
fn what_a_fresh_port_takes_puts_off_the_first_slot_and_counts_towards_every_deadline() {
    let policy = RetryPolicy::LAN.with_deadline(ms(300)).unwrap();
    let mut transaction = Transaction::new(policy, any_reply());
    transaction.start(b"time?", at_ms(0), Seed::new(0));
    let (sent, end, failure) = in_silence(&mut transaction, &Takes { renewal: ms(20), ..Takes::default() });
    assert_eq!((sent, end), (vec![20, 120], 300));
    assert_eq!(failure, Next::Failed(Failure::TimedOut(GiveUp::Deadline)));
    // Both take their time.
    let mut transaction = Transaction::new(RetryPolicy::LAN, any_reply());
    transaction.start_building(at_ms(0), Seed::new(0));
    let (sent, end, _) = in_silence(&mut transaction, &Takes { build: ms(30), renewal: ms(20) });
    assert_eq!((sent, end), (vec![50, 180, 410, 840, 1670], 3270));
}

type World = Rc<RefCell<Scripted>>;

/// A requester over a network whose clock its builder moves on.
fn slow(world: Scripted, deadline: Duration) -> (World, ReliableRequester<Shared>) {
    let world = Rc::new(RefCell::new(world));
    let builder = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).deadline(deadline);
    (Rc::clone(&world), builder.over(Shared(world)).unwrap())
}

fn build_slowly(world: &World, takes: Duration, purpose: BuildFor, bytes: &mut Vec<u8>) {
    world.borrow_mut().advance(takes);
    bytes.extend_from_slice(&purpose.transmission.to_be_bytes());
}

struct Shared(World);

impl Transport for Shared {
    type Peer = PathIndex;

    fn now(&self) -> Timestamp {
        self.0.borrow().now()
    }

    fn send(&mut self, to: PathIndex, datagram: &[u8]) -> Result<(), PathError> {
        self.0.borrow_mut().send(to, datagram)
    }

    fn recv(&mut self, buffer: &mut [u8], now: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
        self.0.borrow_mut().recv(buffer, now, until)
    }

    fn renew(&mut self, path: PathIndex, need: Renewal) -> Result<Renewed, PathError> {
        self.0.borrow_mut().renew(path, need)
    }

    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        self.0.borrow_mut().entropy(key)
    }
}
