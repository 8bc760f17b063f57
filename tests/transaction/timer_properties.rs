//! When to transmit: any facts in any order, at any time, under any policy, against a naive model of the schedule.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use udp_retry::RetryPolicy;
use udp_retry::Seed;
use udp_retry::policy::{Backoff, Jitter, LastWait, PolicyError};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Action, GiveUp, Hold, NotTransmitted, RetryTimer};

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

#[test]
fn the_books_schedule_to_the_nanosecond() {
    let (sent, end) = run(&RetryPolicy::LAN, 0, |_| 0);
    assert_eq!(sent, [0, 100 * MS, 300 * MS, 700 * MS, 1500 * MS]);
    assert_eq!(end, (3100 * MS, GiveUp::Unanswered));
}

#[test]
fn a_late_poll_transmits_once_and_skips_what_it_missed() {
    let policy = RetryPolicy::LAN;
    let mut timer = RetryTimer::start(&policy, at(0), Seed::new(0));
    timer.on_transmitted(&policy, at(0));
    assert_eq!(timer.poll(at(350 * MS)), Action::Transmit);
    timer.on_transmitted(&policy, at(350 * MS));
    assert_eq!(timer.poll(at(350 * MS)), Action::WaitUntil(at(700 * MS)));
    assert_eq!(timer.transmissions(), 2);
}

#[test]
fn the_next_slot_is_kept_at_half_its_wait_and_missed_one_nanosecond_later() {
    let policy = RetryPolicy::LAN;
    let mut in_time = RetryTimer::start(&policy, at(0), Seed::new(0));
    in_time.on_transmitted(&policy, at(0));
    let mut late = in_time;
    in_time.on_transmitted(&policy, at(200 * MS));
    assert_eq!(in_time.poll(at(200 * MS)), Action::WaitUntil(at(300 * MS)));
    late.on_transmitted(&policy, at(200 * MS + 1));
    assert_eq!(late.poll(at(200 * MS + 1)), Action::WaitUntil(at(700 * MS)));
}

#[test]
fn after_64_missed_slots_a_new_grid_starts() {
    let policy = constant(10).with_max_transmissions(u32::MAX).unwrap();
    for (now, next) in [(0, 10), (5, 10), (6, 20), (625, 630), (626, 640), (635, 640), (636, 646), (100_003, 100_013)] {
        let mut timer = RetryTimer::start(&policy, at(0), Seed::new(0));
        timer.on_transmitted(&policy, at(now));
        assert_eq!(timer.poll(at(now)), Action::WaitUntil(at(next)), "reported at {now}");
    }
}

#[test]
fn a_machine_that_slept_through_everything_sends_once_and_listens_for_the_whole_last_wait() {
    let policy = RetryPolicy::LAN;
    let mut timer = RetryTimer::start(&policy, at(0), Seed::new(0));
    let awake = 1_000_000 * MS;
    assert_eq!(timer.poll(at(awake)), Action::Transmit);
    timer.on_transmitted(&policy, at(awake));
    assert_eq!(timer.poll(at(awake)), Action::WaitUntil(at(awake + 1600 * MS)));
    assert_eq!(timer.poll(at(awake + 1600 * MS)), Action::GiveUp(GiveUp::Unanswered));
    assert_eq!(timer.transmissions(), 1);
}

#[test]
fn the_last_wait_is_counted_in_initial_intervals_where_the_policy_says_so() {
    let policy = RetryPolicy::LAN.with_last_wait(LastWait::Initial(16)).unwrap();
    assert_eq!(run(&policy, 0, |_| 0).1, (3100 * MS, GiveUp::Unanswered));
    let policy = RetryPolicy::LAN.with_last_wait(LastWait::Initial(1)).unwrap();
    assert_eq!(run(&policy, 0, |_| 0).1, (1600 * MS, GiveUp::Unanswered));
    let once = constant(7).with_max_transmissions(1).unwrap().with_last_wait(LastWait::Initial(3)).unwrap();
    assert_eq!(run(&once, 0, |_| 0), (vec![0], (21, GiveUp::Unanswered)));
}

