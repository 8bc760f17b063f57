use core::fmt;
use core::net::{IpAddr, SocketAddr};

use super::fold::fold;
use crate::entropy::Seed;
use crate::fault::{Direction, Fate};
use crate::time::Timestamp;

/// Something that happened to a datagram in a [`SimNet`](super::SimNet).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SimEvent {
    /// When.
    pub at: Timestamp,
    /// Who sent the datagram.
    pub from: SocketAddr,
    /// Where it was sent.
    pub to: SocketAddr,
    /// Its bytes.
    pub len: usize,
    /// A digest of its bytes.
    pub digest: u64,
    /// Its first bytes, zeros if it has fewer.
    pub head: [u8; 8],
    /// What.
    pub what: Happened,
}

/// What happened to a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Happened {
    /// It entered its path as number `n` of this direction, and met this fate.
    Sent {
        /// Which path, by the order in which paths were made.
        path: u64,
        /// In which direction.
        direction: Direction,
        /// Its number in this direction, from 1.
        n: u64,
        /// What the link made of it.
        fate: Fate,
    },
    /// Not a datagram but the message that nothing listens at `from` entered its path, as number `n`, and met this
    /// fate.
    RefusalSent {
        /// Which path, by the order in which paths were made.
        path: u64,
        /// In which direction.
        direction: Direction,
        /// Its number in this direction, from 1.
        n: u64,
        /// What the link made of it.
        fate: Fate,
    },
    /// Not a datagram but a router's message, that a datagram to `from` was too large, entered the path back as number `n`,
    /// and met this fate.
    ReportSent {
        /// Which path, by the order in which paths were made.
        path: u64,
        /// In which direction.
        direction: Direction,
        /// Its number in this direction, from 1.
        n: u64,
        /// What the link made of it.
        fate: Fate,
    },
    /// It was sent into a partition.
    Partitioned,
    /// It reached a socket.
    Arrived,
    /// Nothing listened there; a refusal was sent back.
    Refused,
    /// A refusal of it came back to the socket that it was sent from.
    RefusalArrived,
    /// A refusal of it came back, but to no socket that is connected to where it comes from.
    RefusalLost,
    /// The host learned that it was too large for its path.
    ReportArrived,
    /// A message that it was too large came, but no socket can have sent it.
    ReportLost,
    /// The socket's receive buffer was full.
    Overflowed,
    /// It was sent to all, and no socket of this host took it.
    Ignored,
    /// The socket is connected to another peer.
    Foreign,
    /// The endpoint there has panicked.
    Panicked,
    /// It vanished: the address was given up, or the host is down.
    Vanished,
}

impl SimEvent {
    /// The hash of what went before, and of this.
    pub(super) fn hash(&self, before: u64) -> u64 {
        let (kind, detail) = match &self.what {
            Happened::Sent { path, direction, n, fate }
            | Happened::RefusalSent { path, direction, n, fate }
            | Happened::ReportSent { path, direction, n, fate } => {
                let sent = fold(fold(*path * 2 + u64::from(*direction == Direction::ToClient), *n), 0);
                let fate = match fate {
                    Fate::Delivered(copies) => copies.iter().fold(1, |hash, copy| {
                        let flipped = copy.flips.as_slice().iter().fold(hash, |hash, &bit| fold(hash, bit.into()));
                        fold(fold(flipped, copy.at.as_nanos()), copy.len as u64)
                    }),
                    Fate::Dropped(cause) => 2 + *cause as u64,
                    Fate::TooBig { limit } => 100 + limit.bytes() as u64,
                };
                let kind = match self.what {
                    Happened::Sent { .. } => 0,
                    Happened::ReportSent { .. } => 13,
                    _ => 9,
                };
                (kind, fold(sent, fate))
            }
            Happened::Partitioned => (1, 0),
            Happened::Arrived => (2, 0),
            Happened::Refused => (3, 0),
            Happened::RefusalArrived => (4, 0),
            Happened::RefusalLost => (5, 0),
            Happened::ReportArrived => (11, 0),
            Happened::ReportLost => (12, 0),
            Happened::Overflowed => (6, 0),
            Happened::Ignored => (14, 0),
            Happened::Foreign => (7, 0),
            Happened::Vanished => (8, 0),
            Happened::Panicked => (10, 0),
        };
        let ports = u64::from(self.from.port()) << 16 | u64::from(self.to.port());
        let words = [self.at.as_nanos(), ports << 8 | kind, self.digest, detail];
        let hash = words.into_iter().fold(before, fold);
        match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => fold(hash, u64::from(from.to_bits()) << 32 | u64::from(to.to_bits())),
            (from, to) => [from, to].into_iter().fold(hash, |hash, address| match address {
                IpAddr::V4(address) => fold(hash, digest(&address.octets())),
                IpAddr::V6(address) => fold(hash, digest(&address.octets())),
            }),
        }
    }
}

