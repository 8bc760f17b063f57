//! The proxy on a host that has fewer ports than it has clients.
#![cfg(all(target_os = "linux", feature = "proxy"))]
#![expect(clippy::disallowed_types, reason = "real sockets are the point")]

use std::net::{Ipv4Addr, UdpSocket};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use udp_retry::proxy::Proxy;

use crate::again::this_test;
use crate::hosts::{Server, alone, echo, may_have_networks, own_network};
use crate::inside::run;
use crate::watchdog::{MINUTE, within};

#[test]
fn eight_thousand_clients_of_a_proxy_with_five_thousand_ports_are_all_answered() {
    within(3 * MINUTE, || {
        if !alone(this_test!()) || !may_have_networks(this_test!()) {
            return;
        }
        own_network();
        const CLIENTS: u32 = 8000;
        // More than ports, so that these are what it lacks.
        run(&format!("prlimit --pid {} --nofile=6000:", std::process::id()));
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "50000 54999").unwrap();
        let server = Server::new(UdpSocket::bind("127.0.0.1:1060").unwrap(), echo);
        let builder = Proxy::builder().max_sessions(NonZeroUsize::new(CLIENTS as usize).unwrap());
        let mut proxy = builder.bind("127.0.0.1:1061", server.address).unwrap();
        let over = AtomicBool::new(false);
        let (wrong, stats) = thread::scope(|scope| {
            let running = scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    proxy.run_for(Duration::from_millis(10)).unwrap();
                }
                proxy.stats()
            });
            let wrong: Vec<u32> = (0..CLIENTS).filter(|&n| asked(n) != Some(n)).collect();
            over.store(true, Ordering::Relaxed);
            (wrong, running.join().unwrap())
        });
        assert_eq!(wrong, [0; 0], "{stats:?}");
        assert_eq!((stats.opened, stats.unserved), (CLIENTS.into(), 0), "{stats:?}");
        assert!((4000..=5000).contains(&stats.sessions), "{stats:?}");
    });
}

/// By a client of its own, on a port that the system never picks.
fn asked(n: u32) -> Option<u32> {
    let [_, _, high, low] = n.to_be_bytes();
    let client = UdpSocket::bind((Ipv4Addr::new(127, 2, high, low), 20_000)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    client.send_to(&n.to_be_bytes(), "127.0.0.1:1061").unwrap();
    let mut reply = [0; 4];
    client.recv(&mut reply).ok().map(|_| u32::from_be_bytes(reply))
}
