use core::net::{IpAddr, SocketAddr};

/// Why a network cannot be set up as asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// Two hosts cannot have one address.
    #[error("there is a host with the address {0}")]
    AddressTaken(IpAddr),
    /// No host has this address.
    #[error("no host has the address {0}")]
    NoSuchHost(IpAddr),
    /// Addresses that a host cannot have: 0.0.0.0, `::`, broadcast and multicast.
    #[error("{0} is not the address of one host")]
    NotAHost(IpAddr),
    /// The host belongs to another network.
    #[error("the host belongs to another network")]
    OtherNetwork,
    /// A server needs a port of its own, which 0 is not.
    #[error("{0} has no port to listen on")]
    PortZero(SocketAddr),
    /// Something listens there already.
    #[error("{0} is in use")]
    InUse(SocketAddr),
    /// A host of one family cannot reach an address of the other.
    #[error("{0} is of another address family than the client")]
    OtherFamily(SocketAddr),
    /// All ports are taken.
    #[error("the host has no free port")]
    NoPort,
    /// A dose looks at 1 to 64 datagrams in a row.
    #[error("a dose looks at 1 to 64 datagrams in a row, not at {window}: the nearest is {nearest}")]
    DoseWindow {
        /// The datagrams asked for.
        window: u32,
        /// The nearest number of datagrams.
        nearest: u32,
    },
}
