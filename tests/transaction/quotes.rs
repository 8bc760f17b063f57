//! Errors that quote the datagram that met them: whose they are, and what they say of the request under way.

use std::num::NonZeroU32;

use proptest::collection::vec;
use proptest::prelude::*;
use udp_retry::transaction::{
    Execution, Failure, GiveUp, Next, OnUnreachable, Transaction, TransactionId, transaction_id,
};
use udp_retry::transport::{Incoming, PathError, PathIndex, Renewed};
use udp_retry::{RetryPolicy, Seed};

use crate::by_hand::{RENEW_IF_FREE, TRANSMIT, Takes, in_silence, looked};
use crate::scripted::{START, at_ms};
use crate::seen::{Seen, seen};

use PathError::{Refused, Unreachable};

#[test]
fn a_quote_of_this_request_is_its_own_however_many_earlier_ones_are_open() {
    for error in [Refused, Unreachable] {
        let mut transaction = second_of_two(OnUnreachable::FailFast);
        transaction.on_quoted_error(START, Some(PathIndex::FIRST), error, b"id 2");
        let failure = if error == Refused { Failure::Refused } else { Failure::Unreachable };
        assert_eq!(looked(&mut transaction, START), Next::Failed(failure));
        assert_eq!(transaction.execution(), Execution::Refused);
    }
    let mut transaction = second_of_two(OnUnreachable::KeepTrying);
    transaction.on_quoted_error(START, Some(PathIndex::FIRST), Refused, b"id 2");
    assert_eq!(transaction.execution(), Execution::Refused);
    transaction.on_datagram(at_ms(1), PathIndex::FIRST, b"id 2", 4);
    assert_eq!((transaction.next(at_ms(1)), transaction.execution()), (Next::Done, Execution::Unknown));
}

#[test]
fn a_quote_of_anything_else_is_recorded_and_says_nothing_of_this_request() {
    for quoted in [&b"id 1"[..], b"id 2 and more", b"forged", b"i-"] {
        for rule in [OnUnreachable::FailFast, OnUnreachable::FailAfter(NonZeroU32::MIN), OnUnreachable::KeepTrying] {
            let mut transaction = second_of_two(rule);
            for error in [Unreachable, Refused, PathError::Denied, PathError::too_big(None), PathError::Other(71)] {
                transaction.on_quoted_error(START, Some(PathIndex::FIRST), error, quoted);
                assert_eq!(looked(&mut transaction, START), Next::WaitUntil(at_ms(100)), "{error} quotes {quoted:?}");
            }
            assert_eq!((transaction.execution(), transaction.last_error()), (Execution::Unknown, None));
            let errors = |&(_, event): &(_, Seen)| matches!(event, Seen::PathError(_));
            assert_eq!(seen(transaction.timeline()).iter().filter(|it| errors(it)).count(), 5);
            let (sent, _, end) = in_silence(&mut transaction, &Takes::default());
            assert_eq!((sent.len(), end), (4, Next::Failed(Failure::TimedOut(GiveUp::Unanswered))));
        }
    }
}

#[test]
fn a_quote_of_an_earlier_request_settles_it_so_that_the_next_error_without_one_is_this_requests() {
    for (first, ends) in [(&b"id 1"[..], true), (b"", true), (b"id 2", true)] {
        let mut transaction = second_of_two(OnUnreachable::FailAfter(NonZeroU32::MIN));
        let own = first == b"id 2";
        transaction.on_quoted_error(START, Some(PathIndex::FIRST), Refused, first);
        assert_eq!(matches!(looked(&mut transaction, START), Next::Failed(_)), own, "{first:?}");
        transaction.on_path_error(START, Some(PathIndex::FIRST), Refused);
        assert_eq!(matches!(looked(&mut transaction, START), Next::Failed(_)), ends, "{first:?}");
    }
    // An error that is no refusal settles nothing.
    let mut transaction = second_of_two(OnUnreachable::FailFast);
    transaction.on_quoted_error(START, Some(PathIndex::FIRST), PathError::too_big(None), b"id 1");
    transaction.on_path_error(START, Some(PathIndex::FIRST), Refused);
    assert_eq!(looked(&mut transaction, START), Next::WaitUntil(at_ms(100)), "the earlier one's");
}

#[test]
fn each_transmission_is_refused_once_however_often_the_network_says_so() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction.start_building(START, Seed::new(0));
    for (due, bytes) in [(0, b"id 1 a"), (100, b"id 1 b"), (300, b"id 1 b")] {
        transaction.on_time_up(at_ms(due));
        transaction.build(|_, request| request.extend_from_slice(bytes));
        transaction.on_transmitted(at_ms(due));
    }
    for (quoted, execution) in [
        (b"id 1 a", Execution::Unknown),
        (b"id 1 a", Execution::Unknown),
        (b"id 1 b", Execution::Unknown),
        (b"id 1 a", Execution::Unknown),
        (b"id 1 b", Execution::Refused),
        (b"id 1 b", Execution::Refused),
    ] {
        transaction.on_quoted_error(at_ms(301), Some(PathIndex::FIRST), Refused, quoted);
        assert_eq!(transaction.execution(), execution, "{quoted:?}");
    }
    transaction.build(|_, request| request.extend_from_slice(b"id 1 c"));
    transaction.on_transmitted(at_ms(700));
    transaction.on_quoted_error(at_ms(701), Some(PathIndex::FIRST), Refused, b"id 1 b");
    assert_eq!(transaction.execution(), Execution::Unknown, "the third of two");
}