#[test]
fn failed_sends_use_their_slots_and_count_for_nothing() {
    let policy = RetryPolicy::LAN;
    for (why, end) in
        [(NotTransmitted::SendFailed, GiveUp::Unanswered), (NotTransmitted::OverBudget, GiveUp::OverBudget)]
    {
        let mut timer = RetryTimer::start(&policy, at(0), Seed::new(0));
        for due in [0, 100, 300, 700, 1500] {
            assert_eq!(timer.poll(at(due * MS)), Action::Transmit);
            timer.on_not_transmitted(&policy, at(due * MS), why);
        }
        assert_eq!(timer.poll(at(3100 * MS - 1)), Action::WaitUntil(at(3100 * MS)));
        assert_eq!(timer.poll(at(3100 * MS)), Action::GiveUp(end));
        assert_eq!(timer.transmissions(), 0);
    }
}

#[test]
fn one_withheld_transmission_is_remembered_to_the_end() {
    let policy = RetryPolicy::LAN;
    let mut timer = RetryTimer::start(&policy, at(0), Seed::new(0));
    timer.on_transmitted(&policy, at(0));
    timer.on_not_transmitted(&policy, at(100 * MS), NotTransmitted::OverBudget);
    for due in [300, 700, 1500] {
        timer.on_not_transmitted(&policy, at(due * MS), NotTransmitted::SendFailed);
    }
    assert_eq!(timer.poll(at(3100 * MS)), Action::GiveUp(GiveUp::OverBudget));
}

#[test]
fn the_deadline_clips_every_wait_and_wins_over_an_end_at_the_same_moment() {
    let policy = RetryPolicy::LAN.with_deadline(Duration::from_millis(200)).unwrap();
    assert_eq!(run(&policy, 0, |_| 0), (vec![0, 100 * MS], (200 * MS, GiveUp::Deadline)));
    let on_the_end = RetryPolicy::LAN.with_deadline(Duration::from_millis(3100)).unwrap();
    assert_eq!(run(&on_the_end, 0, |_| 0).1, (3100 * MS, GiveUp::Deadline));
    let on_a_slot = RetryPolicy::LAN.with_deadline(Duration::from_millis(300)).unwrap();
    assert_eq!(run(&on_a_slot, 0, |_| 0), (vec![0, 100 * MS], (300 * MS, GiveUp::Deadline)));
    let a_nanosecond_on = RetryPolicy::LAN.with_deadline(Duration::from_nanos(300 * MS + 1)).unwrap();
    assert_eq!(run(&a_nanosecond_on, 0, |_| 0), (vec![0, 100 * MS, 300 * MS], (300 * MS + 1, GiveUp::Deadline)));
}

#[test]
fn a_reply_between_the_end_of_the_last_wait_and_the_deadline_still_counts() {
    let policy = RetryPolicy::LAN;
    let mut timer = RetryTimer::start(&policy, at(0), Seed::new(0)).end_by(at(5000 * MS));
    for due in [0, 100, 300, 700, 1500] {
        timer.on_transmitted(&policy, at(due * MS));
    }
    assert_eq!(timer.poll(at(4000 * MS)), Action::GiveUp(GiveUp::Unanswered));
    timer.on_reply(at(4000 * MS));
    assert_eq!(timer.poll(at(4000 * MS)), Action::Done);
}

