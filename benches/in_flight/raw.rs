//! The ways to ask that know the system's calls only.
#![expect(clippy::disallowed_types, reason = "real sockets are measured")]

use std::array;
use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, sendmmsg};
use rustix::net::{RecvFlags, SendFlags, recv, recvfrom, send, sendto};

use crate::compare::Variant;
use crate::socket::{BATCH, LONGEST, PATIENCE, is_readable};

/// Batches, each in one call, and a wait within the call that receives.
pub(crate) struct Batches {
    socket: UdpSocket,
    next_id: u64,
    requests: Vec<[u8; LONGEST]>,
    replies: Vec<[u8; LONGEST]>,
    // Headers keep what a call has written into them, so that each direction has its own. The socket is connected, so
    // that neither needs space for addresses.
    sending: MultiHeaders<()>,
    receiving: MultiHeaders<()>,
}

impl Batches {
    pub(crate) fn new(socket: UdpSocket) -> Self {
        Self {
            socket,
            next_id: 0,
            requests: vec![[0; LONGEST]; BATCH],
            replies: vec![[0; LONGEST]; BATCH],
            sending: MultiHeaders::preallocate(BATCH, None),
            receiving: MultiHeaders::preallocate(BATCH, None),
        }
    }

    /// Says how many were sent, at most a batch.
    fn send(&mut self, count: usize, len: usize) -> usize {
        let count = count.min(BATCH);
        for request in &mut self.requests[..count] {
            write_id(request, &mut self.next_id);
        }
        let payloads: [_; BATCH] = array::from_fn(|at| [IoSlice::new(&self.requests[at][..len])]);
        let (to, flags) = ([None; BATCH], MsgFlags::empty());
        sendmmsg(self.socket.as_raw_fd(), &mut self.sending, &payloads[..count], to, [], flags).unwrap().count()
    }

    /// Says how many came of so many in flight, or nothing after a silence.
    fn receive(&mut self, in_flight: usize) -> Option<usize> {
        let mut replies = self.replies.iter_mut();
        let mut buffers: [_; BATCH] = array::from_fn(|_| [IoSliceMut::new(replies.next().unwrap())]);
        // Whoever asks for more than can come makes the kernel look in vain at the end.
        let (buffers, flags) = (&mut buffers[..in_flight.min(BATCH)], MsgFlags::MSG_WAITFORONE);
        match recvmmsg(self.socket.as_raw_fd(), &mut self.receiving, buffers, flags, None) {
            Ok(replies) => Some(replies.count()),
            Err(Errno::EAGAIN) => None,
            Err(error) => panic!("{error}"),
        }
    }
}

impl Variant for Batches {
    fn run(&mut self, requests: usize, window: usize, len: usize) -> u64 {
        drain(&self.socket);
        let mut progress = Progress::new(requests, window);
        while !progress.is_over() {
            while progress.space() > 0 {
                progress.sent += self.send(progress.space(), len);
            }
            match self.receive(progress.in_flight()) {
                Some(replies) => progress.answered += replies,
                None => progress.give_up(),
            }
        }
        progress.answered as u64
    }
}

/// A call for each datagram, one sent for each received, and a wait in a call of its own.
pub(crate) struct Singles {
    socket: UdpSocket,
    next_id: u64,
}

impl Singles {
    pub(crate) fn new(socket: UdpSocket) -> Self {
        Self { socket, next_id: 0 }
    }
}

impl Variant for Singles {
    fn run(&mut self, requests: usize, window: usize, len: usize) -> u64 {
        let Self { socket, next_id } = self;
        one_by_one(
            socket,
            next_id,
            Progress::new(requests, window),
            len,
            |request| send(&*socket, request, SendFlags::DONTWAIT),
            |buffer| recv(&*socket, buffer, RecvFlags::DONTWAIT).map(|(len, _)| len),
        )
    }
}

/// The same without `connect`: each datagram with its address.
pub(crate) struct Unconnected {
    socket: UdpSocket,
    server: SocketAddr,
    next_id: u64,
}

impl Unconnected {
    pub(crate) fn new(socket: UdpSocket, server: SocketAddr) -> Self {
        Self { socket, server, next_id: 0 }
    }
}

impl Variant for Unconnected {
    fn run(&mut self, requests: usize, window: usize, len: usize) -> u64 {
        let Self { socket, server, next_id } = self;
        one_by_one(
            socket,
            next_id,
            Progress::new(requests, window),
            len,
            |request| sendto(&*socket, request, SendFlags::DONTWAIT, server),
            |buffer| recvfrom(&*socket, buffer, RecvFlags::DONTWAIT).map(|(len, _, _)| len),
        )
    }
}

fn one_by_one(
    socket: &UdpSocket,
    next_id: &mut u64,
    mut progress: Progress,
    len: usize,
    send: impl Fn(&[u8]) -> rustix::io::Result<usize>,
    receive: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
) -> u64 {
    drain(socket);
    let (mut request, mut reply) = ([0; LONGEST], [0; LONGEST]);
    while !progress.is_over() {
        while progress.space() > 0 {
            write_id(&mut request, next_id);
            send(&request[..len]).unwrap();
            progress.sent += 1;
        }
        match receive(&mut reply) {
            Ok(_) => progress.answered += 1,
            Err(rustix::io::Errno::AGAIN) if is_readable(socket, PATIENCE) => {}
            Err(rustix::io::Errno::AGAIN) => progress.give_up(),
            Err(error) => panic!("{error}"),
        }
    }
    progress.answered as u64
}

fn write_id(request: &mut [u8; LONGEST], next: &mut u64) {
    request[..8].copy_from_slice(&next.to_be_bytes());
    *next += 1;
}

/// Takes what came too late for an earlier run.
fn drain(socket: &UdpSocket) {
    while recv(socket, &mut [0; LONGEST], RecvFlags::DONTWAIT).is_ok() {}
}

/// How far a run is.
struct Progress {
    requests: usize,
    window: usize,
    sent: usize,
    answered: usize,
    lost: usize,
}

impl Progress {
    fn new(requests: usize, window: usize) -> Self {
        Self { requests, window, sent: 0, answered: 0, lost: 0 }
    }

    /// A late reply to what was given up counts as both, so that the two may exceed what was sent.
    fn in_flight(&self) -> usize {
        self.sent.saturating_sub(self.answered + self.lost)
    }

    /// How many may be sent now.
    fn space(&self) -> usize {
        (self.window - self.in_flight().min(self.window)).min(self.requests - self.sent)
    }

    fn is_over(&self) -> bool {
        self.sent == self.requests && self.in_flight() == 0
    }

    fn give_up(&mut self) {
        self.lost += self.in_flight();
    }
}
