//! Answers from the address that was asked, for an event loop with sockets of its own.

use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::SockRef;

use super::own_address::transmit_from;
use super::reported::{receive, report_own_address};
use crate::net::calls::uninterrupted;
use crate::transport::Route;

/// Has the system report which of the own addresses each datagram came to; `false` where it cannot.
pub(crate) fn ask_own_address(socket: &SockRef<'_>, local: SocketAddr) -> io::Result<bool> {
    report_own_address(&**socket, local).map(|()| true)
}

/// Takes a datagram that is there, without a wait: its length, and the route of its answer. Two routes of one client differ
/// in the own address alone.
pub(crate) fn receive_asked(socket: &SockRef<'_>, buffer: &mut [u8], own: SocketAddr) -> io::Result<(usize, Route)> {
    let arrival = receive(&**socket, buffer, RecvFlags::DONTWAIT)?;
    // A datagram of no sender is none of UDP.
    let origin = arrival.from.ok_or(Errno::AGAIN)?;
    Ok((arrival.len, Route { interface: None, ..origin.route(own) }))
}

/// Sends along a route, without a wait.
pub(crate) fn answer_from(socket: &SockRef<'_>, route: Route, datagram: &[u8]) -> io::Result<usize> {
    uninterrupted(|| transmit_from(&**socket, route.local, route.remote, datagram)).map(|()| datagram.len())
}
