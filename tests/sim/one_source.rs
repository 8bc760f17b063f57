//! An event loop and a server of a test's own, each from one source, over the simulated network and over sockets.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use udp_retry::Seed;
use udp_retry::fault::Profile;
use udp_retry::net::UnconnectedUdp;
use udp_retry::sim::{SimNet, SimUnconnected};
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, Route, Transport};

use crate::watchdog::within;

#[test]
fn five_hundred_servers_are_asked_from_one_socket_through_loss_and_duplicates() {
    let run = |net: &SimNet| {
        let here = net.host("10.0.0.1".parse().unwrap()).unwrap();
        let servers: Vec<SocketAddr> =
            (0..SERVERS).map(|n| address([10, 1, (n / 250) as u8, (n % 250) as u8])).collect();
        for &server in &servers {
            let host = net.host(server.ip()).unwrap();
            net.path(here, host, Profile::both("loss 20%; duplicate 20% late 30ms; delay 5ms ~4ms".parse().unwrap()))
                .unwrap();
            let mut table = ReplyTable::default();
            net.run_in_turns(net.bind(host, server).unwrap(), move |end: &mut SimUnconnected| {
                table.answer_all(end);
                None
            });
        }
        let mut end = net.bind(here, address([0, 0, 0, 0])).unwrap();
        let local = end.local_addr();
        poll(&mut end, local, &servers)
    };
    let net = SimNet::new(Seed::new(5));
    let asked = run(&net);
    asked.assert_complete();
    assert!(asked.sent > 2_500, "only {} were sent", asked.sent);
    let again = SimNet::new(Seed::new(5));
    run(&again);
    assert_eq!(net.trace_hash(), again.trace_hash());
}

#[test]
fn five_hundred_servers_are_asked_from_one_socket_over_loopback() {
    within(Duration::from_secs(60), || {
        let mut ends: Vec<_> = (0..SERVERS).map(|_| UnconnectedUdp::bind("127.0.0.1:0").unwrap()).collect();
        let servers: Vec<SocketAddr> = ends.iter().map(UnconnectedUdp::local_addr).collect();
        let ended = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let mut tables: Vec<ReplyTable> = ends.iter().map(|_| ReplyTable::default()).collect();
                while !ended.load(Ordering::Relaxed) {
                    for (end, table) in ends.iter_mut().zip(&mut tables) {
                        table.answer_all(end);
                    }
                }
            });
            let mut end = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
            let local = end.local_addr();
            let asked = poll(&mut end, local, &servers);
            ended.store(true, Ordering::Relaxed);
            asked.assert_complete();
        });
    });
}

/// Who asks, and the id.
type Asking = (SocketAddr, Vec<u8>);

/// The server: executes each request once, and repeats its answer to any copy.
#[derive(Default)]
struct ReplyTable {
    /// The latest requests and their answers.
    answered: VecDeque<(Asking, Vec<u8>)>,
    executions: u32,
}

impl ReplyTable {
    /// Answers what is queued.
    fn answer_all(&mut self, end: &mut impl Transport<Peer = Route>) {
        let (mut buffer, now) = ([0; 64], end.now());
        while let Incoming::Datagram(asked) = end.recv(&mut buffer, now, now) {
            let reply = self.reply(asked.from.remote, &buffer[..asked.len]);
            let _ = end.send(asked.from, &reply);
        }
    }

    fn reply(&mut self, from: SocketAddr, request: &[u8]) -> Vec<u8> {
        let key = (from, request[..4].to_vec());
        if let Some((_, reply)) = self.answered.iter().find(|(known, _)| *known == key) {
            return reply.clone();
        }
        self.executions += 1;
        let reply = [&request[..4], &self.executions.to_be_bytes()].concat();
        self.answered.push_back((key, reply.clone()));
        if self.answered.len() > 16 {
            self.answered.pop_front();
        }
        reply
    }
}

/// What came of all requests.
#[derive(Default)]
struct Asked {
    sent: u64,
    /// By id: how many requests its server had executed when it answered.
    answers: BTreeMap<u32, u32>,
    given_up: u32,
}

impl Asked {
    fn assert_complete(&self) {
        assert_eq!((self.answers.len() as u32, self.given_up), (SERVERS * REQUESTS, 0));
        for (id, executions) in &self.answers {
            assert_eq!(*executions, id / SERVERS + 1, "id {id}: each was executed once, in its turn");
        }
    }
}

struct Open {
    to: Route,
    transmissions: u32,
    due: Timestamp,
}

/// The event loop: every server has some requests to answer, one after the other; many are open at once.
fn poll(end: &mut impl Transport<Peer = Route>, local: SocketAddr, servers: &[SocketAddr]) -> Asked {
    let mut waiting: VecDeque<u32> = (0..SERVERS).collect();
    let (mut open, mut asked) = (BTreeMap::<u32, Open>::new(), Asked::default());
    let mut buffer = [0; 64];
    loop {
        let now = end.now();
        let room = MOST_OPEN.saturating_sub(open.len()).min(waiting.len());
        for id in waiting.drain(..room) {
            let to = Route::new(servers[(id % SERVERS) as usize], local);
            open.insert(id, Open { to, transmissions: 0, due: now });
        }
        for (id, request) in open.iter_mut().filter(|(_, request)| request.due <= now) {
            let _ = end.send(request.to, &[&id.to_be_bytes()[..], b"how many?"].concat());
            asked.sent += 1;
            request.due = now.after(FIRST_WAIT * (1 << request.transmissions.min(3)));
            request.transmissions += 1;
        }
        let before = open.len();
        open.retain(|_, request| request.transmissions <= MOST_TRANSMISSIONS);
        asked.given_up += (before - open.len()) as u32;
        let Some(until) = open.values().map(|request| request.due).min() else { return asked };
        if let Incoming::Datagram(received) = end.recv(&mut buffer, now, until) {
            let id = u32::from_be_bytes(buffer[..4].try_into().unwrap());
            // Second answers, and those of other servers, are no one's.
            if open.get(&id).is_some_and(|request| request.to.remote == received.from.remote) {
                open.remove(&id);
                asked.answers.insert(id, u32::from_be_bytes(buffer[4..8].try_into().unwrap()));
                waiting.extend(Some(id + SERVERS).filter(|next| *next < SERVERS * REQUESTS));
            }
        }
    }
}

fn address(octets: [u8; 4]) -> SocketAddr {
    SocketAddr::from((octets, 1060))
}

const SERVERS: u32 = 500;
/// To each server.
const REQUESTS: u32 = 4;
const MOST_OPEN: usize = 200;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const MOST_TRANSMISSIONS: u32 = 20;
