//! What holds for one request alone, and what a request may ask of an empty budget.

use udp_retry::policy::{Backoff, RttEstimator};
use udp_retry::transaction::{Execution, Failure, GiveUp, Next, Request, Transaction, transaction_id};
use udp_retry::transport::PathIndex;
use udp_retry::{ReliableRequester, RetryBudget, RetryPolicy, Seed};

use crate::by_hand::{Takes, in_silence};
use crate::front;
use crate::scripted::{START, Scripted, at_ms, ms};
use crate::seen::{Seen, seen};

#[test]
fn a_request_may_end_earlier_than_the_requesters_others_and_not_later() {
    for (requesters, own, end) in [
        (None, Some(250), 250),
        (Some(400), Some(250), 250),
        (Some(250), Some(400), 250),
        (Some(250), None, 250),
        (None, Some(0), 0),
        (None, Some(100), 100),
        (None, None, 3100),
    ] {
        let mut builder = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN);
        if let Some(deadline) = requesters {
            builder = builder.deadline(ms(deadline));
        }
        let mut requester = builder.over(Scripted::silent()).unwrap();
        let mut request = Request::new(b"id 1");
        if let Some(deadline) = own {
            request = request.deadline(ms(deadline));
        }
        let error = requester.request(request).unwrap_err();
        assert_eq!(error.elapsed(), ms(end), "{requesters:?}, {own:?}");
        let sent = [0, 100, 300, 700, 1500].iter().filter(|&&due| due < end).count() as u32;
        assert_eq!((error.transmissions(), error.execution() == Execution::NotSent), (sent, sent == 0));
        let because = if end == 3100 { GiveUp::Unanswered } else { GiveUp::Deadline };
        assert_eq!(error.failure(), Failure::TimedOut(because));
        // It was that one's only.
        let next = requester.request(b"id 2").unwrap_err();
        assert_eq!(next.elapsed(), ms(requesters.unwrap_or(3100)));
    }
}

#[test]
fn a_reply_by_a_requests_own_deadline_counts_whenever_it_is_read() {
    for (delay, counts) in [(50, true), (51, false)] {
        let world = Scripted::echo(ms(delay)).suspended(at_ms(30), at_ms(80));
        let mut requester =
            ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).over(world).unwrap();
        let ended = requester.request(Request::new(b"id 1").deadline(ms(50)));
        assert_eq!(ended.is_ok(), counts, "{delay}");
    }
}

#[test]
fn a_request_may_follow_a_policy_of_its_own_and_the_next_follows_the_requesters() {
    let own = every(20, 3);
    let mut requester =
        ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).over(Scripted::silent()).unwrap();
    for _ in 0..3 {
        let error = requester.request(Request::new(b"id 1").policy(&own)).unwrap_err();
        assert_eq!(error.timeline().transmissions().collect::<Vec<_>>(), [0, 20, 40].map(ms));
        assert_eq!(error.elapsed(), ms(60));
        let error = requester.request(b"id 2").unwrap_err();
        assert_eq!(error.timeline().transmissions().collect::<Vec<_>>(), [0, 100, 300, 700, 1500].map(ms));
        assert_eq!(error.elapsed(), ms(3100));
    }
}

#[test]
fn any_number_of_policies_are_each_followed() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).keeping_port();
    for round in 0..3 {
        for wait in (1..=30).map(|n| 10 * n) {
            let own = every(wait, 3);
            transaction.start(Request::new(b"id 1").policy(&own), START, Seed::new(0));
            let (sent, end, _) = in_silence(&mut transaction, &Takes::default());
            assert_eq!((sent, end), (vec![0, wait, 2 * wait], 3 * wait), "round {round}");
        }
    }
}

