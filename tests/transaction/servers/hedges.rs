use udp_retry::servers::ServerSettings;
use udp_retry::transaction::{Match, Next, Request, Transaction, TransactionId};
use udp_retry::{RetryBudget, transaction_id};

use super::{Asked, ordered, policy, set};

#[test]
fn a_repeatable_request_is_hedged_after_the_time_that_most_replies_take() {
    let mut asked = practised(ordered().with_hedging(0.05).unwrap(), full());
    let start = asked.at();
    asked.start(Request::new(b"id 1 ping").repeatable());
    let first = asked.silence(start + 1_100)[..2].to_vec();
    let (hedged, path) = first[1];
    assert_eq!((first[0], path), ((start, 0), 1));
    assert!((start + 10..start + 50).contains(&hedged), "hedged after {} ms", hedged - start);
    // One copy, to one server; the slot's interval counts from the latest, which is the hedge.
    assert_eq!(asked.sent[2..], [(hedged + 1_000, 0)], "{:?}", asked.sent);
    assert_eq!(asked.receive(1, b"id 1 pong"), Match::Reply);
    assert_eq!(asked.obey(), Next::Done);
    let outstanding: Vec<_> = asked.transaction.servers().unwrap().states(asked.now).map(|it| it.outstanding).collect();
    assert_eq!(outstanding, [0, 0]);
}

#[test]
fn a_hedge_takes_a_token_and_leaves_only_while_the_budget_is_half_full() {
    for (tokens, hedged) in [(10, true), (5, true), (4, false)] {
        let budget = RetryBudget::new(0.0, 10, tokens).unwrap();
        let mut asked = practised(ordered().with_hedging(0.05).unwrap(), budget.clone());
        let start = asked.at();
        asked.start(Request::new(b"id 1 ping").repeatable());
        assert_eq!(asked.silence(start + 60).len(), 1 + usize::from(hedged), "{tokens}");
        assert_eq!(budget.balance(), tokens - u32::from(hedged));
    }
}

#[test]
fn what_is_not_declared_repeatable_is_never_hedged_nor_anything_by_default() {
    for (settings, request) in [
        (ordered().with_hedging(0.05).unwrap(), Request::new(b"id 1 ping")),
        (ordered(), Request::new(b"id 1 ping").repeatable()),
    ] {
        let mut asked = practised(settings, full());
        let start = asked.at();
        asked.start(&request);
        assert_eq!(asked.silence(start + 60), [(start, 0)]);
    }
}

#[test]
fn a_hedge_is_not_sent_while_its_reply_may_be_queued() {
    let mut asked = practised(ordered().with_hedging(0.05).unwrap(), full());
    asked.start(Request::new(b"id 1 ping").repeatable());
    let Next::WaitUntil(hedge) = asked.obey() else { panic!() };
    asked.now = hedge.after(super::ms(1));
    assert_eq!(asked.transaction.next(asked.now), Next::WaitUntil(hedge), "look first");
    assert_eq!(asked.receive(0, b"id 1 pong"), Match::Reply);
    assert_eq!(asked.obey(), Next::Done);
    assert_eq!(asked.sent.len(), 1);
    assert_eq!(asked.transaction.round_trip(), None, "when it arrived is not known");
}

/// Two servers, of which the first has answered often enough, after 10 to 30 ms.
fn practised(settings: ServerSettings, budget: RetryBudget) -> Asked<TransactionId> {
    let transaction = Transaction::new(policy(), transaction_id(0..4)).with_budget(budget);
    let mut asked = Asked::of(transaction.with_servers(set(2, settings)));
    for n in 0..200 {
        asked.answered_by(0, 10 + n % 20);
    }
    asked
}

fn full() -> RetryBudget {
    RetryBudget::new(0.0, 10, 10).unwrap()
}
