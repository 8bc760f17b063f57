//! Chance as an argument: seeds, whose draws are keyed by what they decide; and unpredictable bytes for ids.

mod ids;
#[cfg_attr(
    not(any(test, all(feature = "std", feature = "fault"))),
    expect(dead_code, reason = "a table for all features")
)]
pub(crate) mod labels;
mod seed;

pub use ids::IdSource;
pub use seed::Seed;
pub(crate) use seed::{Draws, uniform};
