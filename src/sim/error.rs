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
    /// Something listens there already.
    #[error("{0} is in use")]
    InUse(SocketAddr),
    /// A host of one family cannot reach an address of the other.
    #[error("{0} is of another address family than the client")]
    OtherFamily(SocketAddr),
    /// All ports are taken.
    #[error("the host has no free port")]
    NoPort,
}
