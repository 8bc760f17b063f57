use super::slots::Clean;
use super::*;
use crate::policy::{Backoff, Jitter, LastWait};
use crate::time::wheel::TICK;
use crate::transaction::{Execution, Failure, GiveUp, Request, TransactionId, transaction_id};
use crate::transport::PathError;

type Engine = InFlight<u32, TransactionId>;

fn engine(matcher: TransactionId, limits: Limits) -> (Engine, PeerId) {
    let ids = IdSource::from_seed(Seed::new(7));
    let mut engine = InFlight::new(RetryPolicy::LAN, matcher, limits, Seed::new(7), Some(ids));
    let peer = engine.add_peer(1, RetryBudget::unlimited(), None);
    (engine, peer)
}

fn sent(engine: &mut Engine, now: Timestamp) -> Vec<(Handle, u32, Vec<u8>)> {
    let sent: Vec<_> = engine.transmits().map(|it| (it.handle, it.to, it.datagram.to_vec())).collect();
    engine.on_transmitted(now, sent.len());
    sent
}

fn ms(ms: u64) -> Timestamp {
    Timestamp::ZERO.after(Duration::from_millis(ms))
}

#[test]
fn a_request_is_sent_answered_and_gone() {
    let (mut engine, peer) = engine(transaction_id(0..8).stamped(), Limits::default());
    let handle = engine.submit(ms(0), peer, b"........ping", 5).unwrap();
    let sent = sent(&mut engine, ms(0));
    assert_eq!((sent.len(), sent[0].0, engine.len(), engine.on_wire(peer)), (1, handle, 1, 1));
    let Arrived::Reply(finished) = engine.on_datagram(ms(3), 1, &sent[0].2, 12) else { panic!() };
    assert_eq!((finished.token, finished.transmissions, finished.round_trip), (5, 1, Some(Duration::from_millis(3))));
    assert_eq!((engine.len(), engine.on_wire(peer), engine.next_deadline()), (0, 0, None));
    assert_eq!(engine.on_datagram(ms(4), 1, &sent[0].2, 12), Arrived::Stray(crate::transaction::Stray::Stale));
}

#[test]
fn a_silent_peer_is_asked_as_its_policy_says_and_the_request_fails() {
    let (mut engine, peer) = engine(transaction_id(0..8).stamped(), Limits::default());
    engine.submit(ms(0), peer, b"........ping", 5).unwrap();
    let mut transmissions = 0;
    let mut now = ms(0);
    let finished = loop {
        transmissions += sent(&mut engine, now).len();
        now = engine.next_deadline().unwrap();
        engine.on_time_up(now);
        if let Some(finished) = engine.next_finished() {
            break finished;
        }
    };
    assert_eq!(
        (finished.failure, finished.execution),
        (Some(Failure::TimedOut(GiveUp::Unanswered)), Execution::Unknown)
    );
    assert_eq!(u32::try_from(transmissions), Ok(finished.transmissions));
    assert_eq!(finished.transmissions, RetryPolicy::LAN.max_transmissions());
    assert_eq!(finished.timeline.unwrap().transmissions().count(), transmissions);
    assert_eq!((engine.len(), engine.next_deadline(), engine.next_finished()), (0, None, None));
}

#[test]
fn what_exceeds_the_window_waits_in_order_and_a_full_engine_says_so() {
    let window = core::num::NonZeroU32::new(2).unwrap();
    let limits = Limits::default().window(window).requests(core::num::NonZeroU32::new(4).unwrap());
    let (mut engine, peer) = engine(transaction_id(0..2).stamped(), limits);
    let handles: Vec<_> = (0..4).map(|token| engine.submit(ms(0), peer, b"..ping", token).unwrap()).collect();
    assert_eq!(engine.submit(ms(0), peer, b"..ping", 4), Err(SubmitError::Full));
    let first = sent(&mut engine, ms(0));
    assert_eq!(first.iter().map(|it| it.0).collect::<Vec<_>>(), handles[..2]);
    let cancelled = engine.cancel(ms(1), handles[2]).unwrap();
    assert_eq!((cancelled.failure, cancelled.execution), (Some(Failure::Cancelled), Execution::NotSent));
    assert!(matches!(engine.on_datagram(ms(1), 1, &first[1].2, 6), Arrived::Reply(_)));
    assert_eq!(sent(&mut engine, ms(1)).iter().map(|it| it.0).collect::<Vec<_>>(), handles[3..]);
}

