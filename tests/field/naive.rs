//! The loop that everybody writes (send, wait, double the wait), and two hosts of a simulated network to run it
//! between.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::sim::{Happened, HostId, SimNet, SimTransport};
use udp_retry::time::Timestamp;
use udp_retry::transport::{PathIndex, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, any_reply, transaction_id};

use crate::waits::Waits;

/// The book's client: whatever comes is the reply, and any error is the end.
pub(crate) struct Naive {
    pub(crate) transport: SimTransport,
    pub(crate) buffer: [u8; 100],
}

impl Naive {
    pub(crate) fn over(transport: SimTransport) -> Self {
        Self { transport, buffer: [0; 100] }
    }

    pub(crate) fn request(&mut self, request: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut delay = Duration::from_millis(100);
        loop {
            self.transport.send(PathIndex::FIRST, request).map_err(|_| "crashed")?;
            let until = self.transport.now().after(delay);
            match self.transport.wait(&mut self.buffer, until).map_err(|_| "crashed")? {
                Some(heard) => return Ok(self.buffer[..heard.len].to_vec()),
                None => delay *= 2,
            }
            if delay > Duration::from_secs(2) {
                return Err("the server is down");
            }
        }
    }
}

/// A client's host and a server's.
pub(crate) struct Pair {
    pub(crate) net: SimNet,
    pub(crate) client: HostId,
    pub(crate) server: HostId,
}

impl std::ops::Deref for Pair {
    type Target = SimNet;

    fn deref(&self) -> &SimNet {
        &self.net
    }
}

/// The naive client, and ours with an id and without, each in a world of its own.
pub(crate) fn worlds(
    set_up: impl Fn(&Pair),
) -> (Naive, ReliableRequester<SimTransport>, ReliableRequester<SimTransport>) {
    let by_port =
        ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN).over(connect(&world(&set_up))).unwrap();
    (Naive::over(connect(&world(&set_up))), requester(&world(&set_up)), by_port)
}

pub(crate) fn requester(pair: &Pair) -> ReliableRequester<SimTransport> {
    ReliableRequester::builder(transaction_id(0..1))
        .policy(RetryPolicy::LAN)
        .seed(Seed::new(1))
        .over(connect(pair))
        .unwrap()
}

pub(crate) fn world(set_up: impl Fn(&Pair)) -> Pair {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = (net.host(CLIENT).unwrap(), net.host(SERVER.ip()).unwrap());
    let pair = Pair { net, client, server };
    set_up(&pair);
    pair
}

pub(crate) fn path(pair: &Pair, to_server: &str, to_client: &str) {
    let profile = Profile { to_server: to_server.parse().unwrap(), to_client: to_client.parse().unwrap() };
    pair.net.path(pair.client, pair.server, profile).unwrap();
}

pub(crate) fn connect(pair: &Pair) -> SimTransport {
    pair.net.connect(pair.client, SERVER).unwrap()
}

/// When the server was sent anything, if the network was recording.
pub(crate) fn sent_to_server(net: &SimNet) -> Vec<Timestamp> {
    let events = net.events();
    let sent = events.iter().filter(|event| event.to == SERVER && matches!(event.what, Happened::Sent { .. }));
    sent.map(|event| event.at).collect()
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp::ZERO.after(ms(millis))
}

pub(crate) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
pub(crate) const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 1060);
