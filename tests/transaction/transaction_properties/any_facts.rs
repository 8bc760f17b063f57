//! Any facts in any order.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use udp_retry::transaction::{Execution, Failure, Match, Next};

use super::cases;
use super::world::{Op, World, ends, ops, wild_ops, without_kind};

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn strangers_change_no_transmission_and_no_time(ops in vec(ops(), 0..60), at_which in vec(0..60_usize, 1..40), seed: u64) {
        let mut alone = World::start(seed);
        let mut crowded = World::start(seed);
        for (n, &op) in ops.iter().enumerate() {
            for _ in at_which.iter().filter(|&&which| which == n) {
                prop_assert_eq!(crowded.stranger(n), Match::Foreign);
            }
            let (left, right) = (alone.apply(op), crowded.apply(op));
            prop_assert_eq!(left.map(without_kind), right.map(without_kind), "after {:?}", op);
            prop_assert_eq!(without_kind(alone.next()), without_kind(crowded.next()), "after {:?}", op);
            prop_assert_eq!(&alone.sent, &crowded.sent);
            prop_assert_eq!(alone.transaction.round_trip(), crowded.transaction.round_trip());
            prop_assert_eq!(alone.transaction.execution(), crowded.transaction.execution());
            prop_assert_eq!(alone.transaction.last_error(), crowded.transaction.last_error());
        }
    }

    #[test]
    fn a_restarted_transaction_behaves_as_a_fresh_one(
        before in vec(wild_ops(), 0..60), after in vec(wild_ops(), 0..60), seeds: (u64, u64)
    ) {
        let mut used = World::start(seeds.0);
        for op in before {
            used.apply(op);
        }
        // Until then refusals may still be of the requests before.
        used.now = used.now.after(Duration::from_secs(121));
        used.restart(seeds.1);
        let mut fresh = World::new(used.now);
        fresh.restart(seeds.1);
        for op in after {
            prop_assert_eq!(used.apply(op), fresh.apply(op), "{:?}", op);
            prop_assert_eq!(used.shown(), fresh.shown(), "after {:?}", op);
        }
    }

    #[test]
    fn asking_changes_nothing_and_no_fact_makes_it_spin(ops in vec(wild_ops(), 0..80), seed: u64) {
        let mut world = World::start(seed);
        for op in ops {
            world.apply(op);
            let mut unasked = world.clone();
            let next = world.next();
            prop_assert_eq!(next, world.next());
            prop_assert_eq!(world.shown(), unasked.shown());
            match (op, next) {
                (Op::Sent | Op::NotSent(_), Next::Transmit) => prop_assert!(false, "a burst"),
                (_, Next::WaitUntil(until)) => prop_assert!(until > world.now, "spins"),
                _ => {}
            }
        }
    }

    #[test]
    fn a_reply_ends_it_for_good(ops in vec(ops(), 0..30), after in vec(wild_ops(), 0..30), seed: u64) {
        let mut world = World::start(seed);
        for op in ops.into_iter().chain([Op::Sent, Op::Reply(0)]) {
            world.apply(op);
        }
        if world.next() == Next::Done {
            for op in after {
                world.apply(op);
                prop_assert_eq!(world.next(), Next::Done, "after {:?}", op);
            }
        }
    }

    #[test]
    fn a_failure_that_is_decided_is_never_revised(
        ops in vec(wild_ops(), 0..30), end in ends(), after in vec(wild_ops(), 0..30), seed: u64
    ) {
        let mut world = World::start(seed);
        for op in ops.into_iter().chain(vec![end; 16]) {
            world.apply(op);
        }
        let decided = world.next();
        prop_assert!(!matches!(decided, Next::Transmit | Next::WaitUntil(_)), "{:?}", decided);
        // What only the time has decided, a reply that came in time may still revise.
        let by_time = |failure| matches!(failure, Failure::TimedOut(_) | Failure::Refused | Failure::Unreachable);
        if !matches!(decided, Next::Failed(failure) if by_time(failure)) {
            for op in after {
                world.apply(op);
                prop_assert_eq!(world.next(), decided, "after {:?}", op);
            }
        }
    }

    #[test]
    fn a_round_trip_is_told_only_where_one_transmission_can_be_meant(ops in vec(ops(), 0..60), seed: u64) {
        let mut world = World::start(seed);
        for op in ops {
            let verdict = world.apply(op);
            if let (Some(Next::Done), Op::Reply(back)) = (verdict, op) {
                let id = world.id_of(back);
                let sent: Vec<_> = world.sent.iter().filter(|&&(_, sent)| sent == id).map(|&(at, _)| at).collect();
                let expected = match sent[..] {
                    [at] => Some(world.now.since(at)),
                    _ => None,
                };
                prop_assert_eq!(world.transaction.round_trip(), expected);
                return Ok(());
            }
            prop_assert_eq!(world.transaction.round_trip(), None);
        }
    }

    #[test]
    fn execution_is_what_the_facts_allow(ops in vec(ops(), 0..60), seed: u64) {
        let mut world = World::start(seed);
        for op in ops {
            world.apply(op);
            let (sent, refused) = (world.sent.len() as u32, world.refusals);
            match world.transaction.execution() {
                Execution::NotSent => prop_assert_eq!(sent, 0),
                Execution::Refused => prop_assert!(sent > 0 && refused >= sent && !world.answered),
                Execution::Unknown => prop_assert!(sent > 0 && (refused < sent || world.answered)),
            }
        }
    }

}
