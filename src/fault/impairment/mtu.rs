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
    /// The sender is told that it is too big, if it is on this end of the link; else it vanishes.
    Error,
    /// It is cut to what fits, as no real path does; bad middle-boxes and short buffers do.
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

    /// Whether a payload of so many bytes fits, where headers take so many.
    pub(in crate::fault) fn carries(&self, payload: usize, headers: u32) -> bool {
        headers <= self.pmtu.bytes() && payload <= self.limit(headers).bytes()
    }

    /// The largest payload, where headers take so many bytes.
    pub(in crate::fault) fn limit(&self, headers: u32) -> Plpmtu {
        let payload = self.pmtu.bytes().saturating_sub(headers);
        Plpmtu::new(u16::try_from(payload).unwrap_or(u16::MAX))
    }
}
