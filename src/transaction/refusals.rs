use crate::time::{Ns, Timestamp};

/// Which transmissions met "nobody listens" or "no way there", as far as that can be told: a refusal does not say
/// which of the datagrams sent before it is meant.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Refusals {
    /// Of this transaction's transmissions at most.
    own: u32,
    /// Sends that the system refused, as there is no listener or no way: nothing left.
    unsent: u32,
    /// Of transmissions, those that may be of earlier requests included.
    all: u32,
    /// Transmissions of earlier requests that neither a reply nor a refusal has settled.
    earlier: u32,
    /// Until when those may still be refused.
    until: Timestamp,
}

impl Refusals {
    /// The transaction before made this many transmissions, the last of them at `sent_last`; the next one starts at
    /// `now`.
    pub(super) fn restart(&mut self, now: Timestamp, transmissions: u32, sent_last: Timestamp, answered: bool) {
        let until = if transmissions > 0 { sent_last.after_ns(LIFETIME) } else { self.until };
        let settled = self.all.saturating_add(u32::from(answered));
        let open = self.earlier.saturating_add(transmissions).saturating_sub(settled);
        *self = Self { own: 0, unsent: 0, all: 0, earlier: if now >= until { 0 } else { open }, until };
    }

    /// Another one came; returns how many of this transaction's attempts are taken for refused now.
    pub(super) fn add(&mut self, transmissions: u32, fresh_port: bool) -> u32 {
        // Each vouches for something that was sent before it came.
        self.all = self.all.saturating_add(1).min(self.sent(transmissions, fresh_port));
        self.own = self.own.saturating_add(1).min(transmissions);
        self.own.saturating_add(self.unsent)
    }

    /// As [`add`](Self::add), where the system did not even send.
    pub(super) fn add_unsent(&mut self) -> u32 {
        self.unsent = self.unsent.saturating_add(1);
        self.own.saturating_add(self.unsent)
    }

    /// Whether every transmission must have met one.
    pub(super) fn cover(&self, transmissions: u32, fresh_port: bool) -> bool {
        self.all >= self.sent(transmissions, fresh_port)
    }

    /// What a refusal may be about: on a fresh port, this transaction alone.
    fn sent(&self, transmissions: u32, fresh_port: bool) -> u32 {
        transmissions.saturating_add(if fresh_port { 0 } else { self.earlier })
    }
}

/// So long a datagram may be on its way: the maximum segment lifetime of RFC 9293.
const LIFETIME: Ns = 120_000_000_000;
