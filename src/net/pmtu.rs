use std::io;
use std::net::{SocketAddr, UdpSocket};

use super::sys;
use crate::size::{IpFamily, Plpmtu, Pmtu};
use crate::transport::Fragmentation;

/// How far a fragmentation mode took hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a caller that probes must know which it is")]
pub enum Applied {
    /// For every datagram of the socket.
    Enforced,
    /// For one IP family of a dual-stack socket only.
    Partial,
    /// Not at all: the platform has no such option, or does not act on it.
    Unsupported,
}

/// Chooses whether the datagrams of a socket may be fragmented, and reads back what came of it. On a dual-stack
/// socket both families are set, because IPv4-mapped peers obey the IPv4 option.
///
/// # Errors
///
/// What the system says, other than that it knows no such option: that is [`Applied::Unsupported`].
pub fn set_fragmentation(socket: &UdpSocket, mode: Fragmentation) -> io::Result<Applied> {
    let v4 = sys::set_fragmentation(socket, IpFamily::V4, mode)?;
    if socket.local_addr()?.is_ipv4() {
        return Ok(if v4 { Applied::Enforced } else { Applied::Unsupported });
    }
    let v6 = sys::set_fragmentation(socket, IpFamily::V6, mode)?;
    Ok(match (v4, v6) {
        (true, true) => Applied::Enforced,
        (false, false) => Applied::Unsupported,
        (false, true) | (true, false) => Applied::Partial,
    })
}

/// The mode that holds for datagrams of this socket to its peer, or of its own family if it is not connected.
///
/// # Errors
///
/// [`io::ErrorKind::Unsupported`] where the platform does not tell or has a mode that has no name here.
pub fn fragmentation(socket: &UdpSocket) -> io::Result<Fragmentation> {
    sys::fragmentation(socket, family(socket)?)
}

/// The kernel's estimate of the path MTU to the peer of a connected socket, in IP packet bytes.
///
/// **Before traffic has flowed this is the MTU of the first hop**, not of the path: it only falls when a datagram
/// was too big for a link further on and the router's report came back, and where those reports are filtered it
/// never does. On IPv6 an idle socket may keep reading a value that has expired. Treat it as a hint.
///
/// # Errors
///
/// [`io::ErrorKind::NotConnected`] without a peer, [`io::ErrorKind::Unsupported`] where the platform does not tell.
pub fn kernel_pmtu(socket: &UdpSocket) -> io::Result<Pmtu> {
    sys::kernel_pmtu(socket, family(socket)?).map(Pmtu::new)
}

/// What a send that was refused as too long could have carried.
pub(super) fn sendable(socket: &UdpSocket) -> Option<Plpmtu> {
    match fragmentation(socket) {
        Ok(Fragmentation::Forbidden | Fragmentation::Probing) => deliverable(socket),
        _ => family(socket).ok().map(IpFamily::max_plpmtu),
    }
}

/// What a send takes at most. Where the kernel's estimate is ignored, only the interface is the limit, and nothing says
/// that.
pub(super) fn accepted(socket: &UdpSocket) -> Option<Plpmtu> {
    match fragmentation(socket) {
        Ok(Fragmentation::Forbidden) => deliverable(socket),
        _ => family(socket).ok().map(IpFamily::max_plpmtu),
    }
}

/// What a send to this address that was refused as too long could have carried: the path is unknown where the socket has
/// no peer.
pub(super) fn sendable_to(socket: &UdpSocket, to: SocketAddr) -> Option<Plpmtu> {
    let family = IpFamily::of(to.ip());
    match sys::fragmentation(socket, family) {
        Ok(Fragmentation::Forbidden | Fragmentation::Probing) => None,
        _ => Some(family.max_plpmtu()),
    }
}

/// What fits into one packet, as far as the kernel knows.
pub(super) fn deliverable(socket: &UdpSocket) -> Option<Plpmtu> {
    Some(kernel_pmtu(socket).ok()?.plpmtu(family(socket).ok()?))
}

/// The family of the packets on the wire: an IPv4-mapped peer is reached by IPv4.
fn family(socket: &UdpSocket) -> io::Result<IpFamily> {
    let address = socket.peer_addr().or_else(|_| socket.local_addr())?;
    Ok(IpFamily::of(address.ip()))
}
