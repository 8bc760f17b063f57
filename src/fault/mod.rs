//! What a bad network does to datagrams, as pure and seeded values.
//!
//! [`Impairments`] say what one direction of a path does, a [`Link`] does it to one datagram after the other, and
//! [`LossySink`] puts links around any [`Transport`](crate::transport::Transport). The proxy and the simulator use
//! the same [`Link`]: one specification and one seed give the same fates everywhere.

mod bottleneck;
mod control;
mod damage;
mod decimal;
mod delay;
mod delay_line;
mod duplicate;
mod gilbert;
mod impairments;
mod infeasible;
mod link;
mod links;
mod loss;
mod mtu;
mod outage;
mod probability;
mod profile;
mod recent;
mod record;
mod reorder;
mod script;
mod sink;
mod spec;
mod stats;
#[cfg(feature = "trace")]
mod trace;
mod way;

pub use bottleneck::{Bottleneck, QueueLimit};
pub use control::Control;
pub use damage::{Corrupt, Flips, Truncate};
pub use delay::{DelayLaw, DelayModel};
pub(crate) use delay_line::DelayLine;
pub use duplicate::Duplicate;
pub use gilbert::GilbertElliott;
pub use impairments::Impairments;
pub use infeasible::Infeasible;
pub use link::{Deliveries, Delivery, Direction, DropCause, Fate, Link};
pub use loss::{BitPattern, ExactPerBlock, LossModel};
pub use mtu::{MtuClamp, Oversize};
pub use outage::Outage;
pub use probability::{NotAProbability, Probability};
pub use profile::Profile;
pub use record::Record;
pub use reorder::Reorder;
pub use script::{Rule, Script};
pub use sink::LossySink;
pub use spec::SpecError;
pub use stats::{DirectionStats, Dropped, LinkStats};
#[cfg(feature = "trace")]
pub use trace::{Trace, TraceError};
#[cfg(feature = "proxy")]
pub(crate) use {links::Links, recent::Recent, way::Way};
