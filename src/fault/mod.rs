//! What a bad network does to datagrams, as pure and seeded values.
//!
//! [`Impairments`] say what one direction of a path does, at first and [later](Impairments::with_change), a [`Link`]
//! does it to one datagram after the other, and [`LossySink`] puts links around any
//! [`Transport`](crate::transport::Transport). The proxy and the simulator use the same [`Link`]: one specification and
//! one seed give the same fates everywhere, what changes over time included, as its times count from the beginning of each.
//! All of them can write a `Capture` (feature `pcap`), in which Wireshark shows what became of each datagram.

mod capacity;
#[cfg_attr(not(feature = "pcap"), path = "no_capture.rs")]
mod capture;
#[cfg_attr(not(feature = "std"), path = "no_control.rs")]
mod control;
mod direction;
mod impairment;
mod link;
mod offered;
mod peer_links;
mod recent;
mod record;
mod sink;
mod text;

pub use capacity::Capacity;
#[cfg(feature = "pcap")]
pub use capture::Capture;
#[cfg(any(feature = "proxy", feature = "sim"))]
pub(crate) use capture::{Ends, Tag, Tap};
#[cfg(feature = "std")]
pub use control::Control;
pub use direction::Direction;
pub use impairment::bottleneck::{Bottleneck, QueueLimit};
pub use impairment::damage::{Corrupt, Flips, Truncate};
pub use impairment::delay::{DelayLaw, DelayModel};
pub use impairment::dose::Dose;
pub use impairment::duplicate::Duplicate;
pub use impairment::gilbert::GilbertElliott;
pub use impairment::impairments::Impairments;
pub use impairment::infeasible::Infeasible;
pub use impairment::loss::{BitPattern, ExactPerBlock, LossModel};
pub use impairment::mtu::{MtuClamp, Oversize};
pub use impairment::outage::Outage;
pub use impairment::probability::{NotAProbability, Probability};
pub use impairment::profile::Profile;
pub use impairment::rate_trace::{RateTrace, RateTraceError};
pub use impairment::reorder::Reorder;
pub use impairment::script::{Rule, Script};
pub use impairment::timeline::Setting;
pub use link::Link;
pub use link::fate::{Deliveries, Delivery, DropCause, Fate};
pub use link::stats::{DirectionStats, Dropped, LinkStats};
pub use record::Record;
pub use sink::LossySink;
pub use text::SpecError;
#[cfg(feature = "trace")]
pub use text::trace::{Trace, TraceError};
#[cfg(feature = "proxy")]
pub(crate) use {
    capacity::Admission,
    control::{Changed, Seen},
    link::link_pair::LinkPair,
    link::transit::Transit,
    recent::Recent,
    record::FateObserver,
};
#[cfg(feature = "sim")]
pub(crate) use {
    capture::Interface,
    link::{delay_line::DelayLine, packets::Packets},
};
