use alloc::vec::Vec;

use super::World;
use super::passage::{Flight, Obstacle};
#[cfg(feature = "pcap")]
use crate::fault::Capture;
use crate::fault::{Ends, Interface, Record, Tap};
use crate::time::Timestamp;

/// Where the network writes its datagrams.
pub(super) struct Captured {
    tap: Tap,
    /// Of those hosts of which something was written.
    interfaces: Vec<Option<Interface>>,
}

impl Captured {
    pub(super) const NONE: Self = Self { tap: Tap::NONE, interfaces: Vec::new() };

    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.tap.is_on()
    }
}

impl<A> World<A> {
    #[cfg(feature = "pcap")]
    pub(in crate::sim) fn capture(&mut self, capture: Capture) {
        let tap = Tap::new(capture, self.now, std::time::SystemTime::UNIX_EPOCH);
        self.captured = Captured { tap, interfaces: Vec::new() };
    }

    /// A host sends a datagram into a link.
    #[cold]
    pub(super) fn capture_entry(&mut self, host: usize, record: &Record, ends: Ends, datagram: &[u8]) {
        let interface = self.interface(host);
        self.captured.tap.entered_at(interface, record, ends, datagram);
    }

    /// A host sends a datagram that does not even enter a link.
    #[cold]
    pub(super) fn capture_stop(&mut self, host: usize, obstacle: Obstacle, ends: Ends, datagram: &[u8]) {
        let (interface, now) = (self.interface(host), self.now);
        // Older compilers end what is in it with the statement.
        self.captured.tap.packet(interface, now, ends, (datagram, 0), &format_args!("dropped ({})", obstacle.as_str()));
    }

    /// A copy arrives at a host, where `dropped` may be the end of it.
    #[cold]
    pub(super) fn capture_arrival(&mut self, flight: &Flight, at: Timestamp, datagram: &[u8], dropped: Option<&str>) {
        let Flight { from, to, host, tag: Some(tag), .. } = flight else { return };
        let interface = self.interface(*host);
        let (comma, cause, end) = dropped.map_or(("", "", ""), |cause| (", then dropped (", cause, ")"));
        let ends = (*from, *to);
        self.captured.tap.packet(interface, at, ends, (datagram, 0), &format_args!("{tag}{comma}{cause}{end}"));
    }

    fn interface(&mut self, host: usize) -> Interface {
        let Self { captured: Captured { tap, interfaces }, topology, .. } = self;
        if interfaces.len() <= host {
            interfaces.resize(host + 1, None);
        }
        let made = |interface: &mut Option<Interface>| {
            *interface.get_or_insert_with(|| match topology.address_of(host) {
                Some(address) => tap.interface(&address),
                None => tap.interface(&"nowhere"),
            })
        };
        interfaces.get_mut(host).map(made).unwrap_or_default()
    }
}
