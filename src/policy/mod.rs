//! When to send again, and when to stop: pure values, no clock, no datagram.
//!
//! [`Backoff`] is one interval after the other, [`RetryPolicy`] a whole schedule made of them. Both are checked
//! once, when they are built, and `Copy` from then on; chance comes in as a seed.

mod backoff;
mod error;
mod retry_policy;

pub use backoff::{Backoff, Jitter};
pub use error::PolicyError;
pub use retry_policy::{LastWait, RetryPolicy};
