//! Schedules that were worked out by hand.

use std::time::Duration;

use udp_retry::RetryPolicy;
use udp_retry::Seed;
use udp_retry::policy::LastWait;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Action, GiveUp, Hold, NotTransmitted, RetryTimer};

use super::{MS, at, constant, run};

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
