//! Any facts in any order, at any time, under any policy.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use udp_retry::Seed;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Action, GiveUp, NotTransmitted, RetryTimer};

use super::facts::{Op, Spec, apply, lateness, modest_ops, moments, moved, ops, specs, tell};
use super::model::{MOST_SLOTS, Model, Nominal};
use super::{HOUR, HUGE, at, cases, nanos};

proptest! {
    #![proptest_config(cases(8000))]

    #[test]
    fn any_facts_in_any_order_agree_with_the_naive_schedule(
        spec in specs(HUGE), seed: u64, start in moments(), ops in vec(ops(), 0..80)
    ) {
        let policy = spec.policy().unwrap();
        let mut timer = RetryTimer::start(&policy, start, Seed::new(seed));
        let mut model = Model::start(&spec, start, seed, &timer);
        let mut now = start;
        for op in ops {
            apply(op, &policy, &mut timer, &mut model, &mut now);
            let unasked = timer;
            prop_assert_eq!(timer.poll(now), model.poll(now), "after {:?}", op);
            prop_assert_eq!(timer.poll(now), timer.poll(now));
            prop_assert_eq!(timer, unasked, "asking changed something");
            prop_assert_eq!(timer.transmissions(), model.sent);
            prop_assert_eq!(timer.deadline().as_nanos(), model.deadline);
        }
    }

    #[test]
    fn after_any_fact_poll_transmits_at_most_once_and_names_only_later_times(
        spec in specs(HUGE), seed: u64, start in moments(), ops in vec(ops(), 0..80)
    ) {
        let policy = spec.policy().unwrap();
        let mut timer = RetryTimer::start(&policy, start, Seed::new(seed));
        let mut model = Model::start(&spec, start, seed, &timer);
        let mut now = start;
        for op in ops {
            let before = timer.poll(now);
            apply(op, &policy, &mut timer, &mut model, &mut now);
            let answer = timer.poll(now);
            if let Action::WaitUntil(until) = answer {
                prop_assert!(until > now, "{:?} at {:?} after {:?}", until, now, op);
                prop_assert!(until <= timer.deadline());
            }
            if matches!(op, Op::Transmitted | Op::NotTransmitted(_)) {
                prop_assert_ne!(answer, Action::Transmit, "a burst");
            }
            match before {
                Action::Done => prop_assert_eq!(answer, Action::Done),
                Action::GiveUp(GiveUp::Cancelled) => prop_assert_eq!(answer, before),
                _ => {}
            }
        }
    }

    #[test]
    fn a_driver_that_is_late_as_it_likes_sends_no_burst_and_never_too_often(
        spec in specs(HUGE), seed: u64, start in moments(), late in vec(lateness(), 1..40), failing: u64
    ) {
        let policy = spec.policy().unwrap();
        let mut timer = RetryTimer::start(&policy, start, Seed::new(seed));
        let mut model = Model::start(&spec, start, seed, &timer);
        let (mut now, mut last_sent) = (start, None);
        for (n, late) in late.iter().cycle().take(400).enumerate() {
            match timer.poll(now) {
                Action::Transmit => {
                    prop_assert!(now < timer.deadline(), "sent at the deadline or after it");
                    prop_assert!(last_sent < Some(now), "two at one moment");
                    last_sent = Some(now);
                    if failing >> (n % 64) & 1 == 1 {
                        timer.on_not_transmitted(&policy, now, NotTransmitted::SendFailed);
                    } else {
                        timer.on_transmitted(&policy, now);
                        model.sent += 1;
                    }
                    model.use_slot(now.as_nanos());
                    prop_assert_ne!(timer.poll(now), Action::Transmit, "a burst");
                    if let Action::WaitUntil(next) = timer.poll(now) {
                        let (gap, own) = (nanos(next.since(now)), model.wait(model.slot - 1));
                        let clipped = next == timer.deadline() || next == Timestamp::MAX;
                        prop_assert!(clipped || gap >= own.div_ceil(2), "{} after a wait of {}", own, gap);
                        // The slot before it was missed, so it lay at less than half its wait from now.
                        let missed = model.slot.checked_sub(2).map_or(0, |slot| model.wait(slot).div_ceil(2));
                        prop_assert!(gap <= own.saturating_add(missed), "{} after a wait of {}", own, gap);
                    }
                }
                Action::WaitUntil(until) => {
                    prop_assert!(until > now, "spins");
                    now = until.after(late.of(nanos(until.since(now))));
                }
                Action::GiveUp(reason) => {
                    prop_assert!(matches!(reason, GiveUp::Unanswered | GiveUp::Deadline));
                    prop_assert!(reason == GiveUp::Deadline || model.slot == policy.max_transmissions());
                    break;
                }
                Action::Done => prop_assert!(false, "nobody replied"),
            }
            prop_assert_eq!(timer.transmissions(), model.sent);
            prop_assert!(timer.transmissions() <= policy.max_transmissions());
        }
    }

    #[test]
    fn a_punctual_driver_keeps_the_exact_schedule(spec in specs(HUGE), seed: u64, start in moments()) {
        let policy = spec.policy().unwrap();
        let nominal = Nominal::of(&spec, &policy, start, seed);
        let mut timer = RetryTimer::start(&policy, start, Seed::new(seed));
        let mut now = start;
        let mut sent = Vec::new();
        let end = loop {
            if sent.len() >= MOST_SLOTS {
                break None;
            }
            match timer.poll(now) {
                Action::Transmit => {
                    sent.push(now.as_nanos());
                    timer.on_transmitted(&policy, now);
                }
                Action::WaitUntil(until) => {
                    prop_assert!(until > now, "spins");
                    now = until;
                }
                Action::GiveUp(reason) => break Some((now.as_nanos(), reason)),
                Action::Done => unreachable!("nobody replied"),
            }
        };
        prop_assert_eq!(sent, nominal.dues);
        prop_assert_eq!(end, nominal.end);
    }

    #[test]
    fn lateness_below_half_a_wait_never_adds_up(
        spec in specs(HOUR), seed: u64, start in 0..HOUR, late in vec(0..=1000_u64, 1..20)
    ) {
        let policy = Spec { deadline: None, ..spec }.policy().unwrap();
        let nominal = Nominal::of(&Spec { deadline: None, ..spec }, &policy, at(start), seed);
        let mut timer = RetryTimer::start(&policy, at(start), Seed::new(seed));
        for (n, (&due, late)) in nominal.dues.iter().zip(late.iter().cycle()).enumerate() {
            let following = nominal.dues.get(n + 1).copied().or(nominal.end.map(|end| end.0));
            let Some(following) = following else { break };
            let now = at(due + (following - due) / 2 * late / 1000);
            prop_assert_eq!(timer.poll(now), Action::Transmit);
            timer.on_transmitted(&policy, now);
            prop_assert_eq!(timer.poll(now), Action::WaitUntil(at(following)));
        }
    }

    #[test]
    fn a_shift_of_all_times_changes_nothing_else(
        spec in specs(HOUR), seed: u64, start in 0..HOUR, shift in 0..1_u64 << 62, ops in vec(modest_ops(), 0..60)
    ) {
        let policy = spec.policy().unwrap();
        let (mut here, mut there) = (RetryTimer::start(&policy, at(start), Seed::new(seed)), RetryTimer::start(&policy, at(start + shift), Seed::new(seed)));
        let mut model = Model::start(&spec, at(start), seed, &here);
        let mut now = at(start);
        for op in ops {
            apply(op, &policy, &mut here, &mut model, &mut now);
            let shifted = at(now.as_nanos() + shift);
            match op {
                Op::Advance(_) => {}
                Op::EndBy(step) => there = there.end_by(at(step.from(now, &model).as_nanos() + shift)),
                fact => tell(fact, &policy, &mut there, shifted),
            }
            prop_assert_eq!(moved(here.poll(now), shift), there.poll(at(now.as_nanos() + shift)), "after {:?}", op);
            prop_assert_eq!(here.transmissions(), there.transmissions());
        }
    }

    #[test]
    fn a_reply_counts_until_the_deadline_and_not_a_nanosecond_longer(
        spec in specs(HUGE), seed: u64, start in moments(), polls in 0..6_usize, limit in 1..HUGE
    ) {
        let policy = spec.policy().unwrap();
        let mut timer = RetryTimer::start(&policy, start, Seed::new(seed)).end_by(start.after(Duration::from_nanos(limit)));
        let mut now = start;
        for _ in 0..polls {
            match timer.poll(now) {
                Action::Transmit => timer.on_transmitted(&policy, now),
                Action::WaitUntil(until) => now = until,
                _ => break,
            }
        }
        let deadline = timer.deadline();
        let (mut in_time, mut late) = (timer, timer);
        in_time.on_reply(deadline);
        prop_assert_eq!(in_time.poll(deadline), Action::Done);
        prop_assert_eq!(in_time.poll(Timestamp::MAX), Action::Done);
        if deadline < Timestamp::MAX {
            late.on_reply(at(deadline.as_nanos() + 1));
            prop_assert_eq!(late, timer);
            prop_assert_eq!(late.poll(deadline), Action::GiveUp(GiveUp::Deadline));
        }
    }

    #[test]
    fn nothing_is_sent_at_the_deadline_or_after_it(
        spec in specs(HOUR), seed: u64, slot in 0..8_usize, after in 0..HOUR
    ) {
        let free = Spec { deadline: None, ..spec };
        let policy = free.policy().unwrap();
        let nominal = Nominal::of(&free, &policy, at(0), seed);
        prop_assume!(slot < nominal.dues.len());
        let slot_due = at(nominal.dues[slot]);
        let mut timer = RetryTimer::start(&policy, at(0), Seed::new(seed)).end_by(slot_due);
        let mut sent = 0;
        let mut now = at(0);
        while now < slot_due {
            match timer.poll(now) {
                Action::Transmit => { timer.on_transmitted(&policy, now); sent += 1; }
                Action::WaitUntil(until) => { prop_assert!(now < until && until <= slot_due); now = until; }
                answer => prop_assert!(false, "{:?}", answer),
            }
        }
        prop_assert_eq!(sent, slot);
        prop_assert_eq!(timer.poll(slot_due), Action::GiveUp(GiveUp::Deadline));
        prop_assert_eq!(timer.poll(at(slot_due.as_nanos() + after)), Action::GiveUp(GiveUp::Deadline));
    }

    #[test]
    fn end_by_only_shortens(spec in specs(HUGE), seed: u64, start in moments(), ends in vec(any::<u64>(), 1..6)) {
        let policy = spec.policy().unwrap();
        let mut timer = RetryTimer::start(&policy, start, Seed::new(seed));
        let own = timer.deadline();
        for (n, &end) in ends.iter().enumerate() {
            timer = timer.end_by(at(end));
            prop_assert_eq!(timer.deadline(), own.min(at(*ends[..=n].iter().min().unwrap())));
        }
    }

    #[test]
    fn the_start_delay_is_drawn_within_its_bounds_and_puts_off_the_deadline_too(spec in specs(HOUR), seed: u64, start in 0..HOUR) {
        let policy = spec.policy().unwrap();
        let timer = RetryTimer::start(&policy, at(start), Seed::new(seed));
        let first = Model::start(&spec, at(start), seed, &timer).due;
        let (from, to) = spec.start_delay;
        prop_assert!((start + from..=start + to).contains(&first));
        let deadline = spec.deadline.map_or(u64::MAX, |deadline| first + deadline);
        prop_assert_eq!(timer.deadline().as_nanos(), deadline);
    }

}
