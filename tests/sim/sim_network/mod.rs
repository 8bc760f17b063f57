//! The simulated network is one: what arrives, when, where and in what order, what a kernel would say of it, and that
//! all of it can be repeated.

mod addresses;
mod endpoints;
mod ends;
mod frees;
mod kernel;
mod moves;
mod over_time;
mod paths;
mod promised;
mod provisional;
mod repeats;
mod reports;
mod segments;
mod several_paths;
mod turns;
mod unconnected;
mod unsent;

use std::net::SocketAddr;
use std::time::Duration;

use udp_retry::policy::{Backoff, Jitter};
use udp_retry::sim::{Endpoint, NetStats, Outbox, SimNet, SimTransport};
use udp_retry::time::Timestamp;
use udp_retry::{RetryPolicy, Seed};

use crate::waits::Waits;

/// Does something at equal distances.
struct Every<F> {
    period: Duration,
    next: Timestamp,
    shoot: F,
}

impl<F: FnMut(&mut Outbox)> Endpoint for Every<F> {
    fn on_datagram(&mut self, _: Timestamp, _: SocketAddr, _: &[u8], _: &mut Outbox) {}

    fn on_wake(&mut self, now: Timestamp, out: &mut Outbox) {
        assert_eq!(now, self.next);
        self.next = now.after(self.period);
        (self.shoot)(out);
    }

    fn wake_at(&self) -> Option<Timestamp> {
        Some(self.next)
    }
}

/// A client's host, and one for a server.
fn two(net: &SimNet) -> (udp_retry::sim::HostId, udp_retry::sim::HostId) {
    (net.host(ip("10.0.0.1")).unwrap(), net.host(SERVER.ip()).unwrap())
}

fn hear(transport: &mut SimTransport, until: Timestamp) -> Option<(Vec<u8>, Timestamp)> {
    let mut buffer = [0; 2000];
    let heard = transport.wait(&mut buffer, until).unwrap()?;
    Some((buffer[..heard.len].to_vec(), heard.at))
}

#[track_caller]
fn balanced(net: &SimNet) {
    let NetStats {
        sent, partitioned, dropped, delivered, duplicates, arrived, lost_on_arrival, in_flight, unsent, ..
    } = net.stats();
    assert_eq!(sent + duplicates, partitioned + dropped + delivered, "{net:?}");
    net.run_to_the_end(net.now().after(Duration::from_secs(60)));
    let NetStats { arrived: later, lost_on_arrival: lost, .. } = net.stats();
    assert!(later + lost >= arrived + lost_on_arrival && in_flight < 10_000 && unsent == 0, "{net:?}");
}

/// As the book's, each wait up to half as long again.
fn jittered() -> RetryPolicy {
    let backoff = Backoff::exponential(Duration::from_millis(100), Duration::from_secs(3)).unwrap();
    let backoff = backoff.with_jitter(Jitter::between(1.0, 1.5).unwrap()).unwrap();
    RetryPolicy::new(backoff).with_max_transmissions(5).unwrap()
}

fn spec(text: &str) -> udp_retry::Impairments {
    text.parse().unwrap()
}

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

fn ip(address: &str) -> std::net::IpAddr {
    address.parse().unwrap()
}

fn ms(millis: u64) -> Timestamp {
    Timestamp::ZERO.after(Duration::from_millis(millis))
}

const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), 1060);

fn recording(seed: Seed) -> SimNet {
    let net = SimNet::new(seed);
    net.record();
    net
}
