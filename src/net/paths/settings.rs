use std::io;

use crate::net::{Applied, ConnectedUdp};
use crate::transport::Fragmentation;

/// What was asked for, of the sockets that are there and of those to come.
#[derive(Default, Debug)]
pub(super) struct Settings {
    pub(super) receive_buffer: Option<usize>,
    pub(super) hops: Option<u8>,
    pub(super) fragmentation: Option<Fragmentation>,
    pub(super) arrival_times: bool,
}

impl Settings {
    /// A socket that was just made, with all that was asked for.
    pub(super) fn of_new(&self, socket: ConnectedUdp) -> io::Result<ConnectedUdp> {
        let socket = if self.arrival_times { socket.with_arrival_times() } else { socket };
        self.receive_buffer.map(|bytes| socket.set_receive_buffer(bytes)).transpose()?;
        self.hops.map(|most| socket.set_hops(most)).transpose()?;
        self.fragmentation.map(|mode| socket.set_fragmentation(mode)).transpose()?;
        Ok(socket)
    }
}

/// How far a mode took hold of two sockets.
pub(super) fn of_both(one: Applied, other: Applied) -> Applied {
    if one == other { one } else { Applied::Partial }
}