#[test]
fn a_stopping_answer_ends_the_retransmissions_for_as_long_as_the_patience_lasts() {
    let policy = RetryPolicy::LAN.with_patience(Duration::from_secs(7)).unwrap();
    let mut timer = RetryTimer::start(&policy, at(0), Seed::new(0));
    timer.on_transmitted(&policy, at(0));
    timer.on_provisional(&policy, at(50 * MS), Hold::Stop);
    assert_eq!(timer.poll(at(50 * MS)), Action::WaitUntil(at(7050 * MS)));
    timer.on_provisional(&policy, at(6000 * MS), Hold::Stop);
    assert_eq!(timer.poll(at(7050 * MS)), Action::WaitUntil(at(13_000 * MS)), "granted anew");
    let mut replied = timer;
    assert_eq!(timer.poll(at(13_000 * MS)), Action::GiveUp(GiveUp::PatienceEnded));
    replied.on_reply(at(12_999 * MS));
    assert_eq!(replied.poll(at(13_000 * MS)), Action::Done);
    assert_eq!(timer.transmissions(), 1);
}

#[test]
fn patience_ends_at_the_deadline() {
    let policy = RetryPolicy::LAN.with_deadline(Duration::from_secs(1)).unwrap();
    let mut timer = RetryTimer::start(&policy, at(0), Seed::new(0));
    timer.on_transmitted(&policy, at(0));
    timer.on_provisional(&policy, at(50 * MS), Hold::Stop);
    assert_eq!(timer.poll(at(50 * MS)), Action::WaitUntil(at(1000 * MS)));
    assert_eq!(timer.poll(at(1000 * MS)), Action::GiveUp(GiveUp::Deadline));
}

#[test]
fn a_slowing_answer_makes_every_further_wait_the_longest() {
    let policy = RetryPolicy::LAN;
    let mut timer = RetryTimer::start(&policy, at(0), Seed::new(0));
    timer.on_transmitted(&policy, at(0));
    timer.on_provisional(&policy, at(50 * MS), Hold::Slow);
    let mut sent = vec![0];
    let mut now = at(50 * MS);
    for _ in 0..12 {
        match timer.poll(now) {
            Action::Transmit => {
                sent.push(now.as_nanos());
                timer.on_transmitted(&policy, now);
            }
            Action::WaitUntil(until) => now = until,
            answer => {
                assert_eq!(answer, Action::GiveUp(GiveUp::Unanswered));
                break;
            }
        }
    }
    assert_eq!(sent, [0, 100 * MS, 2100 * MS, 4100 * MS, 6100 * MS]);
    assert_eq!(now, at(8100 * MS));
}

#[test]
fn cancelling_ends_every_phase_but_done() {
    let policy = RetryPolicy::LAN;
    let sending = RetryTimer::start(&policy, at(0), Seed::new(0));
    let mut held = sending;
    held.on_provisional(&policy, at(0), Hold::Stop);
    let mut listening = sending;
    for due in [0, 100, 300, 700, 1500] {
        listening.on_transmitted(&policy, at(due * MS));
    }
    for mut timer in [sending, held, listening] {
        timer.on_cancelled();
        timer.on_reply(at(1));
        timer.on_provisional(&policy, at(1), Hold::Stop);
        timer.on_transmitted(&policy, at(1));
        for now in [at(0), at(3100 * MS), Timestamp::MAX] {
            assert_eq!(timer.poll(now), Action::GiveUp(GiveUp::Cancelled));
        }
    }
    let mut done = sending;
    done.on_reply(at(0));
    done.on_cancelled();
    assert_eq!(done.poll(at(0)), Action::Done);
}

#[test]
fn a_clock_that_stands_at_its_last_moment_neither_spins_nor_panics() {
    for policy in [RetryPolicy::LAN, RetryPolicy::default(), constant(1).with_max_transmissions(u32::MAX).unwrap()] {
        for start in [Timestamp::MAX, at(u64::MAX - 1), at(u64::MAX - 150 * MS)] {
            let mut timer = RetryTimer::start(&policy, start, Seed::new(3));
            let mut now = start;
            let mut steps = 0;
            while let Action::Transmit | Action::WaitUntil(_) = timer.poll(now) {
                match timer.poll(now) {
                    Action::WaitUntil(until) => now = until,
                    _ => timer.on_transmitted(&policy, now),
                }
                steps += 1;
                if steps == 100 {
                    now = Timestamp::MAX;
                }
                assert!(steps < 1000, "spins at {now:?}");
            }
            timer.on_transmitted(&policy, Timestamp::MAX);
            timer.on_not_transmitted(&policy, Timestamp::MAX, NotTransmitted::OverBudget);
            assert_eq!(timer.poll(Timestamp::MAX), Action::GiveUp(GiveUp::Deadline));
        }
    }
}

