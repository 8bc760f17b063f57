//! Chance as an argument: seeds, whose draws are keyed by what they decide; and unpredictable bytes for ids.

mod ids;
pub(crate) mod labels;
mod seed;

pub use ids::IdSource;
pub use seed::Seed;
pub(crate) use seed::uniform;
