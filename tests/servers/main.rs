//! Which of several servers is asked: the set against a plain model under any facts, and against what it measures.

mod common;
#[path = "../transaction/in_flight/dice.rs"]
mod dice;
mod histories;
mod measured;
mod outages;
mod spreads;
#[path = "../common/watchdog.rs"]
mod watchdog;
