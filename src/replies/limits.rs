use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use crate::policy::RetryPolicy;
use crate::time::{Ns, checked_ns};

/// How long and how much a [`ReplyCache`](super::ReplyCache) remembers, and what happens when it is full.
///
/// | limit | default | of what |
/// |---|---|---|
/// | [`lifetime`](Self::with_lifetime) | 130 s | time from the first copy of a request, until a further copy is a new request |
/// | [`entries`](Self::with_entries) | 65,536 | requests that are remembered, answered or not |
/// | [`bytes`](Self::with_bytes) | 16 MiB | memory for replies; the oldest go first, and their requests stay known |
/// | [`per_peer`](Self::with_per_peer) | none | requests of one peer, once more than half of the entries are in use |
/// | [`replays`](Self::with_replays) | 16 | times that a reply is sent again |
/// | [`when_full`](Self::when_full) | [`WhenFull::Refuse`] | what a new request meets when all entries are in use |
///
/// The lifetime of the default is that of the default policy: its deadline of 30 s, and 100 s for a datagram on the network (MAX_LATENCY
/// of RFC 7252 §4.8.2). The entries last for it at 500 new requests a second, and the memory for 236 bytes of each reply. The replays
/// are more than the retransmissions of any [published schedule](crate::policy::Preset) that ends by their number: ten at most.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::RetryPolicy;
/// use udp_retry::policy::Preset;
/// use udp_retry::replies::ReplyLimits;
///
/// // EXCHANGE_LIFETIME of RFC 7252 §4.8.2: 45 s of transmissions, 100 s each way, 2 s of processing.
/// let coap = Preset::named("coap").unwrap().policy;
/// let limits = ReplyLimits::for_policy(&coap, Duration::from_secs(202))?;
/// assert_eq!(limits.lifetime(), Duration::from_secs(247));
/// # Ok::<(), udp_retry::replies::ReplyLimitsError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ReplyLimits {
    pub(super) lifetime: Ns,
    pub(super) entries: NonZeroU32,
    pub(super) bytes: usize,
    pub(super) per_peer: Option<NonZeroU32>,
    pub(super) replays: u16,
    pub(super) when_full: WhenFull,
}

/// What a new request meets when as many are remembered as the [`ReplyLimits`] allow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub enum WhenFull {
    /// It is refused: nothing is executed twice. For handlers whose effects must not be repeated.
    #[default]
    Refuse,
    /// The oldest is forgotten: a late copy of that one is executed again. For handlers whose work is only saved.
    Forget,
}

impl ReplyLimits {
    /// The defaults, with a lifetime for the clients of this policy: the span from the first transmission of a request to
    /// the last one, and the time `network` that a datagram may be on its way. That is the policy's deadline if it has
    /// one, else when its last transmission leaves at the latest.
    ///
    /// A few seconds of `network` are enough inside a building, 100 s are RFC 7252's. A client whose first wait follows an
    /// [`RttEstimator`](crate::policy::RttEstimator), or whose server slows it down by provisional answers, may exceed
    /// the span of a policy without a deadline: give it one, or a longer lifetime.
    ///
    /// # Errors
    ///
    /// [`ReplyLimitsError::Endless`] for a policy whose transmissions never end, or if both exceed 584 years;
    /// [`ReplyLimitsError::ZeroLifetime`] for one transmission and no time on the network.
    pub const fn for_policy(policy: &RetryPolicy, network: Duration) -> Result<Self, ReplyLimitsError> {
        let span = match policy.deadline_ns() {
            Some(deadline) => deadline,
            None => policy.span_ns(),
        };
        match checked_ns(network) {
            Some(network) => Self::living(span.saturating_add(network)),
            None => Err(ReplyLimitsError::Endless),
        }
    }

    /// How long a request is remembered, from the arrival of its first copy: at least this long, and at most 2 ms longer.
    ///
    /// # Errors
    ///
    /// [`ReplyLimitsError::ZeroLifetime`]; [`ReplyLimitsError::Endless`] above 584 years.
    pub const fn with_lifetime(self, lifetime: Duration) -> Result<Self, ReplyLimitsError> {
        match checked_ns(lifetime) {
            Some(0) => Err(ReplyLimitsError::ZeroLifetime),
            Some(lifetime) => Ok(Self { lifetime, ..self }),
            None => Err(ReplyLimitsError::Endless),
        }
    }

    /// How many requests are remembered: the rate of new ones by the lifetime, and some more. Each takes 44 bytes, all of them from
    /// the start.
    #[must_use]
    pub const fn with_entries(self, entries: NonZeroU32) -> Self {
        Self { entries, ..self }
    }

