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
    /// The host has another address, not this one.
    #[error("the host does not have the address {0}")]
    NotOnHost(IpAddr),
    /// Addresses that a host cannot have: 0.0.0.0, `::`, broadcast and multicast.
    #[error("{0} is not the address of one host")]
    NotAHost(IpAddr),
    /// The host belongs to another network.
    #[error("the host belongs to another network")]
    OtherNetwork,
    /// A server needs a port of its own, which 0 is not.
    #[error("{0} has no port to listen on")]
    PortZero(SocketAddr),
    /// Not an address of a group (multicast).
    #[error("{0} is not a group to join")]
    NotAGroup(IpAddr),
    /// Something listens there already.
    #[error("{0} is in use")]
    InUse(SocketAddr),
    /// A host of one family cannot reach an address of the other.
    #[error("{0} is of another address family than the client")]
    OtherFamily(SocketAddr),
    /// There must be one server at least to connect to.
    #[error("there is no server to connect to")]
    NoServer,
    /// All tasks of [`SimNet::block_on`](super::SimNet::block_on) wait, and nothing will ever happen: in the network, because it
    /// is stopped or nothing is under way, or because a sleep ends.
    #[error("all tasks wait for what never comes")]
    Stuck,
    /// Tasks of [`SimNet::block_on`](super::SimNet::block_on) were polled 10,000,000 times while no time passed.
    #[error("tasks wake each other without end while no time passes")]
    Restless,
    /// All ports are taken.
    #[error("the host has no free port")]
    NoPort,
}
