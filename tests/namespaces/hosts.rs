//! Hosts of a test's own, in one process: a thread that enters a network namespace gives it to the sockets, threads and
//! processes that it makes, and the namespace ends with the last of them. That takes Linux, iproute2, and root or a kernel
//! that lets anybody make namespaces; elsewhere the test is skipped and says so, and with `UDP_RETRY_REQUIRE_ALL` set
//! that is a failure.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets on threads are the point")]

use std::env;
use std::fs::{self, File};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::panic::resume_unwind;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};

use crate::again::{again, part};
use crate::inside::run;

/// Whether this process may have networks of its own; else the test was run again by someone who may, or was skipped.
pub(crate) fn may_have_networks(test: &str) -> bool {
    let Err(error) = thread::spawn(|| unshare(CloneFlags::CLONE_NEWNET)).join().unwrap() else { return true };
    let as_root = (part().as_deref() != Some(ROOT)).then(|| again(test, ROOT, &["unshare", "-r"]).output());
    match as_root {
        Some(Ok(output)) if output.status.success() => print!("{}", String::from_utf8_lossy(&output.stdout)),
        _ if env::var_os("UDP_RETRY_REQUIRE_ALL").is_none() => println!("SKIPPED {test}: no namespace, {error}"),
        other => panic!("{test}: no namespace, {error}: {other:?}"),
    }
    false
}

/// Gives this thread a network of its own, with loopback.
pub(crate) fn own_network() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    run("ip link set lo up");
}

const ROOT: &str = "root of a namespace";

/// Another host.
pub(crate) struct Host {
    network: File,
}

impl Host {
    pub(crate) fn new() -> Self {
        let apart = thread::spawn(|| {
            own_network();
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        Self { network: apart.join().unwrap() }
    }

    /// Does something there.
    pub(crate) fn there<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let there = scope.spawn(|| {
                setns(&self.network, CloneFlags::CLONE_NEWNET).unwrap();
                act()
            });
            there.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    #[track_caller]
    pub(crate) fn run(&self, command: &str) {
        self.there(|| run(command));
    }

    /// A cable from `here`, a device of this thread's network, to a device there; both are up, and have no address.
    pub(crate) fn cable(&self, here: &str, there: &str) {
        let namespace = format!("/proc/{}/fd/{}", process::id(), self.network.as_raw_fd());
        run(&format!("ip link add {here} type veth peer name {there} netns {namespace}"));
        switch_on(here);
        self.there(|| switch_on(there));
    }

    /// A server there that repeats what it receives, unless that says "silent".
    pub(crate) fn echo(&self, address: &str) -> Server {
        Server::new(self.there(|| UdpSocket::bind(address).unwrap()), echo)
    }
}

fn switch_on(device: &str) {
    run(&format!("ip link set {device} addrgenmode none up"));
    for family in ["ipv4", "ipv6"] {
        // A neighbour that is not ready yet is asked again soon.
        fs::write(format!("/proc/sys/net/{family}/neigh/{device}/retrans_time_ms"), "50").unwrap();
    }
}

/// Whether this process runs a test alone, so that no process which another test starts holds a port of it for a moment;
/// else it was run so.
pub(crate) fn alone(test: &str) -> bool {
    if part().is_some() {
        return true;
    }
    let output = again(test, "alone", &[]).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{test} alone: {said}");
    println!("{said}");
    false
}

/// An address of a device, ready at once.
#[track_caller]
pub(crate) fn address(address: &str, device: &str) -> String {
    let at_once = if address.contains(':') { "nodad" } else { "" };
    format!("ip addr replace {address} dev {device} {at_once}")
}

/// A server on a thread of its own, which notes what it receives and from where.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Notes>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Datagrams, and where they came from.
type Notes = Vec<(SocketAddr, Vec<u8>)>;

impl Server {
    /// `replies` are what is sent back to each datagram.
    pub(crate) fn new(socket: UdpSocket, mut replies: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        Self::answering(socket, move |socket, from, datagram| {
            for reply in replies(datagram) {
                // Where the way back is gone, that is part of the test.
                let _ = socket.send_to(&reply, from);
            }
        })
    }

    /// As `new`, for a server that sends by itself.
    pub(crate) fn answering(
        socket: UdpSocket,
        mut answer: impl FnMut(&UdpSocket, SocketAddr, &[u8]) + Send + 'static,
    ) -> Self {
        let address = socket.local_addr().unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (received, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (notes, over) = (Arc::clone(&received), Arc::clone(&ended));
        let thread = thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !over.load(Ordering::Relaxed) {
                if let Ok((len, from)) = socket.recv_from(&mut buffer) {
                    notes.lock().unwrap().push((from, buffer[..len].to_vec()));
                    answer(&socket, from, &buffer[..len]);
                }
            }
        });
        Self { address, received, ended, thread: Some(thread) }
    }

    /// What it has received since it was asked last.
    pub(crate) fn received(&self) -> Notes {
        std::mem::take(&mut self.received.lock().unwrap())
    }

    /// The ports that it came from.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.received().iter().map(|(from, _)| from.port()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// Repeats a datagram, unless that says "silent".
pub(crate) fn echo(datagram: &[u8]) -> Vec<Vec<u8>> {
    if datagram.ends_with(b"silent") { vec![] } else { vec![datagram.to_vec()] }
}