#[test]
fn a_full_send_buffer_costs_neither_a_transmission_nor_a_slot() {
    let (mut engine, peer) = engine(transaction_id(0..8), Limits::default());
    engine.submit(ms(0), peer, b"8 bytes.", 0).unwrap();
    assert_eq!(engine.submit(ms(0), peer, b"8 bytes.", 0), Err(SubmitError::IdInUse));
    engine.on_not_transmitted(ms(0), PathError::NoBuffers);
    assert_eq!((engine.transmits().count(), engine.next_deadline()), (0, Some(ms(1))));
    engine.on_time_up(ms(1));
    assert_eq!(sent(&mut engine, ms(1)).len(), 1);
    // Counted from when it left, to within a tick.
    let due = loop {
        let now = engine.next_deadline().unwrap();
        engine.on_time_up(now);
        if engine.transmits().count() > 0 {
            break now;
        }
    };
    assert!((ms(101)..ms(102)).contains(&due), "{due:?}");
}

#[test]
fn a_record_is_as_large_as_its_machine_and_what_a_slot_cannot_hold() {
    let sizes = [size_of::<slots::Slot>(), size_of::<troubled::Troubled>()];
    println!("{sizes:?}");
    assert!(sizes <= [48, 160], "{sizes:?}");
}

#[test]
fn a_deadline_that_has_come_is_when_something_is_due_once_the_engine_knows_the_time() {
    // The first is answered before it is due, so that nothing is due when it would have been.
    let [mut told, engine] = [(); 2].map(|()| {
        let (mut engine, peer) = engine(transaction_id(0..8).stamped(), Limits::default());
        engine.submit(ms(0), peer, b"........ping", 0).unwrap();
        let first = sent(&mut engine, ms(0));
        engine.submit(ms(50), peer, b"........ping", 1).unwrap();
        sent(&mut engine, ms(50));
        assert!(matches!(engine.on_datagram(ms(60), 1, &first[0].2, 12), Arrived::Reply(_)));
        engine
    });
    let mut merely_soon = 0;
    for now in (60..150).map(ms) {
        merely_soon += u32::from(engine.next_deadline().unwrap() < now);
        told.advance(now);
        assert!(told.next_deadline().unwrap() > now, "at {now:?}");
    }
    assert!(merely_soon > 0, "it is never early, so this proves nothing");
    told.on_time_up(ms(150));
    assert_eq!(told.transmits().count(), 0);
    told.on_time_up(ms(151));
    assert_eq!(told.transmits().count(), 1);
}

/// Whether its end is drawn when the request leaves, because it is so short, or later.
#[test]
fn a_first_wait_that_has_come_to_an_end_is_over_however_short_it_is() {
    for least in [2, 5, 9, 40, 700].map(Duration::from_millis) {
        let backoff = Backoff::exponential(least, 2 * least).unwrap().with_jitter(Jitter::UPWARD).unwrap();
        let policy = RetryPolicy::new(backoff);
        let ids = IdSource::from_seed(Seed::new(7));
        let limits = Limits::default();
        let mut engine: Engine = InFlight::new(policy, transaction_id(0..8).stamped(), limits, Seed::new(7), Some(ids));
        let peer = engine.add_peer(1, RetryBudget::unlimited(), None);
        let (mut now, mut again, mut looks) = (ms(0), Vec::new(), 0);
        for token in 0..60 {
            engine.submit(now, peer, b"........ping", token).unwrap();
            now = now.after(Duration::from_micros(300));
            sent(&mut engine, now);
        }
        while again.len() < 60 {
            engine.advance(now);
            let next = engine.next_deadline().unwrap();
            if next <= now {
                looks += 1;
                engine.on_time_up(now);
                assert!(engine.transmits().count() > 0, "{least:?}: nothing is due at {now:?}");
                again.extend(sent(&mut engine, now).iter().map(|_| now));
            }
            now = now.after_ns(TICK);
        }
        assert!(looks > 5 && again[0] >= ms(0).after(least), "{least:?}: {looks} looks, {again:?}");
        // All have left within 18 ms, and wait half as long again at most.
        assert!(again[59] <= ms(19).after(least + least / 2), "{least:?}: {again:?}");
    }
}