/// The first bytes of a datagram, in square brackets.
pub(super) struct Start<'a> {
    bytes: &'a [u8],
    more: bool,
}

impl SimEvent {
    pub(super) fn start(&self) -> Start<'_> {
        Start { bytes: self.head.get(..self.len).unwrap_or(&self.head), more: self.len > self.head.len() }
    }
}

impl fmt::Display for Start<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (nth, byte) in self.bytes.iter().enumerate() {
            write!(f, "{}{byte:02x}", if nth == 0 { "" } else { " " })?;
        }
        f.write_str(if self.more { " ..]" } else { "]" })
    }
}

impl fmt::Display for SimEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, from, to, len, what, .. } = self;
        write!(f, "{:>12.3} ms  {from} -> {to}, {len} bytes", at.as_nanos() as f64 / 1e6)?;
        if !matches!(what, Happened::RefusalSent { .. } | Happened::RefusalArrived | Happened::RefusalLost) {
            write!(f, " {}", self.start())?;
        }
        f.write_str(": ")?;
        match what {
            Happened::RefusalSent { fate: Fate::Delivered(_), n, .. } => write!(f, "refused, reported as number {n}"),
            Happened::RefusalSent { n, .. } => write!(f, "refused, reported as number {n}, which is lost"),
            Happened::ReportSent { fate: Fate::Delivered(_), n, .. } => {
                write!(f, "too large for a router, reported as number {n}")
            }
            Happened::ReportSent { n, .. } => {
                write!(f, "too large for a router, reported as number {n}, which is lost")
            }
            Happened::Sent { fate: Fate::Delivered(copies), n, .. } => {
                write!(f, "sent as number {n}, arrives")?;
                for (nth, copy) in copies.iter().enumerate() {
                    let comma = if nth == 0 { "" } else { "," };
                    write!(f, "{comma} at {:.3} ms", copy.at.as_nanos() as f64 / 1e6)?;
                }
                Ok(())
            }
            Happened::Sent { fate: Fate::Dropped(cause), n, .. } => {
                write!(f, "sent as number {n}, dropped ({})", cause.as_str())
            }
            Happened::Sent { fate: Fate::TooBig { limit }, n, .. } => {
                write!(f, "number {n} is too big, {} bytes would fit", limit.bytes())
            }
            Happened::Partitioned => f.write_str("sent into a partition"),
            Happened::Arrived => f.write_str("arrived"),
            Happened::Refused => f.write_str("nothing listens there"),
            Happened::RefusalArrived => f.write_str("its refusal arrived"),
            Happened::RefusalLost => f.write_str("its refusal found no socket"),
            Happened::ReportArrived => f.write_str("its host learned that it was too large"),
            Happened::ReportLost => f.write_str("the report that it was too large found no socket"),
            Happened::Overflowed => f.write_str("lost, as the receive buffer was full"),
            Happened::Ignored => f.write_str("no socket here takes what is sent to all"),
            Happened::Foreign => f.write_str("lost, as the socket is connected to another"),
            Happened::Panicked => f.write_str("lost, as the endpoint there has panicked"),
            Happened::Vanished => f.write_str("vanished"),
        }
    }
}

/// The first bytes of a datagram.
pub(super) fn head(datagram: &[u8]) -> [u8; 8] {
    let mut head = [0; 8];
    for (to, from) in head.iter_mut().zip(datagram) {
        *to = *from;
    }
    head
}

/// Eight bytes a step; equal for equal bytes, and that is all it promises.
pub(super) fn digest(datagram: &[u8]) -> u64 {
    let mut hash = Seed::new(datagram.len() as u64).draw(0);
    for chunk in datagram.chunks(8) {
        let word = chunk.iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
        hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 29;
    }
    hash
}
