//! A client that searches for the path MTU through a proxy finds that of the path behind it, where the proxy forbids fragments.
#![cfg(all(target_os = "linux", feature = "proxy"))]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and threads are the point")]

#[cfg(feature = "cli")]
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
#[cfg(feature = "cli")]
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

#[cfg(feature = "cli")]
use serde_json::Value;
use udp_retry::ConnectedUdp;
use udp_retry::net::{Applied, Fragmentation};
use udp_retry::path_mtu::{EchoFormat, probe_path};
use udp_retry::proxy::{Proxy, ProxyBuilder, ProxyStats};
use udp_retry::transport::PathIndex;

#[cfg(feature = "cli")]
use crate::again::Ending;
use crate::again::this_test;
#[cfg(feature = "cli")]
use crate::hosts::{may_have_networks, own_network};
#[cfg(feature = "cli")]
use crate::inside::run;
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

#[cfg(feature = "cli")]
#[test]
fn the_tool_forbids_fragments_where_it_is_told_to_and_reports_what_was_too_big() {
    within(MINUTE, || {
        if cfg!(udp_retry_portable) || !may_have_networks(this_test!()) {
            return;
        }
        own_network();
        run("ip link set lo mtu 1500");
        for (arguments, too_big) in [(&["--df"][..], 1), (&[], 0)] {
            let service = UdpSocket::bind("127.0.0.1:0").unwrap();
            service.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut tool = Command::new(env!("CARGO_BIN_EXE_udp-retry"));
            tool.args(["proxy", "--listen", "127.0.0.1:0", "--upstream", &service.local_addr().unwrap().to_string()]);
            let mut tool = Ending(tool.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap());
            let mut lines = BufReader::new(tool.0.stdout.take().unwrap()).lines().map(Result::unwrap);
            let listening = lines.next().unwrap();
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.connect(listening.strip_prefix("listening on ").unwrap()).unwrap();
            client.send(&[1; 2000]).unwrap();
            client.send(&[2; 1000]).unwrap();
            let came = service.recv(&mut [0; 4096]).unwrap();
            assert_eq!(came, if too_big > 0 { 1000 } else { 2000 }, "{arguments:?}");
            run(&format!("kill {}", tool.0.id()));
            let report: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
            assert_eq!((&report["too_big"], &report["to_server"]["failed"]), (&too_big.into(), &too_big.into()));
            assert!(tool.0.wait().unwrap().success());
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
            let stats = proxy.stop();
            println!("{topology} {address}: {found:?}, {stats:?}");
            assert!(found.is_none_or(|found| found <= 1400 - overhead), "{topology} {address}: {found:?}");
            // The router of the one reports what it cannot pass on, and that of the other is silent.
            assert_eq!(stats.path_errors > 0, topology == "chain", "{topology} {address}: {stats:?}");
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
