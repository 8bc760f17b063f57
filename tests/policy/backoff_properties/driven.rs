//! A request that is driven by a policy: what it sends, when, and when it ends.

use std::time::Duration;

use proptest::prelude::*;
use udp_retry::policy::{Backoff, Jitter, LastWait};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Action, GiveUp, RetryTimer};
use udp_retry::{RetryPolicy, Seed};

use super::{MS, Run, cases, drive, start_delay};
use crate::exact::{Drawn, ONE, Settings, fraction, ns, whole};
use crate::generators;

proptest! {
    #![proptest_config(cases())]

    // P13, P15, P16
    #[test]
    fn an_unanswered_request_sends_what_fits_and_ends_on_time(
        plan in plans(), seed: u64, start in 0..1_u64 << 62,
    ) {
        let run = drive(&plan.policy()?, start, seed, |_| 0);
        let expected = plan.naive(start, seed)?;
        prop_assert_eq!(run, expected);
    }

    // P15, P16: operations take time, and the deadline holds all the same.
    #[test]
    fn slow_operations_never_send_or_wait_past_the_deadline(
        plan in plans(), seed: u64, start in 0..1_u64 << 62, pace in 0..4_u64, chaos: u64,
    ) {
        let policy = plan.policy()?;
        let unit = ns(policy.backoff().initial()).saturating_mul(pace);
        let lag = |operation| if unit == 0 { 0 } else { Seed::new(chaos).draw(operation) % unit };
        let run = drive(&policy, start, seed, lag);
        prop_assert!(run.sends.len() as u64 <= policy.max_transmissions().into());
        if let Some(deadline) = policy.deadline() {
            let end = (start + start_delay(&policy, seed)).saturating_add(ns(deadline));
            prop_assert!(run.sends.iter().all(|&at| at < end), "sent at or after the deadline: {:?}", run);
            prop_assert!(run.longest_wait <= end, "would wait past the deadline: {:?}", run);
            prop_assert!(run.why != GiveUp::Deadline || run.end >= end, "gave up early: {:?}", run);
        }
    }

    // P13: raising the count only appends.
    #[test]
    fn more_transmissions_never_send_fewer_or_other_ones(plan in plans(), seed: u64, more in 1..8_u32) {
        let few = drive(&plan.policy()?, 0, seed, |_| 0);
        let many = drive(&Plan { transmissions: plan.transmissions + more, ..plan }.policy()?, 0, seed, |_| 0);
        prop_assert_eq!(&many.sends[..few.sends.len()], &few.sends[..]);
    }

    // P25
    #[test]
    fn a_peer_that_comes_back_is_asked_within_a_bounded_time(
        initial in 1..=10_000_u64, room in 1..=1000_u64, multiplier in ONE..=4 * ONE, width in 0..=ONE,
        outage in 0..=200_000_u64, seed: u64,
    ) {
        let (hi, initial) = (ONE + width, initial * MS);
        let settings = Settings { multiplier, hi, ..Settings::new(initial, 2 * initial * room) };
        let policy = RetryPolicy::new(settings.build()?).with_max_transmissions(u32::MAX)?;
        let recovery = outage * (initial / 1000);
        let (mut slot, mut at) = (0, 0);
        while at < recovery && slot < 1000 {
            at += ns(policy.backoff().delay(slot, Seed::new(seed)));
            slot += 1;
        }
        prop_assume!(at >= recovery);
        let growth = fraction(multiplier - ONE) * whole(recovery) + whole(initial);
        let bound = (fraction(hi) * growth).min(whole(settings.max)) + whole(1 + u64::from(slot));
        prop_assert!(whole(at - recovery) <= bound, "asked {} ns after an outage of {} ns", at - recovery, recovery);
    }

    // P28
    #[test]
    fn a_policy_replays_any_number_of_times(plan in plans(), seed: u64, other: u64) {
        let policy = plan.policy()?;
        let copy = policy;
        let first = drive(&policy, 5, seed, |_| 0);
        let _ = drive(&copy, 7, other, |_| 0);
        prop_assert_eq!(drive(&copy, 5, seed, |_| 0), first);
        prop_assert_eq!(copy, policy);
    }

    // P29
    #[test]
    fn shifting_every_moment_changes_no_decision(
        plan in plans(), seed: u64, shift in 0..1_u64 << 61, pace in 1..1000_u64,
    ) {
        let policy = plan.policy()?;
        let lag = |operation| Seed::new(seed).draw(operation) % (pace * MS);
        let (here, there) = (drive(&policy, 3, seed, lag), drive(&policy, 3 + shift, seed, lag));
        prop_assume!(here.end < 1 << 61);
        prop_assert_eq!(there, here.shifted(shift));
    }

    // The start delay is the policy's, whatever else the seed draws.
    #[test]
    fn the_start_delay_stays_within_its_ends(from in generators::span(), to in generators::span(), seed: u64) {
        let (from, to) = (from.min(to), from.max(to));
        let policy = RetryPolicy::LAN.with_start_delay(Duration::from_nanos(from), Duration::from_nanos(to))?;
        let due = start_delay(&policy, seed);
        prop_assert!((from..=to).contains(&due));
    }

}

