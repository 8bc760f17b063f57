use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU32;

use crate::time::{Ns, Timestamp};
use crate::transport::PathError;

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
