//! Chance as an argument: seeds, and draws keyed by what they decide.

mod seed;

pub use seed::Seed;
pub(crate) use seed::{Draws, uniform};
