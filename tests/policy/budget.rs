//! The retry budget: exact at every ratio, on any number of threads, and obeyed by transactions.

use core::time::Duration;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use proptest::prelude::*;
use udp_retry::policy::PolicyError;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Event, Failure, GiveUp, Next, ReplyMatcher, Transaction};
use udp_retry::transport::{PathError, PathIndex, Renewed};
use udp_retry::{RetryBudget, RetryPolicy, Seed, transaction_id};

use crate::watchdog::{MINUTE, within};

#[test]
fn the_recommended_budget_starts_with_three_tokens_holds_ten_and_earns_three_tenths() {
    let budget = RetryBudget::default();
    assert_eq!((budget.balance(), drain(&budget)), (3, 3));
    (0..10).for_each(|_| budget.deposit());
    assert_eq!(drain(&budget), 3);
    (0..1_000_000).for_each(|_| budget.deposit());
    assert_eq!((budget.balance(), drain(&budget)), (10, 10));
}

#[test]
fn no_deposit_fills_the_bucket_past_its_brim() {
    for ratio in [0.3, 0.7, 300.0] {
        let budget = RetryBudget::new(ratio, 10, 0).unwrap();
        (0..100).for_each(|_| budget.deposit());
        assert_eq!(drain(&budget), 10, "ratio {ratio}");
        budget.deposit();
        let rest = (ratio * 1e9).round() as u64 / 1_000_000_000;
        assert_eq!(drain(&budget), rest.min(10), "what was above the brim is gone, ratio {ratio}");
    }
}

#[test]
fn an_unlimited_budget_never_says_no_and_an_empty_one_never_yes() {
    let unlimited = RetryBudget::unlimited();
    assert!((0..1000).all(|_| unlimited.try_withdraw()));
    unlimited.deposit();
    assert_eq!(unlimited.balance(), u32::MAX);
    let none = RetryBudget::new(1.0, 0, 0).unwrap();
    (0..1000).for_each(|_| none.deposit());
    assert!(!none.try_withdraw());
}

#[test]
fn clones_share_one_bucket() {
    let budget = RetryBudget::new(0.5, 10, 2).unwrap();
    let clone = budget.clone();
    assert!(clone.try_withdraw() && budget.try_withdraw() && !clone.try_withdraw());
    clone.deposit();
    budget.deposit();
    assert!(clone.try_withdraw() && !budget.try_withdraw());
}

#[test]
fn every_ratio_is_paid_exactly() {
    // P21. Among them those that budgets in whole tokens round: 0.34 to 0.5, 0.51 to 1, 300 to 333.
    let hundredths = (0..=300).map(|n| f64::from(n) / 100.0);
    for ratio in hundredths.chain([0.001, 0.333, 300.0, 1e-9, 0.999_999_999]) {
        let budget = RetryBudget::new(ratio, 1_000_000, 0).unwrap();
        let deposits = 1000;
        let granted: u64 = (0..deposits)
            .map(|_| {
                budget.deposit();
                drain(&budget)
            })
            .sum();
        let exact = (ratio * 1e9).round() as u64 * deposits / 1_000_000_000;
        assert_eq!(granted, exact, "ratio {ratio}");
    }
}

#[test]
fn what_cannot_be_a_budget_is_refused_with_its_values() {
    for ratio in [-0.1, f64::INFINITY, 1.1e9] {
        assert!(
            matches!(RetryBudget::new(ratio, 1, 1), Err(PolicyError::BudgetRatioOutOfRange { ratio: given }) if given == ratio)
        );
    }
    assert!(
        matches!(RetryBudget::new(f64::NAN, 1, 1), Err(PolicyError::BudgetRatioOutOfRange { ratio }) if ratio.is_nan())
    );
    assert!(matches!(RetryBudget::new(0.3, 3, 4), Err(PolicyError::BudgetStartAboveBurst { start: 4, burst: 3 })));
    assert_eq!(RetryBudget::new(1e9, u32::MAX, u32::MAX).unwrap().balance(), u32::MAX);
}