#[test]
fn intervals_of_a_nanosecond_keep_their_grid_and_never_share_a_moment() {
    let policy = constant(1).with_max_transmissions(1000).unwrap();
    let (sent, end) = run(&policy, 0, |_| 0);
    assert_eq!(sent, (0..1000).collect::<Vec<_>>());
    assert_eq!(end, (1000, GiveUp::Unanswered));
    let (sent, _) = run(&policy, 0, |n| n % 3);
    assert!(sent.windows(2).all(|pair| pair[0] < pair[1]), "{sent:?}");
}

/// The schedule as one would write it down: times in nanoseconds, a list of slots at every step.
#[derive(Debug)]
struct Model {
    policy: RetryPolicy,
    initial: u64,
    /// Draws every wait as long as the policy ever has it.
    longest: Backoff,
    seed: u64,
    due: u64,
    deadline: u64,
    slot: u32,
    sent: u32,
    phase: &'static str,
    slowed: bool,
    withheld: bool,
}

impl Model {
    /// The start delay is the one thing taken over from the machine: its draw cannot be had otherwise.
    fn start(spec: &Spec, start: Timestamp, seed: u64, timer: &RetryTimer) -> Self {
        let due = match timer.poll(start) {
            Action::WaitUntil(due) => due.as_nanos(),
            _ => start.as_nanos(),
        };
        let (from, to) = spec.start_delay;
        let (from, to) = (start.as_nanos().saturating_add(from), start.as_nanos().saturating_add(to));
        assert!((from..=to).contains(&due), "{due} is not within {from} to {to}");
        Self {
            policy: spec.policy().unwrap(),
            initial: spec.initial,
            longest: spec.longest(),
            seed,
            due,
            deadline: spec.deadline.map_or(u64::MAX, |deadline| due.saturating_add(deadline)),
            slot: 0,
            sent: 0,
            phase: "sending",
            slowed: false,
            withheld: false,
        }
    }

    fn wait(&self, slot: u32) -> u64 {
        match self.policy.last_wait() {
            _ if self.slowed => nanos(self.longest.delay(slot, Seed::new(self.seed))),
            LastWait::Initial(count) if slot == self.policy.max_transmissions() - 1 => {
                self.initial.saturating_mul(count.into())
            }
            _ => nanos(self.policy.backoff().delay(slot, Seed::new(self.seed))),
        }
    }

    fn poll(&self, now: Timestamp) -> Action {
        let now = now.as_nanos();
        let over = match self.phase {
            "done" => return Action::Done,
            "cancelled" => return Action::GiveUp(GiveUp::Cancelled),
            _ if now >= self.deadline => return Action::GiveUp(GiveUp::Deadline),
            "sending" => Action::Transmit,
            "held" => Action::GiveUp(GiveUp::PatienceEnded),
            "listening" if self.withheld => Action::GiveUp(GiveUp::OverBudget),
            "listening" => Action::GiveUp(GiveUp::Unanswered),
            phase => unreachable!("{phase}"),
        };
        if now >= self.due { over } else { Action::WaitUntil(at(self.due.min(self.deadline))) }
    }

