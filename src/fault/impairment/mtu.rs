use crate::size::{Plpmtu, Pmtu};

/// The largest IP packet that a link carries, and what it does with larger ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MtuClamp {
    pmtu: Pmtu,
    oversize: Oversize,
}

/// What becomes of a datagram that exceeds the MTU.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum Oversize {
    /// It vanishes, as in a path that blocks ICMP.
    #[default]
    Drop,
    /// Its sender gets an error, if it is on this end of the link; else the datagram vanishes.
    Error,
    /// It vanishes, and in a simulated network (`sim::SimNet`) the router reports it to the sender: the message (ICMP
    /// "fragmentation needed", ICMPv6 "packet too big") travels over the link back and can be lost there. Elsewhere, where
    /// no link leads back to a sender's kernel, this is [`Drop`](Self::Drop).
    Report,
    /// It is truncated to what fits, as bad middle-boxes and short buffers do; no real path does.
    Truncate,
}

impl MtuClamp {
    /// Packets of at most this size.
    #[must_use]
    pub const fn new(pmtu: Pmtu, oversize: Oversize) -> Self {
        Self { pmtu, oversize }
    }

    /// The largest packet.
    #[must_use]
    pub const fn pmtu(&self) -> Pmtu {
        self.pmtu
    }

    /// What becomes of larger ones.
    #[must_use]
    pub const fn oversize(&self) -> Oversize {
        self.oversize
    }

    /// Whether `payload` bytes fit beside `headers` bytes of headers.
    pub(in crate::fault) fn carries(&self, payload: usize, headers: u32) -> bool {
        headers <= self.pmtu.bytes() && payload <= self.limit(headers).bytes()
    }

    /// The largest payload beside `headers` bytes of headers.
    pub(in crate::fault) fn limit(&self, headers: u32) -> Plpmtu {
        let payload = self.pmtu.bytes().saturating_sub(headers);
        Plpmtu::new(u16::try_from(payload).unwrap_or(u16::MAX))
    }
}
