//! Requests that name a group of servers, thousands at a time: each fares as with a transaction of its own, and together they
//! keep to windows, budgets and memory.

#[path = "../transaction/in_flight/dice.rs"]
mod dice;
mod matcher;
mod twins;
#[path = "../common/watchdog.rs"]
mod watchdog;

use std::time::Duration;

use udp_retry::time::Timestamp;

const START: Timestamp = Timestamp::from_nanos(3_600_000_000_000);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
