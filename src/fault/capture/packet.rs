use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use etherparse::{Ipv4Header, Ipv6Header, UdpHeader, ip_number};

use crate::size::IpFamily;

/// Who sends a datagram, and where.
pub(crate) type Ends = (SocketAddr, SocketAddr);

/// Appends an IP packet with a datagram of which `missing` more bytes are not at hand; returns the bytes that it had.
pub(super) fn write(buffer: &mut Vec<u8>, (from, to): Ends, datagram: &[u8], missing: usize) -> u32 {
    let (source, destination) = of_one_family(from.ip(), to.ip());
    let family = if source.is_ipv4() { IpFamily::V4 } else { IpFamily::V6 };
    let whole = datagram.len().saturating_add(missing).min(family.max_plpmtu().bytes());
    let payload = datagram.get(..whole).unwrap_or(datagram);
    // What fits by the line above has a length that fits, too.
    let length = u16::try_from(UdpHeader::LEN + whole).unwrap_or(u16::MAX);

    let mut udp = UdpHeader { source_port: from.port(), destination_port: to.port(), length, checksum: 0 };
    let checksum = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let (source, destination) = (source.octets(), destination.octets());
            ipv4(buffer, length, source, destination);
            udp.calc_checksum_ipv4_raw(source, destination, payload)
        }
        (source, destination) => {
            let (source, destination) = (v6(source).octets(), v6(destination).octets());
            ipv6(buffer, length, source, destination);
            udp.calc_checksum_ipv6_raw(source, destination, payload)
        }
    };
    // 0 says that there is none: no one knows that of bytes that are missing.
    udp.checksum = checksum.ok().filter(|_| payload.len() == whole).unwrap_or(0);
    buffer.extend_from_slice(&udp.to_bytes());
    buffer.extend_from_slice(payload);
    family.overhead() + u32::try_from(whole).unwrap_or(u32::MAX)
}

fn ipv4(buffer: &mut Vec<u8>, udp_length: u16, source: [u8; 4], destination: [u8; 4]) {
    let mut header = Ipv4Header {
        total_len: udp_length.saturating_add(Ipv4Header::MIN_LEN_U16),
        dont_fragment: false,
        time_to_live: HOPS,
        protocol: ip_number::UDP,
        source,
        destination,
        ..Ipv4Header::default()
    };
    header.header_checksum = header.calc_header_checksum();
    buffer.extend_from_slice(&header.to_bytes());
}

fn ipv6(buffer: &mut Vec<u8>, udp_length: u16, source: [u8; 16], destination: [u8; 16]) {
    let header = Ipv6Header {
        payload_length: udp_length,
        next_header: ip_number::UDP,
        hop_limit: HOPS,
        source,
        destination,
        ..Ipv6Header::default()
    };
    buffer.extend_from_slice(&header.to_bytes());
}

/// As they stand on the network: an IPv4-mapped address is one of IPv4, and a wildcard belongs to either family.
fn of_one_family(from: IpAddr, to: IpAddr) -> (IpAddr, IpAddr) {
    match (from.to_canonical(), to.to_canonical()) {
        (from @ IpAddr::V4(_), to) if to.is_unspecified() => (from, Ipv4Addr::UNSPECIFIED.into()),
        (from, to @ IpAddr::V4(_)) if from.is_unspecified() => (Ipv4Addr::UNSPECIFIED.into(), to),
        (from, to @ IpAddr::V6(_)) if from.is_unspecified() => (Ipv6Addr::UNSPECIFIED.into(), to),
        (from @ IpAddr::V6(_), to) if to.is_unspecified() => (from, Ipv6Addr::UNSPECIFIED.into()),
        (IpAddr::V4(from), IpAddr::V4(to)) => (from.into(), to.into()),
        // Unmapped ones of different families meet in no network.
        (from, to) => (v6(from).into(), v6(to).into()),
    }
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// What most systems begin with.
const HOPS: u8 = 64;
