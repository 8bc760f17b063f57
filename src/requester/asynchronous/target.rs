use core::net::SocketAddr;

use crate::transaction::GroupId;
use crate::transport::{PathIndex, PeerAddress, Route};

/// Whom a request of an [`AsyncRequester`](super::AsyncRequester) goes to. Addresses and groups become one by themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing else to ask")]
pub enum Target<P> {
    /// This peer.
    Peer(P),
    /// One of these servers, and others if no reply comes.
    Group(GroupId),
}

impl<P: PeerAddress> From<GroupId> for Target<P> {
    fn from(group: GroupId) -> Self {
        Self::Group(group)
    }
}

impl From<PathIndex> for Target<PathIndex> {
    fn from(path: PathIndex) -> Self {
        Self::Peer(path)
    }
}

impl From<Route> for Target<Route> {
    fn from(route: Route) -> Self {
        Self::Peer(route)
    }
}

impl From<SocketAddr> for Target<Route> {
    fn from(server: SocketAddr) -> Self {
        Self::Peer(server.into())
    }
}