#[test]
fn a_policys_own_deadline_and_a_measured_path_hold_for_it_too() {
    let own = every(20, 10).with_deadline(ms(70)).unwrap();
    let mut requester = ReliableRequester::builder(transaction_id(0..4)).over(Scripted::silent()).unwrap();
    let error = requester.request(Request::new(b"id 1").policy(&own)).unwrap_err();
    assert_eq!((error.transmissions(), error.elapsed()), (4, ms(70)));
    let error = requester.request(Request::new(b"id 2").policy(&own).deadline(ms(30))).unwrap_err();
    assert_eq!((error.transmissions(), error.elapsed()), (2, ms(30)));

    let estimator = RttEstimator::new(ms(50), ms(50), ms(60_000)).unwrap();
    let builder = ReliableRequester::builder(transaction_id(0..4)).estimator(estimator);
    let growing = RetryPolicy::new(Backoff::exponential(ms(20), ms(1000)).unwrap()).with_max_transmissions(3).unwrap();
    let error = builder.over(Scripted::silent()).unwrap().request(Request::new(b"id 1").policy(&growing)).unwrap_err();
    assert_eq!(error.timeline().transmissions().collect::<Vec<_>>(), [0, 50, 150].map(ms));
}

#[test]
fn bytes_of_every_kind_become_a_request() {
    let mut requester =
        ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).over(Scripted::echo(ms(1))).unwrap();
    let (array, vector, slice) = (*b"id 1", b"id 1".to_vec(), &b"id 1"[..]);
    let request = Request::new(slice);
    assert_eq!(requester.request(&array).unwrap().payload(), slice);
    assert_eq!(requester.request(slice).unwrap().payload(), slice);
    assert_eq!(requester.request(&vector).unwrap().payload(), slice);
    assert_eq!(requester.request(vector).unwrap().payload(), slice);
    assert_eq!(requester.request(&request).unwrap().payload(), slice);
    assert_eq!(requester.request(request).unwrap().payload(), slice);
}

#[test]
fn an_empty_budget_ends_a_request_at_once_if_that_is_asked_for() {
    let ended = |tokens, fails: bool| {
        let budget = RetryBudget::new(0.0, 10, tokens).unwrap();
        let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).with_budget(budget);
        if fails {
            transaction = transaction.failing_over_budget();
        }
        let mut world = Scripted::silent();
        transaction.start(b"id 1", START, Seed::new(0));
        let failure = front::drive(&mut world, &mut transaction, |_, _| {}, &mut [0; 8]).unwrap_err();
        assert_eq!(transaction.execution(), Execution::Unknown);
        let last = seen(transaction.timeline()).pop().unwrap();
        assert_eq!(last.1, Seen::Failed(failure));
        (failure, last.0, transaction.transmissions(), transaction.withheld())
    };
    let over_budget = Failure::TimedOut(GiveUp::OverBudget);
    assert_eq!(ended(0, true), (over_budget, ms(100), 1, 1));
    assert_eq!(ended(2, true), (over_budget, ms(700), 3, 1));
    assert_eq!(ended(0, false), (over_budget, ms(3100), 1, 4));
    assert_eq!(ended(4, true), (Failure::TimedOut(GiveUp::Unanswered), ms(3100), 5, 0));
}

#[test]
fn a_reply_that_is_there_when_the_budget_is_found_empty_counts() {
    let budget = RetryBudget::new(0.0, 0, 0).unwrap();
    let transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).with_budget(budget);
    let mut transaction = transaction.failing_over_budget();
    transaction.start(b"id 1", START, Seed::new(0));
    transaction.on_transmitted(START);
    assert_eq!(transaction.next(at_ms(100)), Next::WaitUntil(at_ms(100)), "look first");
    transaction.on_datagram(at_ms(100), PathIndex::FIRST, b"id 1", 4);
    assert_eq!(transaction.next(at_ms(100)), Next::Done);
}

fn every(millis: u64, transmissions: u32) -> RetryPolicy {
    RetryPolicy::new(Backoff::constant(ms(millis)).unwrap()).with_max_transmissions(transmissions).unwrap()
}
