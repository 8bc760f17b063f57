use crate::net::{ConnectedUdp, UdpPaths};
use crate::size::IpFamily;
use crate::transport::{Fragmentation, PathIndex, Transport};

/// A client's end that says how its datagrams are sent, so that only those are taken for proof that were not fragmented.
pub trait ProbeTransport: Transport<Peer = PathIndex> {
    /// Whether datagrams on this path may be fragmented; `None` where the system does not say, or there is no such path.
    fn fragmentation(&self, path: PathIndex) -> Option<Fragmentation>;

    /// The family of the packets on this path; `None` if there is no such path.
    fn family(&self, path: PathIndex) -> Option<IpFamily>;
}

impl ProbeTransport for ConnectedUdp {
    fn fragmentation(&self, _path: PathIndex) -> Option<Fragmentation> {
        self.fragmentation().ok()
    }

    fn family(&self, _path: PathIndex) -> Option<IpFamily> {
        Some(IpFamily::of(self.peer_addr().ip()))
    }
}

/// A path without a socket is none: a socket opens where something is sent.
impl ProbeTransport for UdpPaths {
    fn fragmentation(&self, path: PathIndex) -> Option<Fragmentation> {
        self.socket(path)?.fragmentation().ok()
    }

    fn family(&self, path: PathIndex) -> Option<IpFamily> {
        self.socket(path).map(|socket| IpFamily::of(socket.peer_addr().ip()))
    }
}

#[cfg(feature = "fault")]
impl<T: ProbeTransport> ProbeTransport for crate::fault::LossySink<T> {
    fn fragmentation(&self, path: PathIndex) -> Option<Fragmentation> {
        self.get_ref().fragmentation(path)
    }

    fn family(&self, path: PathIndex) -> Option<IpFamily> {
        self.get_ref().family(path)
    }
}

#[cfg(feature = "sim")]
impl ProbeTransport for crate::sim::SimTransport {
    fn fragmentation(&self, path: PathIndex) -> Option<Fragmentation> {
        self.fragmentation_of(path)
    }

    fn family(&self, path: PathIndex) -> Option<IpFamily> {
        self.peer_addr_of(path).map(|peer| IpFamily::of(peer.ip()))
    }
}