    fn use_slot(&mut self, now: u64) {
        if self.phase != "sending" {
            return;
        }
        let mut coming = vec![(self.due, 0, self.slot)];
        while coming.len() < 66 {
            let &(due, _, slot) = coming.last().unwrap();
            if slot == self.policy.max_transmissions() {
                break;
            }
            let wait = self.wait(slot);
            coming.push((due.saturating_add(wait), wait, slot + 1));
        }
        let far_enough = |&&(due, wait, _): &&(u64, u64, u32)| due >= now.saturating_add(wait / 2 + wait % 2);
        (self.due, self.slot) = match coming.iter().skip(1).take(64).find(far_enough) {
            Some(&(due, _, slot)) => (due, slot),
            None => {
                let &(_, wait, slot) = coming.last().unwrap();
                (now.saturating_add(wait), slot)
            }
        };
        if self.slot == self.policy.max_transmissions() {
            self.phase = "listening";
        }
    }

    fn tell(&mut self, op: Op, now: u64) {
        let alive = !matches!(self.phase, "done" | "cancelled");
        match op {
            Op::Transmitted => {
                self.sent += 1;
                self.use_slot(now);
            }
            Op::NotTransmitted(over_budget) => {
                self.withheld |= over_budget;
                self.use_slot(now);
            }
            Op::Provisional(Hold::Slow) => self.slowed = true,
            Op::Provisional(Hold::Stop) if alive => {
                self.phase = "held";
                self.due = now.saturating_add(nanos(self.policy.patience()));
            }
            Op::Reply if alive && now <= self.deadline => self.phase = "done",
            Op::Cancelled if alive => self.phase = "cancelled",
            _ => {}
        }
    }
}

/// The times at which a driver without any lateness sends, and how that ends.
struct Nominal {
    dues: Vec<u64>,
    end: Option<(u64, GiveUp)>,
}

impl Nominal {
    fn of(spec: &Spec, policy: &RetryPolicy, start: Timestamp, seed: u64) -> Self {
        let model = Model::start(spec, start, seed, &RetryTimer::start(policy, start, Seed::new(seed)));
        let mut due = model.due;
        let mut dues = Vec::new();
        for slot in 0..policy.max_transmissions() {
            if dues.len() == MOST_SLOTS {
                return Self { dues, end: None };
            }
            if due >= model.deadline {
                return Self { dues, end: Some((model.deadline.max(start.as_nanos()), GiveUp::Deadline)) };
            }
            dues.push(due);
            due = due.saturating_add(model.wait(slot));
        }
        let reason = if due >= model.deadline { GiveUp::Deadline } else { GiveUp::Unanswered };
        let end = (dues.len() < MOST_SLOTS).then_some((due.min(model.deadline), reason));
        Self { dues, end }
    }
}

const MOST_SLOTS: usize = 100;

/// A policy, as numbers.
#[derive(Clone, Copy, Debug)]
struct Spec {
    initial: u64,
    /// Room above the initial interval and its jitter.
    room: u64,
    multiplier: f64,
    law: Law,
    /// In per cent of the initial interval.
    floor: u64,
    transmissions: u32,
    last_wait: LastWait,
    deadline: Option<u64>,
    start_delay: (u64, u64),
    patience: u64,
}

/// Jitter factors are in per cent.
#[derive(Clone, Copy, Debug)]
enum Law {
    None,
    Each(u64, u64),
    Once(u64, u64),
    Compounding(u64, u64),
    PlusMinus(u64),
}

impl Law {
    fn jitter(self) -> Result<Jitter, PolicyError> {
        let factor = |percent: u64| percent as f64 / 100.0;
        match self {
            Self::None => Ok(Jitter::NONE),
            Self::Each(lo, hi) => Jitter::between(factor(lo), factor(hi)),
            Self::Once(lo, hi) => Jitter::once(factor(lo), factor(hi)),
            Self::Compounding(lo, hi) => Jitter::compounding(factor(lo), factor(hi)),
            Self::PlusMinus(deviation) => Jitter::plus_minus(Duration::from_nanos(deviation)),
        }
    }

