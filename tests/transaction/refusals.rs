//! Whose a refusal is, how long it may be an earlier request's, and what it takes to call a request refused.

use std::num::NonZeroU32;

use udp_retry::transaction::{
    Execution, Failure, GiveUp, Hold, Match, Matching, Next, OnUnreachable, Stray, Transaction, TransactionId,
    any_reply, matching, transaction_id,
};
use udp_retry::transport::{PathError, PathIndex};
use udp_retry::{ReliableRequester, RetryPolicy, Seed};

use crate::by_hand::{TRANSMIT, Takes, fail_twice, in_silence, looked};
use crate::scripted::{Heard, START, Scripted, at_ms, ms, refused, reply};
use crate::seen::{Seen, seen};

#[test]
fn a_late_refusal_of_the_request_before_does_not_end_this_one() {
    // Transmission 1 of the first request is refused late, its second one is answered.
    let world = |refused_too: bool| {
        Scripted::new(move |heard: Heard<'_>| match (heard.ordinal, heard.payload[3]) {
            (0, _) => vec![refused(ms(250))],
            (1, _) => vec![reply(ms(1), heard.payload)],
            (_, _) if refused_too => vec![refused(ms(170))],
            _ => vec![reply(ms(180), heard.payload)],
        })
    };
    let run = |on_unreachable, refused_too| {
        let builder = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN);
        let mut requester = builder.on_unreachable(on_unreachable).over(world(refused_too)).unwrap();
        assert_eq!(requester.request(b"id 1").unwrap().elapsed(), ms(101));
        let ended = requester.request(b"id 2");
        ended.map(|reply| reply.elapsed()).map_err(|error| (error.failure(), error.elapsed(), error.execution()))
    };
    assert_eq!(run(OnUnreachable::FailFast, false), Ok(ms(180)));
    assert_eq!(run(OnUnreachable::FailAfter(NonZeroU32::MIN), false), Ok(ms(180)));
    // The second refusal can only be its own.
    let failed = Err((Failure::Refused, ms(170), Execution::Unknown));
    assert_eq!(run(OnUnreachable::FailFast, true), failed);
    let failed = Err((Failure::Refused, ms(270), Execution::Refused));
    assert_eq!(run(OnUnreachable::FailAfter(NonZeroU32::MIN.saturating_add(1)), true), failed);
}

#[test]
fn a_refusal_may_be_an_earlier_requests_for_120_s_by_the_clock_of_the_transport() {
    for (pause, doomed) in [(0, false), (119_999, false), (120_000, true), (500_000, true)] {
        // One of two transmissions was answered, so one is open.
        let mut transaction = fail_fast();
        transaction.on_transmitted(at_ms(100));
        transaction.on_datagram(at_ms(101), PathIndex::FIRST, b"id 1", 4);
        assert_eq!(transaction.next(at_ms(101)), Next::Done);
        let start = at_ms(100 + pause);
        transaction.start(b"id 2", start, Seed::new(0));
        assert_eq!(transaction.next(start), TRANSMIT);
        transaction.on_transmitted(start);
        transaction.on_path_error(start, Some(PathIndex::FIRST), PathError::Refused);
        let next = looked(&mut transaction, start);
        assert_eq!(next == Next::Failed(Failure::Refused), doomed, "{pause} ms after it was sent last: {next:?}");
        let execution = if doomed { Execution::Refused } else { Execution::Unknown };
        assert_eq!(transaction.execution(), execution);
    }
}

#[test]
fn a_request_counts_as_refused_only_if_nothing_but_refusals_came() {
    use PathError::{Denied, NoBuffers, Refused, Unreachable};
    type Told = fn(&mut Transaction<Matcher>);
    let told = |transaction: &mut Transaction<Matcher>, errors: &[PathError]| {
        for &error in errors {
            transaction.on_path_error(at_ms(1), Some(PathIndex::FIRST), error);
        }
    };
    let silence = Failure::TimedOut(GiveUp::Unanswered);
    for (errors, also, failure) in [
        (&[Refused][..], None, Failure::Refused),
        (&[Refused, Refused], None, Failure::Refused),
        (&[Unreachable, Unreachable], None, Failure::Unreachable),
        (&[Unreachable, Denied, Refused], None, silence),
        (&[Unreachable, Refused], None, silence),
        (&[Refused, Unreachable], None, silence),
        (&[NoBuffers, Refused], None, silence),
        (&[Refused], Some((|it| _ = it.on_datagram(at_ms(1), PathIndex::FIRST, b"junk", 4)) as Told), silence),
        (&[Refused], Some((|it| _ = it.on_datagram(at_ms(1), PathIndex::FIRST, b"soon", 4)) as Told), silence),
    ] {
        let mut transaction = Transaction::new(RetryPolicy::LAN, matching(soon as fn(&[u8], &[u8]) -> Match));
        transaction.start(b"id 1", at_ms(0), Seed::new(0));
        transaction.on_transmitted(at_ms(0));
        told(&mut transaction, errors);
        if let Some(also) = also {
            also(&mut transaction);
        }
        let (sent, _, end) = in_silence(&mut transaction, &Takes::default());
        assert_eq!((sent.len(), end), (4, Next::Failed(failure)), "{errors:?}");
    }
    // What the system itself would not send counts likewise.
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction.start(b"id 1", at_ms(0), Seed::new(0));
    fail_twice(&mut transaction, at_ms(0), Denied);
    for due in [100, 300, 700, 1500] {
        assert_eq!(looked(&mut transaction, at_ms(due)), TRANSMIT);
        transaction.on_transmitted(at_ms(due));
        transaction.on_path_error(at_ms(due), Some(PathIndex::FIRST), Refused);
    }
    assert_eq!(looked(&mut transaction, at_ms(3100)), Next::Failed(silence));
}

