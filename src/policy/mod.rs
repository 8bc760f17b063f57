//! When to send again, and when to stop: pure values, no clock, no datagram.
//!
//! | type | answers |
//! |---|---|
//! | [`Backoff`], [`Jitter`] | how long to wait after each transmission |
//! | [`RetryPolicy`], [`Preset`] | the whole schedule, and those that RFCs publish; each has a [text](RetryPolicy#impl-FromStr-for-RetryPolicy) |
//! | [`Schedule`], [`Deviation`] | what a policy will do, and which rules it breaks |
//! | [`RttEstimator`] | how long the first wait should be on a measured path |
//! | [`RetryBudget`] | how many retransmissions all requests to a destination may make together |
//!
//! Policies are checked once, when they are built, and `Copy` from then on; chance comes in as a seed. Estimator and
//! budget are handles: clones share one state, on any number of threads.

mod backoff;
mod budget;
mod chain;
mod deviation;
mod error;
mod fixed;
mod jitter;
mod latch;
mod measured;
mod presets;
mod retry_policy;
mod rtt;
mod schedule;
mod text;

pub use backoff::Backoff;
pub use budget::RetryBudget;
pub use deviation::Deviation;
pub use error::PolicyError;
pub use jitter::Jitter;
pub(crate) use measured::{Estimate, Measured, RttBounds};
pub use presets::Preset;
pub use retry_policy::{LastWait, RetryPolicy};
pub use rtt::RttEstimator;
pub use schedule::{Schedule, Window};
pub use text::PolicyTextError;
