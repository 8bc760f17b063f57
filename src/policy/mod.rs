//! When to send again, and when to stop: pure values, no clock, no datagram.
//!
//! | type | answers |
//! |---|---|
//! | [`Backoff`], [`Jitter`] | how long to wait after each transmission |
//! | [`RetryPolicy`], [`Preset`] | the whole schedule, and those that RFCs publish |
//! | [`Schedule`], [`Deviation`] | what a policy will do, and which rules it breaks |
//! | [`RttEstimator`] | how long the first wait should be on a measured path |
//! | [`RetryBudget`] | how many retransmissions all requests to a destination may make together |
//!
//! Policies are checked once, when they are built, and `Copy` from then on; chance comes in as a seed.

mod backoff;
mod budget;
mod chain;
mod error;
mod fixed;
mod jitter;
mod presets;
mod retry_policy;
mod rtt;
mod schedule;

pub use backoff::Backoff;
pub use budget::RetryBudget;
pub use error::PolicyError;
pub use jitter::Jitter;
pub use presets::Preset;
pub use retry_policy::{LastWait, RetryPolicy};
pub use rtt::RttEstimator;
pub use schedule::{Deviation, Schedule, Window};