    /// The largest factor in per cent, and the deviation on top.
    fn largest(self) -> (u64, u64) {
        match self {
            Self::None => (100, 0),
            Self::Each(_, hi) | Self::Once(_, hi) | Self::Compounding(_, hi) => (hi, 0),
            Self::PlusMinus(deviation) => (100, deviation),
        }
    }
}

impl Spec {
    fn max(&self) -> Option<u64> {
        let (hi, deviation) = self.law.largest();
        let reaches = (u128::from(self.initial) * u128::from(hi)).div_ceil(100) + u128::from(deviation);
        let max = u64::try_from(reaches).ok()?.saturating_add(self.room);
        Some(max.max(self.initial))
    }

    fn floor(&self) -> Duration {
        Duration::from_nanos((u128::from(self.initial) * u128::from(self.floor) / 100) as u64)
    }

    fn policy(&self) -> Result<RetryPolicy, PolicyError> {
        let max = self.max().ok_or(PolicyError::ZeroInitial)?;
        // Compounding needs the multiplier first, the multiplier never needs the jitter.
        let backoff = Backoff::exponential(Duration::from_nanos(self.initial), Duration::from_nanos(max))?
            .with_multiplier(self.multiplier)?
            .with_jitter(self.law.jitter()?)?
            .with_floor(self.floor())?;
        let policy = RetryPolicy::new(backoff)
            .with_max_transmissions(self.transmissions)?
            .with_last_wait(self.last_wait)?
            .with_patience(Duration::from_nanos(self.patience))?
            .with_start_delay(Duration::from_nanos(self.start_delay.0), Duration::from_nanos(self.start_delay.1))?;
        self.deadline.map_or(Ok(policy), |deadline| policy.with_deadline(Duration::from_nanos(deadline)))
    }

