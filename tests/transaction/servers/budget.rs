use udp_retry::transaction::{Failure, GiveUp, Match, Next};
use udp_retry::{RetryBudget, transaction_id};

use super::{Asked, asked, in_order, tokens};

#[test]
fn the_first_failover_from_a_server_that_never_replied_is_free_and_no_other() {
    let mut asked = Asked::of(in_order(3, transaction_id(0..4)).with_budget(tokens(0)));
    asked.start(b"id 1 ping");
    assert_eq!(asked.silence(20_000), [(0, 0), (250, 1)]);
    assert_eq!((asked.transaction.withheld(), asked.transaction.transmissions()), (3, 2));
    assert_eq!(asked.obey(), Next::Failed(Failure::TimedOut(GiveUp::OverBudget)));
}

#[test]
fn a_failover_from_a_server_that_replied_once_takes_a_token() {
    for (count, failovers) in [(0, 0), (1, 1), (2, 2)] {
        let budget = tokens(count);
        let mut asked = Asked::of(in_order(3, transaction_id(0..4)).with_budget(budget.clone()));
        asked.answered_by(0, 100);
        let start = asked.at();
        asked.start(b"id 1 ping");
        assert_eq!(asked.silence(start + 1_100).len(), 1 + failovers, "{:?}", asked.sent);
        assert_eq!(budget.balance(), 0);
    }
}

#[test]
fn a_withheld_failover_passes_and_the_server_that_was_not_asked_comes_first_afterwards() {
    let budget = RetryBudget::new(1.0, 1, 0).unwrap();
    let mut asked = Asked::of(in_order(2, transaction_id(0..4)).with_budget(budget.clone()));
    asked.answered_by(0, 100);
    assert!(budget.try_withdraw());
    let start = asked.at();
    asked.start(b"id 1 ping");
    // 300 ms are the first one's timeout now.
    asked.silence(start + 400);
    assert_eq!((asked.sent.len(), asked.transaction.withheld()), (1, 1));
    budget.deposit();
    // Its wait goes on for the slot's interval.
    assert_eq!(asked.silence(start + 1_300), [(start, 0), (start + 1_300, 1)]);
    assert_eq!(asked.receive(0, b"id 1 pong"), Match::Reply, "it is listened for all the same");
}

#[test]
fn a_repeat_takes_a_token_and_one_that_does_not_leave_gives_it_back() {
    let budget = tokens(1);
    let mut asked = Asked::of(in_order(1, transaction_id(0..4)).with_budget(budget.clone()));
    asked.start(b"id 1 ping");
    assert_eq!(asked.silence(1_000), [(0, 0), (1_000, 0)]);
    assert_eq!((budget.balance(), asked.silence(6_000).len()), (0, 2));

    let budget = tokens(1);
    let mut asked = Asked::of(in_order(1, transaction_id(0..4)).with_budget(budget.clone()));
    asked.start(b"id 1 ping");
    asked.obey();
    asked.now = super::at_ms(1_000);
    asked.transaction.on_time_up(asked.now);
    assert!(matches!(asked.transaction.next(asked.now), Next::Transmit(_)));
    assert_eq!(budget.balance(), 0);
    asked.transaction.on_cancelled();
    assert_eq!(budget.balance(), 1);
}

#[test]
fn the_budget_pays_for_nothing_where_every_request_is_answered() {
    let budget = tokens(0);
    let mut asked = asked(3);
    asked.transaction = asked.transaction.with_budget(budget);
    for _ in 0..20 {
        asked.answered_by(0, 10);
        assert_eq!(asked.transaction.transmissions(), 1);
    }
}