#[test]
fn one_id_at_a_thousand_peers_is_a_request_at_each_and_what_is_quoted_says_whose_an_error_is() {
    let mut engine = engine(transaction_id(0..8), Limits::default()).0.with_on_unreachable(OnUnreachable::FailFast);
    let peers: Vec<_> = (1..=1_000).map(|address| engine.add_peer(address, RetryBudget::unlimited(), None)).collect();
    for (token, &peer) in (1..).zip(&peers) {
        let request = [&b"the same"[..], &u64::to_be_bytes(token)].concat();
        engine.submit(ms(0), peer, &request[..], token).unwrap();
        assert_eq!(engine.submit(ms(0), peer, &request[..], token), Err(SubmitError::IdInUse));
    }
    let sent = sent(&mut engine, ms(0));
    // Of no one knows whom, and of a datagram of which there is only one.
    engine.on_path_error(ms(1), None, PathError::Refused, &sent[699].2);
    engine.on_time_up(ms(1));
    assert_eq!(engine.next_finished().map(|finished| finished.token), Some(700));
    for (at, (_, to, datagram)) in sent.iter().enumerate().filter(|&(at, _)| at != 699) {
        assert!(!matches!(engine.on_datagram(ms(2), 1 + (*to % 1_000), b"not same", 8), Arrived::Reply(_)));
        let Arrived::Reply(finished) = engine.on_datagram(ms(2), *to, datagram, 16) else { panic!("{at}") };
        assert_eq!((finished.token, finished.peer), (at as u64 + 1, peers[at]));
    }
    assert_eq!((engine.len(), engine.next_finished()), (0, None));
}

#[test]
fn a_first_wait_that_is_known_from_a_range_ends_when_the_schedule_says() {
    let [least, short, more, long] = [3, 5, 6, 40].map(Duration::from_millis);
    let policy = |jitter| RetryPolicy::new(Backoff::exponential(short, long).unwrap().with_jitter(jitter).unwrap());
    let plain = policy(Jitter::UPWARD);
    let once = plain.with_max_transmissions(1).unwrap();
    let policies = [
        (policy(Jitter::NONE), true),
        (plain, true),
        (plain.with_start_delay(short, long).unwrap(), true),
        (once, true),
        // Neither from one range, nor to its end.
        (once.with_last_wait(LastWait::Initial(3)).unwrap(), false),
        (plain.with_deadline(more).unwrap(), false),
        (plain.with_deadline(least).unwrap(), false),
        (policy(Jitter::compounding(0.9, 1.1).unwrap()), false),
        (RetryPolicy::new(Backoff::constant(Duration::from_nanos(1)).unwrap()), false),
    ];
    for (policy, is_known) in policies {
        let ids = IdSource::from_seed(Seed::new(1));
        let engine: Engine =
            InFlight::new(policy, transaction_id(0..8).stamped(), Limits::default(), Seed::new(1), Some(ids));
        assert_eq!(engine.rules.plan(0).first_wait.is_some(), is_known, "{policy:?}");
        for number in 0..1_000 {
            let handle = Handle { slot: number, generation: number * 7 };
            let clean = Clean { handle, sent: ms(100), peer: 0, policy: 0 };
            let due = engine.first_due(&clean);
            assert_eq!(due, engine.schedule(&clean).wait_end(), "{policy:?}");
            assert!(!engine.is_in_first_wait(due, &clean), "{policy:?}");
            assert!(due >= ms(100).after_ns(engine.rules.plan(0).surely_waits), "{policy:?}");
        }
    }
}

#[test]
fn a_request_whose_deadline_has_come_when_it_is_submitted_never_leaves() {
    let (mut engine, peer) = engine(transaction_id(0..8).stamped(), Limits::default());
    let late = Request::new(b"........late").deadline(Duration::ZERO);
    engine.submit(ms(5), peer, &late, 1).unwrap();
    engine.submit(ms(5), peer, b"........ping", 2).unwrap();
    assert_eq!(engine.transmits().count(), 1);
    let due = engine.next_deadline().unwrap();
    assert!(due < ms(6), "{due:?}");
    engine.on_time_up(due);
    let ended = engine.next_finished().unwrap();
    assert_eq!((ended.token, ended.failure), (1, Some(Failure::TimedOut(GiveUp::Deadline))));
    assert_eq!((ended.execution, engine.len()), (Execution::NotSent, 1));
}