#[test]
fn two_threads_never_spend_one_token_twice() {
    within(MINUTE, || {
        // P22
        const ROUNDS: u64 = 50_000;
        let budget = RetryBudget::new(1.0, 1, 0).unwrap();
        let (barrier, won) = (Barrier::new(2), AtomicU64::new(0));
        let race = |deposits: bool| {
            for _ in 0..ROUNDS {
                if deposits {
                    budget.deposit();
                }
                barrier.wait();
                won.fetch_add(u64::from(budget.try_withdraw()), Ordering::Relaxed);
                barrier.wait();
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| race(true));
            scope.spawn(|| race(false));
        });
        assert_eq!(won.into_inner(), ROUNDS);
    });
}

#[test]
fn no_deposit_is_lost_and_none_counted_twice_on_four_threads() {
    within(MINUTE, || {
        const EACH: u64 = 100_000;
        let budget = RetryBudget::new(0.3, u32::MAX, 0).unwrap();
        let granted = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        budget.deposit();
                        granted.fetch_add(u64::from(budget.try_withdraw()), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(granted.into_inner() + drain(&budget), 4 * EACH * 3 / 10);
    });
}

#[test]
fn a_withheld_transmission_passes_its_slot_and_the_listening_goes_on() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).with_budget(budget(1, 1));
    transaction.start(b"0001", at(0), Seed::new(7));
    assert_eq!(sent_at(&mut transaction, 3100), [0, 100], "one retransmission is paid for");
    assert_eq!(transaction.withheld(), 3);
    assert_eq!(transaction.next(at(3099)), Next::WaitUntil(at(3100)), "to the end of the full schedule");
    transaction.on_time_up(at(3100));
    assert_eq!(transaction.next(at(3100)), Next::Failed(Failure::TimedOut(GiveUp::OverBudget)));
    let withheld = transaction.timeline().events().filter(|(_, event)| *event == Event::Withheld);
    assert_eq!(withheld.map(|(at, _)| at.as_millis()).collect::<Vec<_>>(), [300, 700, 1500]);
}

#[test]
fn a_reply_after_a_withheld_transmission_is_still_taken_and_pays() {
    let shared = RetryBudget::new(0.5, 10, 0).unwrap();
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).with_budget(shared.clone());
    for paid in [0, 1] {
        transaction.start(b"0001", at(0), Seed::new(7));
        assert_eq!(sent_at(&mut transaction, 2000), [0]);
        transaction.on_datagram(at(2000), PathIndex::FIRST, b"0001", 4);
        assert_eq!(transaction.next(at(2000)), Next::Done);
        assert_eq!(shared.balance(), paid);
    }
}

#[test]
fn asking_twice_pays_once_and_a_send_that_failed_is_refunded() {
    let shared = budget(10, 10);
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).with_budget(shared.clone());
    transaction.start(b"0001", at(0), Seed::new(7));
    transaction.next(at(0));
    transaction.on_transmitted(at(0));
    assert_eq!(shared.balance(), 10, "the first transmission is free");
    transaction.on_time_up(at(100));
    for _ in 0..5 {
        assert_eq!(transaction.next(at(100)), TRANSMIT);
    }
    assert_eq!(shared.balance(), 9);
    transaction.on_not_transmitted(at(100), PathError::NoBuffers);
    assert_eq!((transaction.next(at(100)), shared.balance()), (TRANSMIT, 9), "the same slot, and the same token");
    transaction.on_not_transmitted(at(100), PathError::NoBuffers);
    assert_eq!(shared.balance(), 10);
    transaction.on_time_up(at(300));
    assert_eq!(transaction.next(at(300)), TRANSMIT);
    assert_eq!(shared.balance(), 9);
    transaction.on_cancelled();
    assert_eq!(shared.balance(), 10);
}

