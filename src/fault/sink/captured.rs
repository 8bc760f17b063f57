use alloc::boxed::Box;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::fault::capture::{Ends, Tag, Tap};
use crate::fault::record::Record;
use crate::size::IpFamily;
use crate::time::Timestamp;
use crate::transport::Transport;

/// Where a sink writes its datagrams, and between which addresses.
pub(super) struct Captured<P> {
    pub(super) tap: Tap,
    pub(super) addresses: Option<Addresses<P>>,
}

/// The own address and the peer's.
pub(super) type Addresses<P> = Box<dyn FnMut(P) -> (SocketAddr, SocketAddr) + Send>;

/// A peer, and what is known of the addresses between it and here.
#[derive(Clone, Copy)]
pub(super) struct Course<P> {
    pub(super) peer: P,
    /// Whether the datagram goes there; else it comes from there.
    pub(super) is_sent: bool,
    pub(super) family: IpFamily,
}

impl<P> Captured<P> {
    pub(super) const NONE: Self = Self { tap: Tap::NONE, addresses: None };

    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.tap.is_on()
    }

    /// A datagram enters a link.
    pub(super) fn entered(&mut self, course: Course<P>, record: &Record, datagram: &[u8]) {
        let ends = self.ends(course, record.link);
        self.tap.entered(record, ends, datagram);
    }

    /// The transport has taken a copy.
    #[inline]
    pub(super) fn sent<T: Transport<Peer = P>>(&mut self, by: &T, to: P, family: IpFamily, tag: &Tag, copy: &[u8]) {
        if self.is_on() {
            self.left(Course { peer: to, is_sent: true, family }, tag, by.now(), copy, 0);
        }
    }

    /// A copy has left its link, without `missing` bytes that are not at hand.
    pub(super) fn left(&mut self, course: Course<P>, tag: &Tag, at: Timestamp, datagram: &[u8], missing: usize) {
        let ends = self.ends(course, tag.link());
        self.tap.left(tag, at, ends, datagram, missing);
    }

    fn ends(&mut self, course: Course<P>, link: u64) -> Ends {
        let Course { peer, is_sent, family } = course;
        let (own, other) = match &mut self.addresses {
            Some(addresses) => addresses(peer),
            None => (documentation(family, None), documentation(family, Some(link))),
        };
        if is_sent { (own, other) } else { (other, own) }
    }
}

/// An address for documentation (RFC 5737, RFC 3849): this end's, or that of the peer of a link.
fn documentation(family: IpFamily, link: Option<u64>) -> SocketAddr {
    let (last, port) = match link {
        None => (1, OWN_PORT),
        // All hosts of one network, then the same at the next port.
        Some(link) => (2 + link % HOSTS, (link / HOSTS).saturating_add(FIRST_PORT)),
    };
    let (last, port) = (u8::try_from(last).unwrap_or(u8::MAX), u16::try_from(port).unwrap_or(u16::MAX));
    let ip = match family {
        IpFamily::V4 => Ipv4Addr::new(192, 0, 2, last).into(),
        IpFamily::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()).into(),
    };
    SocketAddr::new(ip, port)
}

/// Ports that no protocol has (RFC 6335 section 6).
const OWN_PORT: u64 = 49_152;
const FIRST_PORT: u64 = 49_153;
const HOSTS: u64 = 250;