    /// How much memory the replies take, in bytes, all of it from the start: each what it has and 20 bytes more. With 0 none is kept,
    /// and no copy is answered; none is executed again either.
    #[must_use]
    pub const fn with_bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    /// How many requests of one peer are remembered, an IPv4 address or the /64 of an IPv6 address, once more than half of
    /// the entries are in use; it takes 256 KiB. Against one greedy peer; no help against forged addresses. A few may count as one
    /// peer, as 65,536 are told apart.
    #[must_use]
    pub const fn with_per_peer(self, requests: NonZeroU32) -> Self {
        Self { per_peer: Some(requests), ..self }
    }

    /// How many times the reply to a request is sent again: a captured request must not make the server flood its sender. It does not
    /// count when it is first sent, nor what is provisional. With 0 no copy is answered.
    #[must_use]
    pub const fn with_replays(self, replays: u16) -> Self {
        Self { replays, ..self }
    }

    /// What a new request meets when all entries are in use.
    #[must_use]
    pub const fn when_full(self, when_full: WhenFull) -> Self {
        Self { when_full, ..self }
    }

    /// How long a request is remembered.
    #[must_use]
    pub const fn lifetime(&self) -> Duration {
        Duration::from_nanos(self.lifetime)
    }

    /// How many requests are remembered.
    #[must_use]
    pub const fn entries(&self) -> NonZeroU32 {
        self.entries
    }

    /// How much memory the replies take, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    const fn living(lifetime: Ns) -> Result<Self, ReplyLimitsError> {
        match lifetime {
            0 => Err(ReplyLimitsError::ZeroLifetime),
            Ns::MAX => Err(ReplyLimitsError::Endless),
            lifetime => Ok(Self {
                lifetime,
                entries: ENTRIES,
                bytes: 16 << 20,
                per_peer: None,
                replays: 16,
                when_full: WhenFull::Refuse,
            }),
        }
    }
}

impl Default for ReplyLimits {
    fn default() -> Self {
        DEFAULT
    }
}

impl fmt::Debug for ReplyLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lifetime: _, entries, bytes, per_peer, replays, when_full } = self;
        f.debug_struct("ReplyLimits")
            .field("lifetime", &self.lifetime())
            .field("entries", entries)
            .field("bytes", bytes)
            .field("per_peer", per_peer)
            .field("replays", replays)
            .field("when_full", when_full)
            .finish()
    }
}

/// Why limits cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyLimitsError {
    /// A lifetime of zero: every copy would be a new request.
    #[error("the lifetime must be longer than zero")]
    ZeroLifetime,
    /// The transmissions of the policy never end, or the lifetime exceeds the 584 years that 64 bits of nanoseconds hold.
    #[error("requests cannot be remembered without end: the policy needs a deadline")]
    Endless,
}

const ENTRIES: NonZeroU32 = NonZeroU32::new(65_536).unwrap();

const DEFAULT: ReplyLimits = match ReplyLimits::living(130_000_000_000) {
    Ok(limits) => limits,
    Err(_) => unreachable!(),
};

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_lifetime_covers_the_last_transmission_of_the_policy_and_the_way_of_a_datagram() {
        let lifetime = |policy: RetryPolicy, network| ReplyLimits::for_policy(&policy, network).map(|it| it.lifetime());
        assert_eq!(lifetime(RetryPolicy::LAN, 2 * SECOND), Ok(Duration::from_millis(3500)));
        assert_eq!(lifetime(RetryPolicy::default(), 100 * SECOND), Ok(130 * SECOND));
        assert_eq!(ReplyLimits::for_policy(&RetryPolicy::default(), 100 * SECOND), Ok(ReplyLimits::default()));
        let once = RetryPolicy::LAN.with_max_transmissions(1).unwrap();
        assert_eq!(lifetime(once, SECOND), Ok(SECOND));
        assert_eq!(lifetime(once, Duration::ZERO), Err(ReplyLimitsError::ZeroLifetime));
        let endless = RetryPolicy::LAN.with_max_transmissions(u32::MAX).unwrap();
        assert_eq!(lifetime(endless, SECOND), Err(ReplyLimitsError::Endless));
        assert_eq!(lifetime(endless.with_deadline(SECOND).unwrap(), SECOND), Ok(2 * SECOND));
        assert_eq!(lifetime(once, Duration::MAX), Err(ReplyLimitsError::Endless));
    }

    #[test]
    fn a_lifetime_is_neither_nothing_nor_endless() {
        let with = |lifetime| ReplyLimits::default().with_lifetime(lifetime).map(|it| it.lifetime());
        assert_eq!(with(SECOND), Ok(SECOND));
        assert_eq!(with(Duration::ZERO), Err(ReplyLimitsError::ZeroLifetime));
        assert_eq!(with(Duration::MAX), Err(ReplyLimitsError::Endless));
    }
}
