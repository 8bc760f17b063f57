//! What a request to several servers does to its schedule: it hops from one to the next within a slot.

use std::time::Duration;

use proptest::prelude::*;
use udp_retry::RetryPolicy;
use udp_retry::Seed;
use udp_retry::transaction::{Action, GiveUp, RetryTimer};

use super::facts::{Op, apply, ops, specs};
use super::model::Model;
use super::{HUGE, MS, at, cases, constant};

#[test]
fn a_hop_leaves_the_slot_to_the_next_server_and_the_last_one_waits_for_it() {
    let policy = constant(1_000 * MS).with_max_transmissions(1).unwrap();
    let mut timer = RetryTimer::start(&policy, at(0), Seed::new(0));
    timer.on_hop(Duration::from_millis(250), at(0));
    assert_eq!(timer.poll(at(0)), Action::WaitUntil(at(250 * MS)));
    assert_eq!(timer.poll(at(250 * MS)), Action::Transmit);
    timer.on_transmitted(&policy, at(250 * MS));
    assert_eq!(timer.poll(at(250 * MS)), Action::WaitUntil(at(1_250 * MS)));
    assert_eq!(timer.poll(at(1_250 * MS)), Action::GiveUp(GiveUp::Unanswered));
    assert_eq!(timer.transmissions(), 2);
}

#[test]
fn where_no_server_is_left_the_slot_waits_from_the_latest_one() {
    let policy = constant(1_000 * MS).with_max_transmissions(2).unwrap();
    let mut timer = RetryTimer::start(&policy, at(0), Seed::new(0));
    timer.on_hop(Duration::from_millis(250), at(0));
    timer.on_round_over(&policy, at(0), at(250 * MS));
    assert_eq!(timer.poll(at(250 * MS)), Action::WaitUntil(at(1_000 * MS)));
    // Later than the slot's wait, the next one is due at once.
    timer.on_hop(Duration::from_secs(3), at(1_000 * MS));
    timer.on_round_over(&policy, at(1_000 * MS), at(4_000 * MS));
    assert_eq!(timer.poll(at(4_000 * MS)), Action::GiveUp(GiveUp::Unanswered));
}

#[test]
fn a_release_gives_one_transmission_more_where_all_slots_have_passed() {
    let policy: RetryPolicy = constant(1_000 * MS).with_max_transmissions(1).unwrap();
    let mut timer = RetryTimer::start(&policy, at(0), Seed::new(0));
    timer.on_transmitted(&policy, at(0));
    timer.on_released(at(500 * MS));
    assert_eq!(timer.poll(at(500 * MS)), Action::Transmit);
    timer.on_transmitted(&policy, at(500 * MS));
    assert_eq!(timer.poll(at(500 * MS)), Action::WaitUntil(at(1_500 * MS)));
    timer.on_reply(at(600 * MS));
    timer.on_released(at(600 * MS));
    assert_eq!(timer.poll(at(600 * MS)), Action::Done);
}

#[derive(Clone, Copy, Debug)]
enum Fact {
    Any(Op),
    Hop(u64),
    /// So long after the latest was asked.
    RoundOver(u64),
    Hastened,
    Released,
    Copied,
}

proptest! {
    #![proptest_config(cases(4_000))]

    #[test]
    fn any_facts_have_the_effect_that_the_model_has(
        spec in specs(HUGE),
        seed in any::<u64>(),
        facts in proptest::collection::vec(facts(), 1..60),
    ) {
        let (policy, mut now) = (spec.policy().unwrap(), at(0));
        let mut timer = RetryTimer::start(&policy, now, Seed::new(seed));
        let mut model = Model::start(&spec, now, seed, &timer);
        for fact in facts {
            match fact {
                Fact::Any(op) => apply(op, &policy, &mut timer, &mut model, &mut now),
                Fact::Hop(wait) => {
                    timer.on_hop(Duration::from_nanos(wait), now);
                    model.hop(wait, now.as_nanos());
                }
                Fact::RoundOver(ago) => {
                    let last = at(now.as_nanos().saturating_sub(ago));
                    timer.on_round_over(&policy, last, now);
                    model.end_round(last.as_nanos(), now.as_nanos());
                }
                Fact::Hastened => {
                    timer.hasten(now);
                    model.hasten(now.as_nanos());
                }
                Fact::Released => {
                    timer.on_released(now);
                    model.release(now.as_nanos());
                }
                Fact::Copied => {
                    timer.on_copied();
                    model.sent += 1;
                }
            }
            prop_assert_eq!(timer.poll(now), model.poll(now), "after {:?}: {:?}", fact, model);
            prop_assert_eq!(timer.transmissions(), model.sent);
        }
    }
}

fn facts() -> impl Strategy<Value = Fact> {
    let spans = || prop_oneof![1..=10_u64, MS..=10_000 * MS, 1..=HUGE];
    prop_oneof![
        12 => ops().prop_map(Fact::Any),
        4 => spans().prop_map(Fact::Hop),
        2 => spans().prop_map(Fact::RoundOver),
        1 => Just(Fact::Hastened),
        1 => Just(Fact::Released),
        1 => Just(Fact::Copied),
    ]
}