#[test]
fn a_quote_may_end_anywhere_but_says_nothing_where_both_requests_begin_alike() {
    for len in 0..=4 {
        let mut transaction = second_of_two(OnUnreachable::FailFast);
        transaction.on_quoted_error(START, Some(PathIndex::FIRST), Refused, &b"id 2"[..len]);
        let ended = matches!(looked(&mut transaction, START), Next::Failed(_));
        assert_eq!(ended, len == 4, "{len} bytes: an earlier one is open");
    }
    // The same bytes once more.
    let mut transaction = sent(OnUnreachable::FailFast, &[b"id 1", b"id 1"]);
    transaction.on_quoted_error(START, Some(PathIndex::FIRST), Refused, b"id 1");
    assert_eq!(looked(&mut transaction, START), Next::WaitUntil(at_ms(100)), "it may be the first one's");
    assert_eq!(transaction.execution(), Execution::Unknown);
    transaction.on_quoted_error(START, Some(PathIndex::FIRST), Refused, b"id 1");
    assert_eq!(looked(&mut transaction, START), Next::Failed(Failure::Refused));
    assert_eq!(transaction.execution(), Execution::Refused);
}

#[test]
fn what_was_built_and_has_not_left_is_not_quoted() {
    let mut transaction = sent(OnUnreachable::FailFast, &[b"id 1"]);
    transaction.start(b"id 2", START, Seed::new(0));
    transaction.on_quoted_error(START, Some(PathIndex::FIRST), Refused, b"id 2");
    assert_eq!(looked(&mut transaction, START), TRANSMIT);
    transaction.on_transmitted(START);
    assert_eq!(transaction.execution(), Execution::Unknown);
}

#[test]
fn a_refusal_from_before_a_fresh_port_does_not_vouch_for_what_leaves_from_it() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction.start(b"id 1", START, Seed::new(0));
    transaction.on_transmitted(START);
    transaction.on_cancelled();
    transaction.next(START);
    transaction.start(b"id 2", START, Seed::new(0));
    assert_eq!(transaction.next(START), RENEW_IF_FREE);
    transaction.on_path_error(START, Some(PathIndex::FIRST), Refused);
    transaction.on_renewed(START, PathIndex::FIRST, Ok(Renewed::FreshPort));
    transaction.on_transmitted(START);
    assert_eq!(transaction.execution(), Execution::Unknown);
}

#[test]
fn the_quote_is_the_beginning_of_the_buffer_that_it_came_with() {
    let mut transaction = second_of_two(OnUnreachable::FailFast);
    let quoting = |quoted| Incoming::PathError { path: Some(PathIndex::FIRST), error: Refused, quoted };
    transaction.on_incoming(START, quoting(4), b"id 1 and what was there before");
    assert_eq!(looked(&mut transaction, START), Next::WaitUntil(at_ms(100)));
    transaction.on_incoming(START, quoting(4), b"id 2 and what was there before");
    assert_eq!(looked(&mut transaction, START), Next::Failed(Failure::Refused));
    // More than there is, as no transport says.
    let mut transaction = second_of_two(OnUnreachable::FailFast);
    transaction.on_incoming(START, quoting(usize::MAX), b"id 2");
    assert_eq!(looked(&mut transaction, START), Next::Failed(Failure::Refused));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is quoted, and how much of it: a request that a server has executed is never called refused.
    #[test]
    fn no_request_is_called_refused_that_was_executed(acts in vec(acts(), 0..80)) {
        let mut world = World::new(OnUnreachable::KeepTrying);
        for act in acts {
            world.apply(act);
            let executed = world.own().any(|sent| !sent.refused);
            if world.transaction.execution() == Execution::Refused {
                prop_assert!(!executed && world.own().count() > 0, "after {:?}: {:?}", act, world.sent);
            }
        }
    }

    /// Where every error quotes the whole of a datagram that is like no other, nothing is left to guess.
    #[test]
    fn with_quotes_of_different_datagrams_every_error_is_the_right_requests(acts in vec(acts(), 0..80)) {
        let mut patient = World::new(OnUnreachable::KeepTrying);
        let mut hasty = World::new(OnUnreachable::FailFast);
        for act in acts {
            let act = match act {
                Act::Start { rebuilt, .. } => Act::Start { rebuilt, repeated: false },
                Act::Refusal { which, .. } => Act::Refusal { which, quoted: usize::MAX },
                act => act,
            };
            patient.apply(act);
            let all = patient.own().count() > 0 && patient.own().all(|sent| sent.reported);
            prop_assert_eq!(patient.transaction.execution() == Execution::Refused, all, "after {:?}", act);
            hasty.apply(act);
            let any = hasty.own().any(|sent| sent.reported);
            prop_assert_eq!(matches!(hasty.next(), Next::Failed(Failure::Refused)), any, "after {:?}", act);
        }
    }
}

