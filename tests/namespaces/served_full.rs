//! A server whose send buffer is full, as its link is slower than its replies are many: what cannot leave is counted, kept, and
//! answers the next copy. In a network namespace.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a plain client, in a thread of its own")]

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use socket2::SockRef;
use udp_retry::net::{CancelHandle, UnconnectedUdp};
use udp_retry::replies::{ReplyLimits, Responder, SameId, same_id};
use udp_retry::serving::{Ended, Handled, SharedResponder};

use crate::again::this_test;
use crate::inside::{Inside, run};
use crate::processor::{spends, spent};
use crate::watchdog::{MINUTE, within};

const REQUESTS: u32 = 100;
const REPLY: usize = 1000;
/// What a server that waits by its socket's readiness alone may take of the processor; one that spins takes seconds.
const IDLE: Duration = Duration::from_millis(150);

#[test]
fn a_reply_that_the_buffer_has_no_space_for_is_counted_and_answers_the_next_copy() {
    within(MINUTE, || {
        if Inside::of(this_test!(), "direct").is_none() {
            return;
        }
        narrow_loopback();
        spends(..IDLE, "a server with a full buffer", || {
            let (mut socket, responder, stop) = narrow_server();
            let client = Client::of(&socket, responder.clone(), stop);
            let asks = thread::spawn(move || client.run());
            let mut executed = 0;
            let (ended, cpu) = spent(|| {
                responder.serve(&mut socket, |request, reply| {
                    executed += 1;
                    reply.extend_from_slice(&reply_to(request.bytes()));
                    Handled::Reply
                })
            });
            asks.join().unwrap();
            assert_eq!((ended, executed), (Ended::Cancelled, REQUESTS));
            ((), cpu)
        });
    });
}

#[cfg(feature = "tokio")]
#[test]
fn one_under_tokio_counts_it_and_answers_the_next_copy_too() {
    use udp_retry::serving::AsyncRequest;

    within(MINUTE, || {
        if Inside::of(this_test!(), "direct").is_none() {
            return;
        }
        narrow_loopback();
        spends(..IDLE, "a server with a full buffer under tokio", || {
            let (socket, responder, stop) = narrow_server();
            let client = Client::of(&socket, responder.clone(), stop);
            let asks = thread::spawn(move || client.run());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let most = (REQUESTS as usize).try_into().unwrap();
            let handler = async |request: AsyncRequest| {
                let reply = reply_to(request.bytes());
                request.reply(reply)
            };
            let (ended, cpu) = spent(|| runtime.block_on(responder.serve_async(socket, most, handler)));
            ended.unwrap();
            asks.join().unwrap();
            ((), cpu)
        });
    });
}

/// Datagrams lie in the queue of the link, and so in the buffer of their socket, until it carries them. It drops none.
fn narrow_loopback() {
    run("tc qdisc add dev lo root tbf rate 4mbit burst 4kb limit 10mb");
}

/// With a send buffer for a few of its replies.
fn narrow_server() -> (UnconnectedUdp, SharedResponder<SameId>, CancelHandle) {
    let mut socket = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
    SockRef::from(socket.as_socket()).set_send_buffer_size(1).unwrap();
    let stop = socket.cancel_handle().unwrap();
    let responder = Responder::over(&mut socket, ReplyLimits::default(), same_id(0..4)).unwrap();
    (socket, responder.into(), stop)
}

fn reply_to(request: &[u8]) -> Vec<u8> {
    request.iter().copied().cycle().take(REPLY).collect()
}

struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    responder: SharedResponder<SameId>,
    stop: CancelHandle,
}

impl Client {
    fn of(server: &UnconnectedUdp, responder: SharedResponder<SameId>, stop: CancelHandle) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        Self { socket, server: server.local_addr(), responder, stop }
    }

    /// Asks for all at once, then again for what was not answered, one by one.
    fn run(self) {
        (0..REQUESTS).for_each(|n| self.ask(n));
        let mut answered = BTreeSet::new();
        self.receive(Duration::from_millis(500), &mut answered);
        let (stats, unsent) = (self.responder.stats().replies, self.responder.unsent());
        println!("{} of {REQUESTS} replies left at once, {unsent} did not", answered.len());
        assert_eq!((stats.fresh, stats.kept), (REQUESTS.into(), REQUESTS.into()));
        assert!(unsent > 0 && !answered.is_empty(), "{unsent} replies did not leave");
        assert_eq!(answered.len() as u64 + unsent, u64::from(REQUESTS), "none is lost without a count");
        for n in 0..REQUESTS {
            if !answered.contains(&n) {
                self.ask(n);
                self.receive_one(&mut answered).expect("there is space for one");
            }
        }
        assert_eq!(answered.len(), REQUESTS as usize);
        let replies = self.responder.stats().replies;
        assert_eq!((replies.fresh, replies.replayed, self.responder.unsent()), (REQUESTS.into(), unsent, unsent));
        self.stop.cancel();
    }

    fn ask(&self, n: u32) {
        self.socket.send_to(&n.to_be_bytes(), self.server).unwrap();
    }

    /// Until nothing has come for this long.
    fn receive(&self, quiet: Duration, answered: &mut BTreeSet<u32>) {
        self.socket.set_read_timeout(Some(quiet)).unwrap();
        while self.receive_one(answered).is_some() {}
        self.socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    }

    fn receive_one(&self, answered: &mut BTreeSet<u32>) -> Option<()> {
        let mut buffer = [0; 2 * REPLY];
        let len = self.socket.recv(&mut buffer).ok()?;
        let request = *buffer.first_chunk::<4>().unwrap();
        assert_eq!(buffer[..len], reply_to(&request));
        assert!(answered.insert(u32::from_be_bytes(request)), "a reply that no one asked for again");
        Some(())
    }
}
