//! What a simulated network holds does not grow with what has come and gone in it: counted by the allocator, for this
//! thread alone.
#![expect(unsafe_code, reason = "an allocator cannot be written without")]

#[path = "common/held.rs"]
mod held;

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use held::{grown, peak};
use udp_retry::Seed;
use udp_retry::fault::Profile;
use udp_retry::sim::{Endpoint, HostId, Outbox, SimNet, echo, explore};
use udp_retry::time::Timestamp;
use udp_retry::transport::{PathIndex, Renewal, Transport};

#[test]
fn the_counter_counts() {
    assert!(grown(|| std::mem::forget(black_box(vec![0_u8; 1000]))) >= 1000);
    assert_eq!(grown(|| drop(vec![0_u8; 1000])), 0);
}

#[test]
fn a_socket_that_is_rebound_and_renewed_a_million_times_takes_no_memory() {
    let (net, client) = network();
    let mut transport = net.connect(client, SERVER).unwrap();
    let mut round = |rounds: u32| {
        for _ in 0..rounds {
            net.rebind(client).unwrap();
            transport.renew(PathIndex::FIRST, Renewal::Required).unwrap();
        }
    };
    // Once through all ports, so that a NAT has all of them in its books.
    round(20_000);
    let grown = grown(|| round(500_000));
    assert!(grown < SOME, "{grown} bytes");
}

#[test]
fn a_million_sockets_that_are_opened_and_dropped_take_no_memory() {
    let (net, client) = network();
    net.serve(SERVER, echo()).unwrap();
    let round = |rounds: u32| {
        for _ in 0..rounds {
            let mut transport = net.connect(client, SERVER).unwrap();
            transport.send(PathIndex::FIRST, b"left unread").unwrap();
            net.run_to_the_end(Timestamp::MAX);
        }
    };
    round(1_000);
    let grown = grown(|| round(1_000_000));
    assert!(grown < SOME, "{grown} bytes");
}

#[test]
fn endpoints_that_end_take_their_timers_with_them_and_so_do_those_that_change_their_minds() {
    /// Wants to be woken in the far future, and each time at another time.
    struct Fickle(u64);
    impl Endpoint for Fickle {
        fn on_datagram(&mut self, _: Timestamp, _: SocketAddr, _: &[u8], _: &mut Outbox) {
            self.0 ^= 1;
        }
        fn wake_at(&self) -> Option<Timestamp> {
            Some(Timestamp::from_nanos(u64::MAX / 2 + self.0))
        }
    }
    let (net, client) = network();
    let mut transport = net.connect(client, SERVER).unwrap();
    let mut round = |rounds: u32| {
        for n in 0..rounds {
            if n % 100 == 0 {
                net.stop(SERVER);
                net.serve_endpoint(SERVER, Fickle(0)).unwrap();
            }
            transport.send(PathIndex::FIRST, b"change").unwrap();
            net.run_until(net.now());
        }
    };
    round(1_000);
    let grown = grown(|| round(1_000_000));
    assert!(grown < SOME, "{grown} bytes");
}

/// Each of its 340,000 events took 600 bytes once.
#[test]
fn a_failing_run_is_kept_in_twenty_megabytes_however_long_it_is() {
    let scenario = |net: &SimNet| {
        let client = net.host("10.0.0.1".parse().unwrap()).unwrap();
        let server = net.host(SERVER.ip()).unwrap();
        net.path(client, server, Profile::both("loss 30%; delay 1ms ~1ms".parse().unwrap())).unwrap();
        net.serve(SERVER, |_, _, _, _| {}).unwrap();
        let mut transport = net.connect(client, SERVER).unwrap();
        for _ in 0..200_000 {
            transport.send(PathIndex::FIRST, b"lost or late").unwrap();
            net.run_until(net.now().after(Duration::from_millis(1)));
        }
        // Nothing of it follows from the faults that are kept.
        if net.stats().dropped > 50_000 { Err("whatever") } else { Ok(()) }
    };
    let mut failure = None;
    let peak = peak(|| failure = Some(explore(0..1_000, scenario).unwrap_err()));
    let told = failure.unwrap().to_string();
    assert!(told.contains("it has more faults than are kept") && told.contains(" events more"), "{told}");
    assert!(peak < 20_000_000, "{peak} bytes");
}

/// And a client's host in it.
fn network() -> (SimNet, HostId) {
    let net = SimNet::new(Seed::new(1));
    let client = net.host("10.0.0.1".parse().unwrap()).unwrap();
    net.host(SERVER.ip()).unwrap();
    (net, client)
}

const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), 1060);
/// Hundredths of a byte for each that came and went.
const SOME: i64 = 20_000;
