//! When a datagram arrived, which may be long before it is read.

use core::time::Duration;
use std::io::{self, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, RecvMsg, SockaddrStorage, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use rustix::io::Errno;
use rustix::net::RecvFlags;

use super::own_address::{Control, address_of, named, number};
use crate::net::endpoint::{Arrival, Origin};
use crate::time::{Ns, saturating_ns};

/// Has the system note when each datagram arrives.
pub(in crate::net) fn report_arrival_time(socket: &UdpSocket) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::ReceiveTimestampns, &true)?)
}

/// Takes a datagram, and finds out how long it has been there. Allocates nothing.
pub(super) fn receive(socket: &UdpSocket, buffer: &mut [u8], flags: RecvFlags) -> Result<Arrival, Errno> {
    let flags = MsgFlags::from_bits_truncate(number(flags.bits()));
    let (len, mut control) = (buffer.len(), Control::new());
    let mut payload = [IoSliceMut::new(buffer)];
    let message: RecvMsg<'_, '_, SockaddrStorage> =
        recvmsg(socket.as_raw_fd(), &mut payload, Some(&mut control.0), flags).map_err(named)?;
    let arrived = message.cmsgs().ok().and_then(|mut messages| {
        messages.find_map(|message| match message {
            ControlMessageOwned::ScmTimestampns(at) => Some(at),
            _ => None,
        })
    });
    let remote = message.address.and_then(|address| address_of(&address));
    let from = remote.map(|remote| Origin { remote, local: None, interface: None });
    Ok(Arrival { len: message.bytes.min(len), actual: message.bytes, from, waited: arrived.map_or(0, ago) })
}

/// How long ago a moment of the wall clock was, in which the system notes arrivals.
fn ago(at: TimeSpec) -> Ns {
    let since_epoch = |time: TimeSpec| Duration::from(time);
    clock_gettime(ClockId::CLOCK_REALTIME)
        .map_or(0, |now| saturating_ns(since_epoch(now).saturating_sub(since_epoch(at))))
}