#[test]
fn a_request_that_has_ended_waits_for_no_time_while_that_is_not_taken() {
    let (mut engine, peer) = engine(transaction_id(0..8).stamped(), Limits::default());
    let request = || Request::new(b"........ping");
    for token in 0..3 {
        // In the wheel as it was sent, and for its own deadline.
        let own = if token == 1 { request().deadline(Duration::from_secs(9)) } else { request() };
        engine.submit(ms(0), peer, own, token).unwrap();
    }
    sent(&mut engine, ms(0));
    engine.remove_peer(ms(1), peer);
    assert_eq!((engine.len(), engine.next_deadline()), (3, None));
    let failures: Vec<_> = std::iter::from_fn(|| engine.next_finished()).map(|finished| finished.failure).collect();
    assert_eq!((failures, engine.len()), (vec![Some(Failure::Cancelled); 3], 0));
}

/// What the request answered last has left is taken over by the next: its slot, its block, its place in the wheel.
mod warm {
    use super::*;

    fn one_chunk(matcher: TransactionId) -> (Engine, PeerId) {
        engine(matcher, Limits::default().bytes(1 << 16).rest(Duration::ZERO, Duration::ZERO))
    }

    /// Submits one of so many bytes, or several at once, and answers them.
    fn asked_and_answered(engine: &mut Engine, peer: PeerId, now: Timestamp, len: usize, count: usize) {
        for token in 0..count {
            let mut request = vec![7; len];
            request[..8].copy_from_slice(&token.to_le_bytes());
            engine.submit(now, peer, &request[..], 0).unwrap();
        }
        for (_, _, datagram) in sent(engine, now) {
            assert!(matches!(engine.on_datagram(now, 1, &datagram, len), Arrived::Reply(_)));
        }
        assert_eq!((engine.len(), engine.next_deadline()), (0, None));
    }

    #[test]
    fn what_is_left_for_the_next_request_never_keeps_its_bytes_out() {
        for matcher in [transaction_id(0..8).stamped(), transaction_id(0..2).stamped(), transaction_id(0..8)] {
            let (mut engine, peer) = one_chunk(matcher);
            for n in 0..2_000 {
                // All of one chunk, by whatever is left of what was there before.
                let (len, count) = [(32, 1), (65_000, 1), (32, 64), (33, 2), (29, 2), (1_200, 51), (16, 1)][n % 7];
                asked_and_answered(&mut engine, peer, ms(n as u64), len, count);
            }
            assert_eq!((engine.payloads.bytes_held(), engine.slots.used()), (1 << 16, 0));
        }
    }

    #[test]
    fn a_request_that_is_not_taken_in_leaves_it_to_the_next() {
        let (mut engine, peer) = one_chunk(transaction_id(0..8));
        for n in 0..100 {
            asked_and_answered(&mut engine, peer, ms(n), 30_000, 1);
            assert_eq!(engine.submit(ms(n), peer, b"short", 0), Err(SubmitError::Unmatchable));
            assert_eq!(engine.submit(ms(n), peer, &[0; 65_508], 0), Err(SubmitError::TooLarge { len: 65_508 }));
            engine.submit(ms(n), peer, &[1; 20_000], 0).unwrap();
            assert_eq!(engine.submit(ms(n), peer, &[1; 20_000], 0), Err(SubmitError::IdInUse));
            engine.submit(ms(n), peer, &[2; 20_000], 0).unwrap();
            let datagrams: Vec<_> = sent(&mut engine, ms(n)).into_iter().map(|it| it.2).collect();
            assert_eq!(datagrams, [[1; 20_000], [2; 20_000]]);
            for datagram in datagrams {
                assert!(matches!(engine.on_datagram(ms(n), 1, &datagram, 20_000), Arrived::Reply(_)));
            }
        }
        assert_eq!((engine.slots.used(), engine.slots.numbers().count()), (0, 2));
    }