    /// A constant backoff whose every interval is the longest of this one, each with the draw of its slot.
    fn longest(&self) -> Backoff {
        let (hi, deviation) = self.law.largest();
        let max = self.max().unwrap();
        let cap = u64::try_from(u128::from(max - deviation) * 100 / u128::from(hi)).unwrap_or(u64::MAX);
        let law = match self.law {
            Law::Compounding(lo, hi) => Law::Each(lo, hi),
            law => law,
        };
        Backoff::exponential(Duration::from_nanos(cap), Duration::from_nanos(max.max(cap)))
            .and_then(|backoff| backoff.with_multiplier(1.0))
            .and_then(|backoff| backoff.with_jitter(law.jitter()?))
            .and_then(|backoff| backoff.with_floor(self.floor()))
            .unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Policies of every kind, with no time in them longer than about `largest`.
fn specs(largest: u64) -> impl Strategy<Value = Spec> {
    let transmissions = prop_oneof![Just(1), Just(2), Just(5), Just(63), Just(66), Just(u32::MAX), 1..=20_u32];
    let last_wait = prop_oneof![3 => Just(LastWait::Next), 1 => (1..=100_u32).prop_map(LastWait::Initial)];
    let multiplier = prop_oneof![2 => Just(1.0), 3 => Just(2.0), 1 => Just(1.1), 1 => Just(1e9), 3 => 1.0..4.0_f64];
    let start_delay = prop_oneof![
        3 => Just((0, 0)),
        1 => (spans(largest), spans(largest)).prop_map(|(a, b)| (a.min(b), a.max(b)))
    ];
    let backoff = (spans(largest), prop_oneof![Just(0), spans(largest)], multiplier, laws(largest), 0..=100_u64);
    let rest = (transmissions, last_wait, proptest::option::of(spans(largest)), start_delay, spans(largest));
    (backoff, rest).prop_filter_map("a valid policy", |(backoff, rest)| {
        let (initial, room, multiplier, law, floor) = backoff;
        let (transmissions, last_wait, deadline, start_delay, patience) = rest;
        let multiplier = if let Law::Compounding(..) = law { multiplier.max(2.0) } else { multiplier };
        let spec =
            Spec { initial, room, multiplier, law, floor, transmissions, last_wait, deadline, start_delay, patience };
        spec.policy().is_ok().then_some(spec)
    })
}

fn laws(largest: u64) -> impl Strategy<Value = Law> {
    let factors = || (0..=150_u64, 1..=100_u64).prop_map(|(lo, width)| (lo, lo + width));
    prop_oneof![
        2 => Just(Law::None),
        2 => factors().prop_map(|(lo, hi)| Law::Each(lo, hi)),
        1 => factors().prop_map(|(lo, hi)| Law::Once(lo, hi)),
        1 => (90..=110_u64, 0..=50_u64).prop_map(|(lo, width)| Law::Compounding(lo, lo + width)),
        1 => spans(largest).prop_map(Law::PlusMinus),
    ]
}

/// From a nanosecond up, every order of magnitude about as often.
fn spans(largest: u64) -> impl Strategy<Value = u64> {
    prop_oneof![
        2 => Just(1),
        2 => 1..=10_u64,
        3 => 1..=1_000_000_u64,
        5 => MS..=10_000 * MS,
        1 => 1..=largest,
    ]
}

fn moments() -> impl Strategy<Value = Timestamp> {
    prop_oneof![Just(0), any::<u64>(), u64::MAX - 10_000 * MS..=u64::MAX, Just(u64::MAX)].prop_map(at)
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Advance(Step),
    /// The next fact is reported at an earlier time.
    Rewind,
    Transmitted,
    NotTransmitted(bool),
    Provisional(Hold),
    Reply,
    Cancelled,
    EndBy(Step),
}

#[derive(Clone, Copy, Debug)]
enum Step {
    By(u64),
    /// To the due time, less one nanosecond, exactly, or plus one.
    ToDue(u8),
    ToDeadline(u8),
}

impl Step {
    fn from(self, now: Timestamp, model: &Model) -> Timestamp {
        let beside = |moment: u64, offset: u8| at(moment.saturating_sub(1).saturating_add(offset.into()));
        match self {
            Self::By(span) => now.after(Duration::from_nanos(span)),
            Self::ToDue(offset) => beside(model.due, offset).max(now),
            Self::ToDeadline(offset) => beside(model.deadline, offset).max(now),
        }
    }
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::By(0)),
        3 => spans(HUGE).prop_map(Step::By),
        1 => Just(Step::By(u64::MAX)),
        6 => (0..=2_u8).prop_map(Step::ToDue),
        1 => (0..=2_u8).prop_map(Step::ToDeadline),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        60 => steps().prop_map(Op::Advance),
        2 => Just(Op::Rewind),
        60 => Just(Op::Transmitted),
        12 => any::<bool>().prop_map(Op::NotTransmitted),
        4 => prop_oneof![Just(Hold::Stop), Just(Hold::Slow), Just(Hold::Slow)].prop_map(Op::Provisional),
        1 => Just(Op::Reply),
        1 => Just(Op::Cancelled),
        2 => steps().prop_map(Op::EndBy),
    ]
}

/// Without the steps to the end of time, where a shifted clock would stand still.
fn modest_ops() -> impl Strategy<Value = Op> {
    let steps = || prop_oneof![spans(HOUR).prop_map(Step::By), (0..=2_u8).prop_map(Step::ToDue)];
    prop_oneof![
        30 => steps().prop_map(Op::Advance),
        30 => Just(Op::Transmitted),
        6 => any::<bool>().prop_map(Op::NotTransmitted),
        2 => prop_oneof![Just(Hold::Stop), Just(Hold::Slow)].prop_map(Op::Provisional),
        1 => Just(Op::Reply),
        1 => Just(Op::Cancelled),
        1 => steps().prop_map(Op::EndBy),
    ]
}