#[test]
fn schedules_without_jitter_are_those_of_the_book_and_the_rfcs() {
    let policy = |initial, max, transmissions| {
        RetryPolicy::new(Settings::new(initial, max).build().unwrap()).with_max_transmissions(transmissions).unwrap()
    };
    let secs = Duration::from_secs;
    let book = RetryPolicy::LAN;
    let stun = policy(ONE / 2, 32 * ONE, 7).with_last_wait(LastWait::Initial(16)).unwrap();
    let invite = policy(ONE / 2, 64 * ONE, 7).with_deadline(secs(32)).unwrap();
    let non_invite = policy(ONE / 2, 4 * ONE, 99).with_deadline(secs(32)).unwrap();
    let radius = policy(2 * ONE, 16 * ONE, 5).with_deadline(secs(30)).unwrap();
    let confirm = policy(ONE, 4 * ONE, u32::MAX).with_deadline(secs(10)).unwrap();
    let tracker = policy(15 * ONE, 3840 * ONE, 9);
    let hickory = RetryPolicy::new(Backoff::constant(Duration::from_millis(333)).unwrap());
    let hickory = hickory.with_max_transmissions(3).unwrap().with_deadline(secs(5)).unwrap();
    let unanswered = |sends: &[u64], end| (sends.to_vec(), end, GiveUp::Unanswered);
    let overdue = |sends: &[u64], end| (sends.to_vec(), end, GiveUp::Deadline);
    let schedules = [
        (book, unanswered(&[0, 100, 300, 700, 1500], 3100)),
        (stun, unanswered(&[0, 500, 1500, 3500, 7500, 15_500, 31_500], 39_500)),
        (invite, overdue(&[0, 500, 1500, 3500, 7500, 15_500, 31_500], 32_000)),
        (non_invite, overdue(&[0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500], 32_000)),
        // The fifth slot falls exactly on the deadline and is not sent.
        (radius, overdue(&[0, 2000, 6000, 14_000], 30_000)),
        (confirm, overdue(&[0, 1000, 3000, 7000], 10_000)),
        (
            tracker,
            unanswered(&[0, 15_000, 45_000, 105_000, 225_000, 465_000, 945_000, 1_905_000, 3_825_000], 7_665_000),
        ),
        (hickory, unanswered(&[0, 333, 666], 999)),
    ];
    for (policy, (sends, end, why)) in schedules {
        for (start, seed) in [(0, 0), (12_345 * MS, u64::MAX)] {
            let run = drive(&policy, start, seed, |_| 0);
            let millis: Vec<u64> = run.sends.iter().map(|at| (at - start) / MS).collect();
            assert!(run.sends.iter().all(|at| (at - start) % MS == 0));
            assert_eq!((millis, (run.end - start) / MS, run.why), (sends.clone(), end, why));
        }
    }
}

#[test]
fn a_reply_at_the_deadline_counts_and_one_after_it_does_not() {
    let policy = RetryPolicy::LAN.with_deadline(Duration::from_secs(1)).unwrap();
    for (at, action) in [(ONE, Action::Done), (ONE + 1, Action::GiveUp(GiveUp::Deadline))] {
        let mut timer = RetryTimer::start(&policy, Timestamp::ZERO, Seed::new(0));
        timer.on_transmitted(&policy, Timestamp::ZERO);
        timer.on_reply(Timestamp::from_nanos(at));
        assert_eq!(timer.poll(Timestamp::from_nanos(at)), action);
    }
}