/// A client, its server, and what has become of each datagram.
struct World {
    transaction: Transaction<TransactionId>,
    now: u64,
    request: u8,
    rebuilt: bool,
    /// What stands for the id, which a request that repeats another one shares with it, and how often it did.
    id: u8,
    repeats: u8,
    builds: u8,
    sent: Vec<Sent>,
}

#[derive(Clone, Debug)]
struct Sent {
    request: u8,
    bytes: Vec<u8>,
    /// Else a server has executed it.
    refused: bool,
    reported: bool,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Start {
        rebuilt: bool,
        repeated: bool,
    },
    /// The next slot.
    Send {
        refused: bool,
    },
    /// A refusal that is still on its way arrives, and quotes this much.
    Refusal {
        which: usize,
        quoted: usize,
    },
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => (any::<bool>(), any::<bool>()).prop_map(|(rebuilt, repeated)| Act::Start { rebuilt, repeated }),
        6 => prop::bool::weighted(0.8).prop_map(|refused| Act::Send { refused }),
        6 => (any::<usize>(), prop_oneof![Just(0), 1..5_usize, Just(usize::MAX)])
            .prop_map(|(which, quoted)| Act::Refusal { which, quoted }),
    ]
}

impl World {
    fn new(rule: OnUnreachable) -> Self {
        let policy: RetryPolicy = "1ms x1 1000 transmissions".parse().unwrap();
        let transaction = Transaction::new(policy, transaction_id(0..2)).with_on_unreachable(rule).keeping_port();
        let mut world =
            Self { transaction, now: 0, request: 0, rebuilt: false, id: 0, repeats: 0, builds: 0, sent: Vec::new() };
        world.apply(Act::Start { rebuilt: true, repeated: false });
        world
    }

    fn own(&self) -> impl Iterator<Item = &Sent> {
        self.sent.iter().filter(|sent| sent.request == self.request)
    }

    fn next(&mut self) -> Next {
        self.transaction.on_time_up(at_ms(self.now));
        self.transaction.next(at_ms(self.now))
    }

    fn apply(&mut self, act: Act) {
        match act {
            Act::Start { rebuilt, repeated } => {
                self.request += 1;
                // Of what is further back nothing is remembered.
                self.repeats = if repeated && self.repeats < 3 { self.repeats + 1 } else { 0 };
                self.id += u8::from(self.repeats == 0);
                (self.rebuilt, self.builds) = (rebuilt, 0);
                self.transaction.start_building(at_ms(self.now), Seed::new(0));
            }
            Act::Send { refused } => self.send(refused),
            Act::Refusal { which, quoted } => self.refuse(which, quoted),
        }
    }

    fn send(&mut self, refused: bool) {
        self.now += 1;
        if matches!(self.next(), Next::Build(..)) {
            self.builds = (self.builds + 1) % 4 * u8::from(self.rebuilt);
            let bytes = [b'i', self.id, b'b', self.builds];
            self.transaction.build(|_, request| request.extend_from_slice(&bytes));
        }
        if self.next() == TRANSMIT {
            let bytes = self.transaction.datagram().to_vec();
            self.transaction.on_transmitted(at_ms(self.now));
            self.sent.push(Sent { request: self.request, bytes, refused, reported: false });
        }
    }

    fn refuse(&mut self, which: usize, quoted: usize) {
        // What comes between two requests, no one reads.
        if matches!(self.next(), Next::Failed(_)) {
            return;
        }
        let on_its_way: Vec<_> = self.sent.iter_mut().filter(|sent| sent.refused && !sent.reported).collect();
        let most = on_its_way.len().max(1);
        if let Some(sent) = on_its_way.into_iter().nth(which % most) {
            sent.reported = true;
            let quoted = &sent.bytes[..quoted.min(sent.bytes.len())];
            self.transaction.on_quoted_error(at_ms(self.now), Some(PathIndex::FIRST), Refused, quoted);
        }
    }
}

/// The first is answered after its second transmission, so that one transmission of it is open; the second has been sent.
fn second_of_two(rule: OnUnreachable) -> Transaction<TransactionId> {
    sent(rule, &[b"id 1", b"id 2"])
}

fn sent(rule: OnUnreachable, requests: &[&[u8; 4]]) -> Transaction<TransactionId> {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).with_on_unreachable(rule);
    transaction = transaction.keeping_port();
    for (n, request) in requests.iter().enumerate() {
        transaction.start(*request, START, Seed::new(0));
        transaction.on_transmitted(START);
        if n + 1 < requests.len() {
            transaction.on_transmitted(START);
            transaction.on_datagram(START, PathIndex::FIRST, &request[..], 4);
            assert_eq!(transaction.next(START), Next::Done);
        }
    }
    transaction
}