    /// Each pair of first waits: of the request before, and of the one that takes over its slot.
    #[test]
    fn a_slot_used_again_is_due_when_its_own_policy_says() {
        let waits = [1, 5, 9, 40, 100, 700, 5_000, 60_000];
        let policies = waits.map(|wait| RetryPolicy::new(Backoff::constant(Duration::from_millis(wait)).unwrap()));
        let (mut engine, peer) = one_chunk(transaction_id(0..8).stamped());
        let mut now = ms(3);
        for (before, policy) in policies.iter().flat_map(|before| policies.iter().map(move |policy| (before, policy))) {
            let request = || Request::new(b"........ping");
            engine.submit(now, peer, request().policy(before), 0).unwrap();
            let datagram = sent(&mut engine, now).remove(0).2;
            now = now.after(Duration::from_micros(500));
            assert!(matches!(engine.on_datagram(now, 1, &datagram, 12), Arrived::Reply(_)));
            let handle = engine.submit(now, peer, request().policy(policy), 1).unwrap();
            sent(&mut engine, now);
            let (due, mut looks) = (now.after(policy.backoff().initial()), 0);
            while engine.transmits().count() == 0 {
                now = engine.next_deadline().unwrap();
                engine.advance(now);
                if engine.next_deadline().unwrap() <= now {
                    engine.on_time_up(now);
                    assert!(engine.transmits().count() > 0, "nothing is due at {now:?}, but at {due:?}");
                }
                looks += 1;
                assert!(looks < 20, "again and again before {due:?}");
            }
            assert!((due..due.after_ns(TICK)).contains(&now), "due at {due:?}, and sent at {now:?}");
            engine.cancel(now, handle).unwrap();
            assert_eq!((engine.len(), engine.next_deadline()), (0, None));
        }
        assert_eq!(engine.slots.numbers().count(), 1);
    }

    #[test]
    fn a_request_that_was_not_sent_is_due_at_no_time() {
        for (wait, is_time_up) in [5, 100, 2_000].into_iter().flat_map(|wait| [(wait, false), (wait, true)]) {
            let policy = RetryPolicy::new(Backoff::constant(Duration::from_millis(wait)).unwrap());
            let request = || Request::new(b"........ping").policy(&policy);
            let (mut engine, peer) = one_chunk(transaction_id(0..8).stamped());
            engine.submit(ms(0), peer, request(), 0).unwrap();
            let datagram = sent(&mut engine, ms(0)).remove(0).2;
            assert!(matches!(engine.on_datagram(ms(1), 1, &datagram, 12), Arrived::Reply(_)));
            engine.submit(ms(1), peer, request(), 0).unwrap();
            assert!(engine.next_deadline().is_some(), "it was left nothing, so this proves nothing");
            let at = ms(1 + wait);
            if is_time_up {
                engine.on_time_up(at);
            } else {
                engine.advance(at);
            }
            assert_eq!((engine.transmits().count(), engine.next_deadline()), (1, None), "{wait} ms");
        }
    }

    #[test]
    fn a_request_that_waits_for_its_place_is_due_at_no_time() {
        for wait in [5, 100, 2_000].map(Duration::from_millis) {
            let request = || Request::new(b"........ping");
            let policy = RetryPolicy::new(Backoff::constant(wait).unwrap());
            let one = core::num::NonZeroU32::new(1).unwrap();
            let (mut engine, peer) = engine(transaction_id(0..8).stamped(), Limits::default().window(one));
            for token in 0..2 {
                engine.submit(ms(0), peer, request().policy(&policy), token).unwrap();
            }
            let first = sent(&mut engine, ms(0)).remove(0).2;
            let now = ms(0).after(wait / 2);
            assert!(matches!(engine.on_datagram(now, 1, &first, 12), Arrived::Reply(_)));
            // In the slot of the first, while the second is on the wire.
            engine.submit(now, peer, request().policy(&policy), 2).unwrap();
            assert_eq!(sent(&mut engine, now).len(), 1);
            let (mut at, due) = (now, now.after(wait));
            while at < due {
                engine.advance(at);
                assert!(engine.next_deadline().is_some_and(|next| next > at), "{wait:?}: nothing is due at {at:?}");
                at = at.after_ns(TICK);
            }
            engine.on_time_up(due.after_ns(TICK));
            assert_eq!((engine.transmits().count(), engine.len()), (1, 2));
        }
    }
}