#[test]
fn a_reply_and_a_refusal_at_one_instant_are_a_reply_in_either_order() {
    type Steps = fn(&mut Transaction<TransactionId>);
    let (refuse, answer): (Steps, Steps) = (
        |it| it.on_path_error(at_ms(1), Some(PathIndex::FIRST), PathError::Refused),
        |it| _ = it.on_datagram(at_ms(1), PathIndex::FIRST, b"id 1", 4),
    );
    let look: Steps = |it| it.on_time_up(at_ms(1));
    for steps in [
        vec![refuse, answer],
        vec![answer, refuse],
        vec![refuse, answer, refuse],
        vec![refuse, answer, look],
        vec![answer, refuse, look],
        vec![answer, look, refuse, look],
    ] {
        for ask in [false, true] {
            let mut transaction = fail_fast();
            for step in &steps {
                step(&mut transaction);
                if ask {
                    transaction.next(at_ms(1));
                }
            }
            assert_eq!(transaction.next(at_ms(1)), Next::Done);
            assert_eq!(transaction.execution(), Execution::Unknown);
            assert!(!seen(transaction.timeline()).iter().any(|(_, event)| matches!(event, Seen::Failed(_))));
        }
    }
}

#[test]
fn a_refusal_dooms_no_request_before_the_queue_behind_it_was_looked_at() {
    let mut transaction = fail_fast();
    transaction.on_path_error(at_ms(1), Some(PathIndex::FIRST), PathError::Refused);
    assert_eq!(transaction.next(at_ms(1)), Next::WaitUntil(at_ms(1)), "look, do not wait");
    assert_eq!(looked(&mut transaction, at_ms(1)), Next::Failed(Failure::Refused));
}

#[test]
fn only_what_was_sent_is_remembered_and_may_come_late() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).keeping_port();
    let mut ask = |id: &[u8; 4], leaves: bool, late: &[u8]| {
        transaction.start(id, START, Seed::new(0));
        if leaves {
            transaction.on_transmitted(START);
        }
        transaction.on_datagram(START, PathIndex::FIRST, late, late.len());
        seen(transaction.timeline()).last().unwrap().1
    };
    assert_eq!(ask(b"id 1", true, b"id 0"), Seen::Stray(Stray::Foreign, 4));
    assert_eq!(ask(b"id 2", false, b"id 1"), Seen::Stray(Stray::Stale, 4));
    assert_eq!(ask(b"id 3", true, b"id 2"), Seen::Stray(Stray::Foreign, 4), "it never left");
    // However many never leave, they push nothing out.
    for _ in 0..20 {
        assert_eq!(ask(b"id 4", false, b"id 4"), Seen::Stray(Stray::Foreign, 4));
    }
    assert_eq!(ask(b"id 5", true, b"id 1"), Seen::Stray(Stray::Stale, 4));
    assert_eq!(ask(b"id 6", true, b"id 3"), Seen::Stray(Stray::Stale, 4));
}

#[test]
fn there_is_nothing_to_send_before_it_is_built() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, any_reply().on_a_faithful_path());
    assert_eq!(transaction.datagram(), b"");
    transaction.start(b"first", START, Seed::new(0));
    assert_eq!(transaction.datagram(), b"first");
    transaction.start_building(START, Seed::new(0));
    assert_eq!(transaction.datagram(), b"", "not the one before");
    transaction.build(|_, bytes| bytes.extend_from_slice(b"second"));
    assert_eq!(transaction.datagram(), b"second");
}

type Matcher = Matching<fn(&[u8], &[u8]) -> Match>;

fn soon(_: &[u8], datagram: &[u8]) -> Match {
    if datagram == b"soon" { Match::Provisional(Hold::Slow) } else { Match::Foreign }
}

/// Sent once, and ended by the first refusal of its own.
fn fail_fast() -> Transaction<TransactionId> {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction = transaction.with_on_unreachable(OnUnreachable::FailFast);
    transaction.start(b"id 1", START, Seed::new(0));
    transaction.on_transmitted(START);
    transaction
}
