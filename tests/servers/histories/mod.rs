//! Histories of any facts in any order, against the model.

mod model;
mod settings;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use self::world::{Tally, World};
use crate::watchdog::{MINUTE, within};

#[test]
fn a_set_knows_of_its_servers_what_the_facts_say_and_chooses_by_it() {
    if let Some(world) = number("UDP_RETRY_WORLD") {
        println!("{:?}", World::new(world).run());
        return;
    }
    let _replay = Replay;
    let worlds = number("UDP_RETRY_WORLDS").unwrap_or(20_000);
    let mut tally = Tally::default();
    for first in (0..worlds).step_by(1_000) {
        let sum = std::sync::Arc::new(std::sync::Mutex::new(Tally::default()));
        let of_these = sum.clone();
        within(MINUTE, move || {
            for world in first..worlds.min(first + 1_000) {
                CURRENT.store(world, Ordering::Relaxed);
                let (happened, choices) = World::new(world).run();
                if world % 64 == 0 {
                    assert_eq!(World::new(world).run().1, choices, "another choice with the same seed");
                }
                *of_these.lock().unwrap() += happened;
            }
        });
        tally += *sum.lock().unwrap();
    }
    println!("{tally:?}");
    let Tally { choices, rounds, parked, deaths, revivals, releases, probes, excused } = tally;
    let rarest = [choices, rounds, parked, deaths, revivals, releases, probes, excused].into_iter().min();
    assert!(rarest > Some(worlds / 4), "too little happens to prove anything: {tally:?}");
}

/// The world that runs.
static CURRENT: AtomicU64 = AtomicU64::new(0);

/// Says which world failed.
struct Replay;

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let world = CURRENT.load(Ordering::Relaxed);
            println!("the world of number {world} failed: UDP_RETRY_WORLD={world} runs it alone");
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|it| it.parse().unwrap_or_else(|_| panic!("{variable}={it}: a number")))
}
