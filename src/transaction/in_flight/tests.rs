use super::*;
use crate::transaction::{Execution, Failure, GiveUp, TransactionId, transaction_id};
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