#[test]
fn during_an_outage_all_requests_together_retransmit_no_more_than_the_bucket_held() {
    // P24: every knob changes what is sent.
    for (burst, start) in [(10, 3), (10, 10), (3, 0), (100, 50)] {
        let shared = budget(burst, start);
        let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).with_budget(shared);
        let retransmissions: usize = (0..1000)
            .map(|n| {
                transaction.start(b"0001", at(n * 10_000), Seed::new(7));
                let sent = drive(&mut transaction, n * 10_000, |_| None);
                sent - 1
            })
            .sum();
        assert_eq!(retransmissions, start as usize);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn transmissions_never_exceed_requests_and_start_and_the_share_of_successes(
        seed in any::<u64>(), loss in 0..100_u64, ratio in 0.0..2.0_f64, burst in 0..20_u32, start in 0..20_u32,
    ) {
        let start = start.min(burst);
        let shared = RetryBudget::new(ratio, burst, start).unwrap();
        let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).with_budget(shared);
        let (mut sent, mut successes) = (0, 0.0);
        for request in 1..=200_u64 {
            let lost = Seed::new(seed).derive(request);
            transaction.start(b"0001", at(request * 10_000), Seed::new(request));
            sent += drive(&mut transaction, request * 10_000, |n| (lost.draw(n as u64) % 100 >= loss).then_some(20));
            successes += f64::from(u8::from(transaction.next(at(request * 10_000 + 9000)) == Next::Done));
            prop_assert!(sent as f64 <= request as f64 + f64::from(start) + ratio * successes + 1e-6);
        }
    }
}

fn budget(burst: u32, start: u32) -> RetryBudget {
    RetryBudget::new(0.0, burst, start).unwrap()
}

/// Takes out all there is.
fn drain(budget: &RetryBudget) -> u64 {
    let mut taken = 0;
    while budget.try_withdraw() {
        taken += 1;
    }
    taken
}

/// Transmits whenever asked until `end`, unanswered; when that was, in milliseconds.
fn sent_at<M: ReplyMatcher>(transaction: &mut Transaction<M>, end: u64) -> Vec<u64> {
    let mut sent = Vec::new();
    let mut now = at(0);
    while now < at(end) {
        match transaction.next(now) {
            Next::Transmit(_) => {
                transaction.on_transmitted(now);
                sent.push(now.since(at(0)).as_millis() as u64);
            }
            Next::WaitUntil(until) => {
                now = until.min(at(end));
                transaction.on_time_up(now);
            }
            Next::Renew(path, _) => transaction.on_renewed(now, path, Ok(Renewed::FreshPort)),
            Next::Idle | Next::Build(..) | Next::Done | Next::Failed(_) => break,
        }
    }
    sent
}

/// Drives a transaction to its end; `answer` says after how many milliseconds transmission n is answered. Returns how
/// often it was sent.
fn drive<M: ReplyMatcher>(
    transaction: &mut Transaction<M>,
    start: u64,
    answer: impl Fn(usize) -> Option<u64>,
) -> usize {
    let (mut now, mut sent) = (at(start), 0);
    let mut reply: Option<Timestamp> = None;
    loop {
        match transaction.next(now) {
            Next::Transmit(_) => {
                transaction.on_transmitted(now);
                let due = answer(sent).map(|late| now.after(Duration::from_millis(late)));
                reply = [reply, due].into_iter().flatten().min();
                sent += 1;
            }
            Next::WaitUntil(until) => match reply {
                Some(due) if due <= until => {
                    now = due;
                    transaction.on_datagram(now, PathIndex::FIRST, b"0001", 4);
                }
                _ => {
                    now = until;
                    transaction.on_time_up(now);
                }
            },
            Next::Renew(path, _) => transaction.on_renewed(now, path, Ok(Renewed::FreshPort)),
            Next::Idle | Next::Build(..) => unreachable!("it was started, with its bytes"),
            Next::Done | Next::Failed(_) => return sent,
        }
    }
}

/// A moment, in milliseconds since an odd hour.
fn at(moment: u64) -> Timestamp {
    Timestamp::from_nanos(25_987_000_000_000).after(Duration::from_millis(moment))
}

const TRANSMIT: Next = Next::Transmit(PathIndex::FIRST);