#[test]
fn the_default_suits_the_internet() {
    let policy = RetryPolicy::default();
    let backoff = policy.backoff();
    assert_eq!((backoff.initial(), backoff.max()), (Duration::from_secs(1), Duration::from_secs(60)));
    assert_eq!((backoff.multiplier(), backoff.jitter()), (2.0, Jitter::UPWARD));
    assert_eq!((policy.max_transmissions(), policy.deadline()), (5, Some(Duration::from_secs(30))));
    assert_eq!((policy.last_wait(), policy.patience()), (LastWait::Next, Duration::from_secs(60)));
    assert_eq!(policy.start_delay(), (Duration::ZERO, Duration::ZERO));
}

/// A policy as chosen.
#[derive(Clone, Copy, Debug)]
struct Plan {
    settings: Settings,
    transmissions: u32,
    last_wait: LastWait,
    deadline: Option<u64>,
    start_delay: (u64, u64),
}

impl Plan {
    fn policy(&self) -> Result<RetryPolicy, udp_retry::policy::PolicyError> {
        let (from, to) = self.start_delay;
        let policy = RetryPolicy::new(self.settings.build()?)
            .with_max_transmissions(self.transmissions)?
            .with_last_wait(self.last_wait)?
            .with_start_delay(Duration::from_nanos(from), Duration::from_nanos(to))?;
        self.deadline.map_or(Ok(policy), |deadline| policy.with_deadline(Duration::from_nanos(deadline)))
    }

    /// The schedule as a sum of waits, with a driver that is never late.
    fn naive(&self, start: u64, seed: u64) -> Result<Run, udp_retry::policy::PolicyError> {
        let policy = self.policy()?;
        let first = start + start_delay(&policy, seed);
        let deadline = self.deadline.map_or(u64::MAX, |deadline| first + deadline);
        let (mut sends, mut at) = (Vec::new(), first);
        for slot in 0..self.transmissions {
            if at >= deadline {
                break;
            }
            sends.push(at);
            at += match self.last_wait {
                LastWait::Initial(count) if slot + 1 == self.transmissions => self.settings.initial * u64::from(count),
                _ => ns(policy.backoff().delay(slot, Seed::new(seed))),
            };
        }
        let why = if at >= deadline { GiveUp::Deadline } else { GiveUp::Unanswered };
        let end = at.min(deadline);
        Ok(Run { sends, end, why, longest_wait: end })
    }
}

/// Of everyday size, so that sums do not saturate; deadlines fall on slots too.
fn plans() -> impl Strategy<Value = Plan> {
    let waits = prop_oneof![3 => Just(LastWait::Next), 1 => (1..100_u32).prop_map(LastWait::Initial)];
    let ends = (0..4_u8, 1..1000 * ONE, 1..8_u32);
    let delays = prop_oneof![Just((0, 0)), (0..ONE, 0..ONE).prop_map(|(from, width)| (from, from + width))];
    (generators::settings(), 1..=12_u32, waits, ends, delays).prop_map(
        |(settings, transmissions, last_wait, (kind, span, slots), start_delay)| {
            let settings = everyday(settings);
            let deadline = match kind {
                0 => None,
                1 => Some(span),
                2 => Some(span % (4 * settings.initial) + 1),
                _ => Some(nominal_sum(&settings, slots)),
            };
            Plan { settings, transmissions, last_wait, deadline, start_delay }
        },
    )
}

fn everyday(settings: Settings) -> Settings {
    let initial = settings.initial % (100 * ONE) + 1;
    let plus_minus = settings.plus_minus % initial;
    let (lo, hi) = if settings.hi > 2 * ONE { (ONE, 2 * ONE) } else { (settings.lo, settings.hi) };
    let drawn = if settings.keep_every_rule() { settings.drawn } else { Drawn::Each };
    let multiplier = settings.multiplier.clamp(2 * ONE, 4 * ONE);
    let everyday = Settings {
        initial,
        plus_minus,
        lo,
        hi,
        drawn,
        multiplier,
        floor: 1,
        max: 2 * initial + settings.max % (10_000 * ONE),
    };
    if everyday.keep_every_rule() { everyday } else { Settings { drawn: Drawn::Each, ..everyday } }
}

fn nominal_sum(settings: &Settings, slots: u32) -> u64 {
    let backoff = settings.build().expect("everyday settings keep every rule");
    (0..slots).map(|n| ns(backoff.interval(n))).sum()
}
