//! What a bad network does to datagrams, as pure and seeded values.
//!
//! [`Impairments`] say what one direction of a path does, a [`Link`] does it to one datagram after the other, and
//! [`LossySink`] puts links around any [`Transport`](crate::transport::Transport).

mod impairments;
mod link;
mod loss;
mod probability;
mod sink;

pub use impairments::Impairments;
pub use link::{DropCause, Fate, Link, LinkStats};
pub use loss::LossModel;
pub use probability::{NotAProbability, Probability};
pub use sink::LossySink;
