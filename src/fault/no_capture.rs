//! Without the feature `pcap` nothing is captured, and copies carry nothing with them.

#[cfg(feature = "sim")]
use core::fmt;
use core::net::SocketAddr;

use crate::fault::link::fate::Delivery;
use crate::fault::record::Record;
use crate::time::Timestamp;

pub(crate) type Ends = (SocketAddr, SocketAddr);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Tag;

impl Tag {
    pub(crate) const fn new(_: &Record, _: usize, _: &Delivery) -> Self {
        Self
    }

    pub(crate) const fn link(&self) -> u64 {
        0
    }
}

#[cfg(feature = "sim")]
impl fmt::Display for Tag {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

#[cfg(feature = "sim")]
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Interface;

pub(crate) struct Tap;

impl Tap {
    pub(crate) const NONE: Self = Self;

    pub(crate) const fn is_on(&self) -> bool {
        false
    }

    pub(crate) const fn entered(&self, _: &Record, _: Ends, _: &[u8]) {}

    pub(crate) const fn left(&self, _: &Tag, _: Timestamp, _: Ends, _: &[u8], _: usize) {}
}

#[cfg(feature = "sim")]
impl Tap {
    pub(crate) fn interface(&self, _: &dyn fmt::Display) -> Interface {
        Interface
    }

    pub(crate) fn entered_at(&self, _: Interface, _: &Record, _: Ends, _: &[u8]) {}

    pub(crate) fn packet(&self, _: Interface, _: Timestamp, _: Ends, _: (&[u8], usize), _: &dyn fmt::Display) {}
}
