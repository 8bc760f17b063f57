use core::net::{IpAddr, SocketAddr, SocketAddrV6};
use core::num::NonZeroU32;

use crate::time::{Ns, Timestamp};
use crate::transport::{PathError, Route};

/// What a wait came to.
#[derive(Debug)]
pub(in crate::net) enum Waited {
    /// And when it came, or was read where the system does not report that.
    Arrival(Arrival, Timestamp),
    TimeUp(Timestamp),
    Cancelled,
    /// An error, and how many bytes in the buffer quote the datagram that met it.
    Failed(PathError, usize),
}

/// A datagram in the caller's buffer.
#[derive(Debug)]
pub(in crate::net) struct Arrival {
    pub(in crate::net) len: usize,
    /// Bytes on the wire.
    pub(in crate::net) actual: usize,
    /// `None` where it was not [asked for](Ask).
    pub(in crate::net) from: Option<Origin>,
    /// How long it lay in the queue; 0 where that was not asked for.
    pub(in crate::net) waited: Ns,
}

/// Where a datagram came from, and to.
#[derive(Debug)]
pub(in crate::net) struct Origin {
    pub(in crate::net) remote: SocketAddr,
    /// The own address that an answer has to leave from, if the system reports it.
    pub(in crate::net) local: Option<IpAddr>,
    pub(in crate::net) interface: Option<NonZeroU32>,
}

impl Origin {
    /// The route of the answer, from a socket that is bound to `own`.
    pub(in crate::net) fn route(&self, own: SocketAddr) -> Route {
        let Self { remote, local, interface } = *self;
        Route { remote, local: local.map_or(own, |local| own_address(own, local, interface)), interface }
    }
}

/// This address of the host, as a socket that is bound to `own` knows it.
fn own_address(own: SocketAddr, address: IpAddr, interface: Option<NonZeroU32>) -> SocketAddr {
    let port = own.port();
    match address {
        IpAddr::V4(address) if own.is_ipv6() => (address.to_ipv6_mapped(), port).into(),
        // Each interface may have the same one.
        IpAddr::V6(address) if address.is_unicast_link_local() => {
            SocketAddrV6::new(address, port, 0, interface.map_or(0, NonZeroU32::get)).into()
        }
        address => (address, port).into(),
    }
}

/// What the system is asked for beside a datagram.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::net) enum Ask {
    /// Nothing: the socket is connected.
    Nothing,
    /// The sender.
    Sender,
    /// Also what options of the socket have the system report: the own address that it came to, and when.
    Everything,
}
