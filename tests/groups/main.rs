//! Requests that name a group of servers, thousands at a time: each fares as with a transaction of its own, and together they
//! keep to windows, budgets and memory.

#[path = "../transaction/in_flight/dice.rs"]
mod dice;
mod matcher;
mod promises;
mod twins;
#[path = "../common/watchdog.rs"]
mod watchdog;
mod worlds;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use udp_retry::time::Timestamp;

const START: Timestamp = Timestamp::from_nanos(3_600_000_000_000);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The world that is run at present.
static CURRENT: AtomicU64 = AtomicU64::new(0);

/// Says how to see a failure of a test again.
struct Replay(&'static str);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (world, test) = (CURRENT.load(Ordering::Relaxed), self.0);
            eprintln!("again: UDP_RETRY_WORLD={world} cargo test --test groups {test}");
        }
    }
}