#[track_caller]
fn apply(op: Op, policy: &RetryPolicy, timer: &mut RetryTimer, model: &mut Model, now: &mut Timestamp) {
    match op {
        Op::Advance(step) => *now = step.from(*now, model),
        Op::Rewind => *now = at(now.as_nanos() / 2),
        Op::EndBy(step) => {
            let end = step.from(*now, model);
            *timer = timer.end_by(end);
            model.deadline = model.deadline.min(end.as_nanos());
        }
        fact => {
            tell(fact, policy, timer, *now);
            model.tell(fact, now.as_nanos());
        }
    }
}

fn tell(fact: Op, policy: &RetryPolicy, timer: &mut RetryTimer, now: Timestamp) {
    match fact {
        Op::Transmitted => timer.on_transmitted(policy, now),
        Op::NotTransmitted(true) => timer.on_not_transmitted(policy, now, NotTransmitted::OverBudget),
        Op::NotTransmitted(false) => timer.on_not_transmitted(policy, now, NotTransmitted::SendFailed),
        Op::Provisional(hold) => timer.on_provisional(policy, now, hold),
        Op::Reply => timer.on_reply(now),
        Op::Cancelled => timer.on_cancelled(),
        Op::Advance(_) | Op::Rewind | Op::EndBy(_) => unreachable!("not a fact"),
    }
}

fn moved(action: Action, shift: u64) -> Action {
    match action {
        Action::WaitUntil(until) => Action::WaitUntil(at(until.as_nanos() + shift)),
        action => action,
    }
}

/// How much too late a driver comes, in terms of how long it waited.
#[derive(Clone, Copy, Debug)]
enum Lateness {
    Thousandths(u64),
    Nanos(u64),
}

impl Lateness {
    fn of(self, waited: u64) -> Duration {
        match self {
            Self::Thousandths(share) => {
                let late = u128::from(waited) * u128::from(share) / 1000;
                Duration::from_nanos(u64::try_from(late).unwrap_or(u64::MAX))
            }
            Self::Nanos(nanos) => Duration::from_nanos(nanos),
        }
    }
}

fn lateness() -> impl Strategy<Value = Lateness> {
    prop_oneof![
        Just(Lateness::Nanos(0)),
        (0..=1000_u64).prop_map(Lateness::Thousandths),
        (0..=100_000_u64).prop_map(Lateness::Thousandths),
        spans(HUGE).prop_map(Lateness::Nanos),
    ]
}

/// Drives a request that nobody answers; `late` says by how many nanoseconds each wait ends too late.
#[track_caller]
fn run(policy: &RetryPolicy, seed: u64, mut late: impl FnMut(u64) -> u64) -> (Vec<u64>, (u64, GiveUp)) {
    let mut timer = RetryTimer::start(policy, at(0), Seed::new(seed));
    let (mut now, mut sent, mut waits) = (at(0), Vec::new(), 0);
    loop {
        match timer.poll(now) {
            Action::Transmit => {
                sent.push(now.as_nanos());
                timer.on_transmitted(policy, now);
            }
            Action::WaitUntil(until) => {
                assert!(until > now);
                now = at(until.as_nanos() + late(waits));
                waits += 1;
            }
            Action::GiveUp(reason) => return (sent, (now.as_nanos(), reason)),
            Action::Done => panic!("nobody replied"),
        }
    }
}

fn constant(nanos: u64) -> RetryPolicy {
    RetryPolicy::new(Backoff::constant(Duration::from_nanos(nanos)).unwrap())
}

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap()
}

/// Raised by `UDP_RETRY_CASES`.
fn cases(usual: u32) -> ProptestConfig {
    let cases = std::env::var("UDP_RETRY_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual);
    ProptestConfig { cases, failure_persistence: None, max_global_rejects: 1_000_000, ..ProptestConfig::default() }
}

const MS: u64 = 1_000_000;
const HOUR: u64 = 3_600_000 * MS;
const HUGE: u64 = u64::MAX / 2;
