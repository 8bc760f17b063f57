//! Which size of datagram a path carries: searches of paths in virtual time, and under any facts.

mod any_facts;
mod black_holes;
#[path = "../transaction/in_flight/dice.rs"]
mod dice;
mod loss_free;
mod lossy;
mod others;
mod path;
mod reports;
mod rules;
#[cfg(feature = "sim")]
mod simulated;
mod strategies;
