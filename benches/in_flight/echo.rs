//! The server's end: a process that sends everything back in batches.
#![expect(clippy::disallowed_types, reason = "real sockets are measured")]

use std::array;
use std::io::{BufRead, BufReader, IoSlice, IoSliceMut, stdin};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};
use rustix::thread::{CpuSet, sched_setaffinity};

use udp_retry::net::UnconnectedUdp;
use udp_retry::transport::{Incoming, Transport};
use udp_retry::{LossySink, Seed};

use crate::socket::{BATCH, LONGEST, granted, is_readable, socket};

/// The server, a process of its own: a thread would share the table of open files with the client, and make each
/// of its calls dearer.
pub(crate) struct Echo {
    process: Child,
    pub(crate) address: SocketAddr,
    /// What its receive buffer holds, as the kernel charges it.
    pub(crate) held: usize,
}

impl Echo {
    pub(crate) fn start(buffer: usize) -> Self {
        Self::of(ROLE, buffer)
    }

    /// One behind a network that loses a tenth in each direction.
    pub(crate) fn lossy() -> Self {
        Self::of(LOSSY_ROLE, 0)
    }

    fn of(role: &str, buffer: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([role, &buffer.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (address, held) = line.trim().split_once(' ').unwrap();
        Self { process, address: address.parse().unwrap(), held: held.parse().unwrap() }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Says where it is and what it holds, then sends everything back until its parent has ended.
pub(crate) fn serve(buffer: usize) {
    let mut core = CpuSet::new();
    core.set(1);
    if sched_setaffinity(None, &core).is_err() {
        eprintln!("no core 1 for the echo: it shares that of the client");
    }
    let socket = socket(buffer);
    println!("{} {}", socket.local_addr().unwrap(), granted(&socket));
    let (mut receiving, mut sending) = (MultiHeaders::preallocate(BATCH, None), MultiHeaders::preallocate(BATCH, None));
    let mut datagrams = vec![[0; LONGEST]; BATCH];
    while let Some(arrived) = arrivals(&socket, &mut receiving, &mut datagrams) {
        let payloads: [_; BATCH] = array::from_fn(|at| [IoSlice::new(&datagrams[at][..arrived.lengths[at]])]);
        let (to, flags) = (&arrived.from, MsgFlags::empty());
        // What does not leave is missed and counted by the client.
        let _ = sendmmsg(socket.as_raw_fd(), &mut sending, &payloads[..arrived.count], to, [], flags).map(drop);
    }
}

/// As [`serve`], over a bad network.
pub(crate) fn serve_lossy() {
    let socket = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
    println!("{} 0", socket.local_addr());
    let mut server = LossySink::new(socket, "loss 10%".parse().unwrap(), Seed::new(7));
    let mut buffer = [0; LONGEST];
    while !is_readable(stdin(), Duration::ZERO) {
        let now = server.now();
        if let Incoming::Datagram(asked) = server.recv(&mut buffer, now, now.after(Duration::from_secs(1))) {
            let _ = server.send(asked.from, &buffer[..asked.len]);
        }
    }
}

/// The first so many of a batch.
struct Arrivals {
    count: usize,
    lengths: [usize; BATCH],
    from: [Option<SockaddrIn>; BATCH],
}

/// What has come, after a wait for the first of it; nothing if the parent ends meanwhile.
fn arrivals(
    socket: &UdpSocket,
    headers: &mut MultiHeaders<SockaddrIn>,
    datagrams: &mut [[u8; LONGEST]],
) -> Option<Arrivals> {
    let mut arrived = Arrivals { count: 0, lengths: [0; BATCH], from: [None; BATCH] };
    while arrived.count == 0 {
        let mut free = datagrams.iter_mut();
        let mut buffers: [_; BATCH] = array::from_fn(|_| [IoSliceMut::new(free.next().unwrap())]);
        match recvmmsg(socket.as_raw_fd(), headers, &mut buffers, MsgFlags::MSG_WAITFORONE, None) {
            Ok(datagrams) => {
                for (at, datagram) in datagrams.enumerate() {
                    (arrived.lengths[at], arrived.from[at]) = (datagram.bytes, datagram.address);
                    arrived.count = at + 1;
                }
            }
            // The parent writes nothing there, so that only its end makes it readable.
            Err(_) if is_readable(stdin(), Duration::ZERO) => return None,
            Err(_) => {}
        }
    }
    Some(arrived)
}

/// The argument that makes this program the echo; the size of its buffers comes after it.
pub(crate) const ROLE: &str = "--echo";
pub(crate) const LOSSY_ROLE: &str = "--lossy-echo";
