//! ICMP errors that no router has sent, from a raw socket: for whom they say that a datagram was undeliverable, and which.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, reason = "real sockets are the point")]

use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// What an error says: its type, its code, and the four bytes after them, which hold an MTU if anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Icmp {
    pub(crate) v6: bool,
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) mtu: u32,
}

impl Icmp {
    pub(crate) const fn v4(kind: u8, code: u8) -> Self {
        Self { v6: false, kind, code, mtu: 0 }
    }

    pub(crate) const fn v6(kind: u8, code: u8) -> Self {
        Self { v6: true, kind, code, mtu: 0 }
    }

    pub(crate) const fn with_mtu(self, mtu: u32) -> Self {
        Self { mtu, ..self }
    }
}

/// A datagram from a client to a server, or its beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quoted<'q> {
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) payload: &'q [u8],
}

/// Sends one such error again and again.
pub(crate) struct Forger {
    socket: Socket,
    message: Vec<u8>,
    to: SockAddr,
}

impl Forger {
    pub(crate) fn new(icmp: Icmp, quoted: Quoted<'_>) -> Self {
        let (domain, protocol) =
            if icmp.v6 { (Domain::IPV6, Protocol::ICMPV6) } else { (Domain::IPV4, Protocol::ICMPV4) };
        let socket = Socket::new(domain, Type::RAW, Some(protocol)).unwrap();
        let to = SocketAddr::new(quoted.client.ip(), 0).into();
        Self { socket, message: message(icmp, quoted), to }
    }

    pub(crate) fn send(&self, times: u32) {
        for _ in 0..times {
            // One that finds no space is not sent.
            let _ = self.socket.send_to(&self.message, &self.to);
        }
    }
}

fn message(icmp: Icmp, quoted: Quoted<'_>) -> Vec<u8> {
    let mut message = vec![icmp.kind, icmp.code, 0, 0];
    message.extend(icmp.mtu.to_be_bytes());
    message.extend(ip_header(quoted));
    let len = u16::try_from(8 + quoted.payload.len()).unwrap();
    for number in [quoted.client.port(), quoted.server.port(), len, 0] {
        message.extend(number.to_be_bytes());
    }
    message.extend(quoted.payload);
    if !icmp.v6 {
        // The kernel does the other family's.
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

fn ip_header(Quoted { client, server, payload }: Quoted<'_>) -> Vec<u8> {
    const UDP: u8 = 17;
    const HOPS: u8 = 64;
    let udp = u16::try_from(8 + payload.len()).unwrap();
    match (client.ip(), server.ip()) {
        (IpAddr::V4(client), IpAddr::V4(server)) => {
            let [high, low] = (20 + udp).to_be_bytes();
            let mut header = vec![0x45, 0, high, low, 0, 1, 0, 0, HOPS, UDP, 0, 0];
            header.extend(client.octets().into_iter().chain(server.octets()));
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header
        }
        (IpAddr::V6(client), IpAddr::V6(server)) => {
            let [high, low] = udp.to_be_bytes();
            let mut header = vec![0x60, 0, 0, 0, high, low, UDP, HOPS];
            header.extend(client.octets().into_iter().chain(server.octets()));
            header
        }
        _ => panic!("two families"),
    }
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let pairs = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low)));
    let mut sum = pairs.sum::<u32>();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap()
}
