//! A client that searches for the path MTU through a proxy finds that of the path behind it, where the proxy forbids fragments.
#![cfg(all(target_os = "linux", feature = "proxy"))]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and threads are the point")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use udp_retry::ConnectedUdp;
use udp_retry::net::{Applied, Fragmentation};
use udp_retry::path_mtu::{EchoFormat, probe_path};
use udp_retry::proxy::{Proxy, ProxyBuilder, ProxyStats};
use udp_retry::transport::PathIndex;

use crate::again::this_test;
use crate::inside::{Inside, PORT};
use crate::path_mtu::forget_paths;
use crate::watchdog::{MINUTE, within};

#[test]
fn a_search_through_a_proxy_finds_a_narrow_link_behind_it() {
    within(MINUTE, || check(this_test!(), "chain"));
}

#[test]
fn a_search_through_a_proxy_finds_a_black_hole_behind_it() {
    within(MINUTE, || check(this_test!(), "blackhole"));
}

#[test]
fn what_no_packet_can_hold_is_counted_and_other_sizes_pass() {
    within(MINUTE, || {
        if cfg!(udp_retry_portable) {
            return;
        }
        let Some(network) = Inside::of(this_test!(), "direct") else { return };
        for (address, fits) in [(&network.server4, 1472), (&network.server6, 1452)] {
            let _server = network.echo(address);
            let service = SocketAddr::new(address.parse().unwrap(), PORT);
            let proxy = Running::start(Proxy::builder().do_not_fragment(), service);
            let client = proxy.client();
            client.send(&vec![1; fits + 1]).unwrap();
            client.send(&vec![2; fits]).unwrap();
            assert_eq!(client.recv(&mut [0; 2048]).unwrap(), fits);
            let stats = proxy.stop();
            assert_eq!(
                (stats.too_big, stats.to_server.failed, stats.to_server.passed),
                (1, 1, 1),
                "{address}: {stats:?}"
            );

            // Without, it leaves in fragments.
            let proxy = Running::start(Proxy::builder(), service);
            let client = proxy.client();
            client.send(&vec![1; fits + 1]).unwrap();
            assert_eq!(client.recv(&mut [0; 2048]).unwrap(), fits + 1);
            let stats = proxy.stop();
            assert_eq!(
                (stats.too_big, stats.to_server.failed, stats.to_server.passed),
                (0, 0, 1),
                "{address}: {stats:?}"
            );
        }
    });
}

/// A path of 1400 bytes, which begins with 1500.
fn check(test: &'static str, topology: &str) {
    if cfg!(udp_retry_portable) {
        return; // Nothing forbids fragments there.
    }
    let Some(network) = Inside::of(test, topology) else { return };
    for (address, overhead) in [(&network.server4, 28), (&network.server6, 48)] {
        let _responder = network.respond(address);
        let service = SocketAddr::new(address.parse().unwrap(), PORT);
        // A machine that stalls loses probes; a size that is too large never arrives.
        let found = (0..3).any(|_| {
            forget_paths();
            let proxy = Running::start(Proxy::builder().do_not_fragment(), service);
            let found = proxy.search();
            println!("{topology} {address}: {found:?}, {:?}", proxy.stop());
            assert!(found.is_none_or(|found| found <= 1400 - overhead), "{topology} {address}: {found:?}");
            found == Some(1400 - overhead)
        });
        assert!(found, "{topology} {address}");
        // Without, the path to the proxy is all that a client can find: fragments carry the rest.
        let larger = (0..3).any(|_| {
            forget_paths();
            let proxy = Running::start(Proxy::builder(), service);
            let found = proxy.search();
            println!("{topology} {address}, with fragments: {found:?}, {:?}", proxy.stop());
            found > Some(1400 - overhead)
        });
        assert!(larger || topology == "blackhole", "{topology} {address}");
    }
}

/// A proxy on loopback, in a thread.
struct Running {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: JoinHandle<ProxyStats>,
}

impl Running {
    fn start(builder: ProxyBuilder, service: SocketAddr) -> Self {
        let mut proxy = builder.bind("127.0.0.1:0", service).unwrap();
        let (address, over) = (proxy.local_addr(), Arc::new(AtomicBool::new(false)));
        let ended = over.clone();
        let thread = thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                proxy.run_for(Duration::from_millis(10)).unwrap();
            }
            proxy.stats()
        });
        Self { address, over, thread }
    }

    fn client(&self) -> UdpSocket {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.connect(self.address).unwrap();
        client
    }

    /// The largest payload that was answered.
    fn search(&self) -> Option<usize> {
        let mut transport = ConnectedUdp::connect(self.address).unwrap();
        assert_eq!(transport.set_fragmentation(Fragmentation::Probing).unwrap(), Applied::Enforced);
        let found = probe_path(&mut transport, PathIndex::FIRST, &EchoFormat::new()).unwrap();
        println!("{found:?}");
        found.forward.map(|found| found.bytes())
    }

    fn stop(self) -> ProxyStats {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
