//! A link so narrow that not even what every path carries leaves whole. In a network namespace.
#![cfg(target_os = "linux")]

use std::net::SocketAddr;
use std::time::Duration;

use udp_retry::ConnectedUdp;
use udp_retry::net::UnconnectedUdp;
use udp_retry::transport::{Incoming, PathIndex, Transport};

use crate::again::this_test;
use crate::inside::{Inside, PORT, run, run_at};
use crate::watchdog::{MINUTE, within};

/// The system divides a batch only into datagrams that the link carries whole; alone, each is fragmented.
#[test]
fn a_batch_leaves_one_by_one_where_the_link_carries_none_of_it_whole() {
    within(MINUTE, || {
        let Some(network) = Inside::of(this_test!(), "direct") else { return };
        let _server = network.echo(&network.server4);
        let device = network.device.strip_suffix("cs").unwrap();
        run(&format!("ip link set {device}cs mtu 600"));
        run_at("PM_SERVER", &format!("ip link set {device}sc mtu 600"));
        let sent: Vec<Vec<u8>> = (0..16).map(|number| vec![number; 1000]).collect();
        let slices: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
        let server = SocketAddr::new(network.server4.parse().unwrap(), PORT);
        for _ in 0..2 {
            let mut connected = ConnectedUdp::connect(server).unwrap();
            connected.send(PathIndex::FIRST, b"ping").unwrap();
            assert_eq!(received(&mut connected, 1), [b"ping"]);
            assert_eq!(connected.send_many(PathIndex::FIRST, &slices), (16, Ok(())));
            assert_eq!(received(&mut connected, 16), sent);
        }
        let mut unconnected = UnconnectedUdp::bind("0.0.0.0:0").unwrap();
        for _ in 0..2 {
            assert_eq!(unconnected.send_many(server.into(), &slices), (16, Ok(())));
            assert_eq!(received(&mut unconnected, 16), sent);
        }
    });
}

fn received(client: &mut impl Transport, count: usize) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while all.len() < count {
        let (mut buffer, now) = ([0; 2000], client.now());
        match client.recv(&mut buffer, now, now.after(Duration::from_secs(5))) {
            Incoming::Datagram(datagram) => all.push(buffer[..datagram.len].to_vec()),
            other => panic!("{other:?} after {}", all.len()),
        }
    }
    all
}
