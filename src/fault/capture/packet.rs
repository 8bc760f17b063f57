use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::size::IpFamily;

/// Who sends a datagram, and where.
pub(crate) type Ends = (SocketAddr, SocketAddr);

/// Bytes of a packet: those that are there, and those that it had.
pub(super) struct Lengths {
    pub(super) captured: u32,
    pub(super) original: u32,
}

/// Appends an IP packet with a datagram of which `missing` more bytes are not at hand.
pub(super) fn write(buffer: &mut Vec<u8>, (from, to): Ends, datagram: &[u8], missing: usize) -> Lengths {
    let (source, destination) = of_one_family(from.ip(), to.ip());
    let family = if source.is_ipv4() { IpFamily::V4 } else { IpFamily::V6 };
    let whole = (datagram.len() + missing).min(family.max_plpmtu().bytes());
    let payload = datagram.get(..whole).unwrap_or(datagram);
    // What fits by the line above has a length that fits, too.
    let udp_length = u16::try_from(UDP_HEADER + whole).unwrap_or(u16::MAX);

    let mut pseudo = Sum(0);
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => ipv4(buffer, source, destination, udp_length, &mut pseudo),
        (source, destination) => ipv6(buffer, v6(source), v6(destination), udp_length, &mut pseudo),
    }
    udp(buffer, [from.port(), to.port()], udp_length, payload, whole, pseudo);
    buffer.extend_from_slice(payload);

    let length = |payload: usize| family.overhead() + u32::try_from(payload).unwrap_or(u32::MAX);
    Lengths { captured: length(payload.len()), original: length(whole) }
}

fn ipv4(buffer: &mut Vec<u8>, source: Ipv4Addr, destination: Ipv4Addr, udp_length: u16, pseudo: &mut Sum) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0x45, 0]);
    buffer.extend_from_slice(&udp_length.saturating_add(IPV4_HEADER).to_be_bytes());
    // The identification, and no fragment.
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&[HOPS, UDP, 0, 0]);
    buffer.extend_from_slice(&source.octets());
    buffer.extend_from_slice(&destination.octets());
    let mut header = Sum(0);
    header.add(buffer.get(start..).unwrap_or_default());
    if let Some(checksum) = buffer.get_mut(start + 10..start + 12) {
        checksum.copy_from_slice(&header.complement().to_be_bytes());
    }
    pseudo.add(&source.octets());
    pseudo.add(&destination.octets());
}

fn ipv6(buffer: &mut Vec<u8>, source: Ipv6Addr, destination: Ipv6Addr, udp_length: u16, pseudo: &mut Sum) {
    buffer.extend_from_slice(&[0x60, 0, 0, 0]);
    buffer.extend_from_slice(&udp_length.to_be_bytes());
    buffer.extend_from_slice(&[UDP, HOPS]);
    buffer.extend_from_slice(&source.octets());
    buffer.extend_from_slice(&destination.octets());
    pseudo.add(&source.octets());
    pseudo.add(&destination.octets());
}

fn udp(buffer: &mut Vec<u8>, [from, to]: [u16; 2], length: u16, payload: &[u8], whole: usize, mut sum: Sum) {
    let [high, low] = length.to_be_bytes();
    // Of the pseudo header, and of this one.
    sum.add(&[0, UDP, high, low, high, low]);
    sum.add(&from.to_be_bytes());
    sum.add(&to.to_be_bytes());
    sum.add(payload);
    let checksum = match sum.complement() {
        // No one can know it.
        _ if payload.len() < whole => 0,
        // As 0 means that there is none.
        0 => u16::MAX,
        sum => sum,
    };
    buffer.extend_from_slice(&from.to_be_bytes());
    buffer.extend_from_slice(&to.to_be_bytes());
    buffer.extend_from_slice(&[high, low]);
    buffer.extend_from_slice(&checksum.to_be_bytes());
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

/// The ones' complement sum of 16-bit words (RFC 1071), of parts of even length but the last.
struct Sum(u32);

impl Sum {
    /// At most 65,535 bytes and the headers: their sum fits.
    fn add(&mut self, bytes: &[u8]) {
        let words = bytes.chunks_exact(2);
        let last = words.remainder().first().map_or(0, |&byte| u32::from(byte) << 8);
        let word = |bytes: &[u8]| <[u8; 2]>::try_from(bytes).map_or(0, |bytes| u16::from_be_bytes(bytes).into());
        self.0 += last + words.map(word).sum::<u32>();
    }

    fn complement(&self) -> u16 {
        let folded = (self.0 & 0xffff) + (self.0 >> 16);
        let folded = (folded & 0xffff) + (folded >> 16);
        !u16::try_from(folded).unwrap_or(u16::MAX)
    }
}

const IPV4_HEADER: u16 = 20;
const UDP_HEADER: usize = 8;
/// The number of the protocol.
const UDP: u8 = 17;
/// What most systems begin with.
const HOPS: u8 = 64;
