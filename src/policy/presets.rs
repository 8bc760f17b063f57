use core::time::Duration;

use super::{Backoff, Jitter, LastWait, PolicyError, RetryPolicy};

/// A published schedule, with its name and its source.
///
/// ```
/// use udp_retry::policy::Preset;
///
/// let stun = Preset::named("stun").unwrap();
/// assert_eq!((stun.source, stun.policy.max_transmissions()), ("RFC 8489 §6.2.1", 7));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Preset {
    /// As command lines spell it.
    pub name: &'static str,
    /// The section that defines it.
    pub source: &'static str,
    /// The schedule.
    pub policy: RetryPolicy,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 16] = [
        Self::new("default", "RFC 8085 §3.1.3, RFC 8961 §4", RetryPolicy::INTERNET),
        Self::new("book", "listing 2-2 of the book; for loopback and LAN", RetryPolicy::LAN),
        Self::new("coap", "RFC 7252 §4.2, §4.8", COAP),
        Self::new("stun", "RFC 8489 §6.2.1", STUN),
        Self::new("sip-invite", "RFC 3261 §17.1.1.2", SIP_INVITE),
        Self::new("sip-non-invite", "RFC 3261 §17.1.2.2", SIP_NON_INVITE),
        Self::new("radius", "RFC 5080 §2.2.1", RADIUS),
        Self::new("dhcpv6-solicit", "RFC 9915 §15, §18.2.1", DHCPV6_SOLICIT),
        Self::new("dhcpv6-request", "RFC 9915 §15, §18.2.2", DHCPV6_REQUEST),
        Self::new("dhcpv6-confirm", "RFC 9915 §15, §18.2.3", DHCPV6_CONFIRM),
        Self::new("dhcpv6-renew", "RFC 9915 §15, §18.2.4; ends at T2, which the caller gives", DHCPV6_RENEW),
        Self::new("dhcpv6-information-request", "RFC 9915 §15, §18.2.6", DHCPV6_INFORMATION_REQUEST),
        Self::new("dhcpv6-release", "RFC 9915 §15, §18.2.7", DHCPV6_RELEASE),
        Self::new("dhcpv4", "RFC 2131 §4.1", DHCPV4),
        Self::new("bittorrent-tracker", "BEP 15", BITTORRENT_TRACKER),
        Self::new("dns", "2 s doubling, 3 transmissions, as common resolvers do", DNS),
    ];

    /// The preset of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name == name)
    }

    const fn new(name: &'static str, source: &'static str, policy: RetryPolicy) -> Self {
        Self { name, source, policy }
    }
}

impl RetryPolicy {
    /// The book's schedule, **for loopback and LAN only**: transmissions at 0, 0.1, 0.3, 0.7 and 1.5 s, failure at
    /// 3.1 s, no jitter. On the Internet it is too eager (RFC 8085 §3.1.3 recommends 1 s to start with).
    #[doc(alias = "book")]
    pub const LAN: Self = Self::new(doubling(100, 2_000));

    /// What `default` returns, for constants.
    pub(super) const INTERNET: Self = ended(Self::new(jittered(doubling(1_000, 60_000), Ok(Jitter::UPWARD))), 30_000);
}

/// ACK_TIMEOUT 2 s, ACK_RANDOM_FACTOR 1.5 drawn once, MAX_RETRANSMIT 4. Without a cap: 48 s is its longest wait.
const COAP: RetryPolicy = RetryPolicy::new(jittered(doubling(2_000, 48_000), Jitter::once(1.0, 1.5)));

/// RTO 500 ms, Rc 7, Rm 16. Without a cap: the seventh wait is Rm's.
const STUN: RetryPolicy =
    valid(limited(RetryPolicy::new(doubling(500, 16_000)), 7).with_last_wait(LastWait::Initial(16)));

/// Timer A from T1 = 500 ms without a cap, Timer B after 64·T1.
const SIP_INVITE: RetryPolicy = ended(limited(RetryPolicy::new(doubling(500, 32_000)), 7), 32_000);

/// Timer E from T1 = 500 ms to T2 = 4 s, Timer F after 64·T1.
const SIP_NON_INVITE: RetryPolicy = ended(limited(RetryPolicy::new(doubling(500, 4_000)), 11), 32_000);

/// IRT 2 s, MRC 5, MRT 16 s, MRD 30 s.
const RADIUS: RetryPolicy = ended(limited(randomized(2_000, 16_000), 5), 30_000);

/// SOL_TIMEOUT 1 s, SOL_MAX_RT 3600 s, no end; the first RAND is positive, so no wait is below SOL_TIMEOUT.
const DHCPV6_SOLICIT: RetryPolicy = {
    let backoff = randomized(1_000, 3_600_000).backoff;
    let policy = RetryPolicy::new(valid_backoff(backoff.with_floor(Duration::from_secs(1))));
    delayed(limited(policy, ENDLESS))
};

/// REQ_TIMEOUT 1 s, REQ_MAX_RT 30 s, REQ_MAX_RC 10.
const DHCPV6_REQUEST: RetryPolicy = limited(randomized(1_000, 30_000), 10);

/// CNF_TIMEOUT 1 s, CNF_MAX_RT 4 s, CNF_MAX_RD 10 s.
const DHCPV6_CONFIRM: RetryPolicy = delayed(ended(limited(randomized(1_000, 4_000), ENDLESS), 10_000));

/// REN_TIMEOUT 10 s, REN_MAX_RT 600 s, until T2.
const DHCPV6_RENEW: RetryPolicy = limited(randomized(10_000, 600_000), ENDLESS);

/// INF_TIMEOUT 1 s, INF_MAX_RT 3600 s, no end.
const DHCPV6_INFORMATION_REQUEST: RetryPolicy = delayed(limited(randomized(1_000, 3_600_000), ENDLESS));

/// REL_TIMEOUT 1 s, REL_MAX_RC 4. No MRT: its longest wait, 10.2 s, lies far below the cap.
const DHCPV6_RELEASE: RetryPolicy = limited(randomized(1_000, 60_000), 4);

/// 4 s doubling to 64 s, each a second more or less.
const DHCPV4: RetryPolicy =
    RetryPolicy::new(jittered(doubling(4_000, 65_000), Jitter::plus_minus(Duration::from_secs(1))));

/// 15·2ⁿ seconds, n from 0 to 8.
const BITTORRENT_TRACKER: RetryPolicy = limited(RetryPolicy::new(doubling(15_000, 3_840_000)), 9);

const DNS: RetryPolicy = limited(RetryPolicy::new(doubling(2_000, 8_000)), 3);

const ENDLESS: u32 = u32::MAX;

/// The RT of RFC 5080 §2.2.1 and RFC 9915 §15: from IRT, RAND of ±0.1, up to MRT, which is jittered on top.
const fn randomized(irt_ms: u64, mrt_ms: u64) -> RetryPolicy {
    RetryPolicy::new(jittered(doubling(irt_ms, mrt_ms + mrt_ms / 10), Jitter::compounding(0.9, 1.1)))
}

const fn doubling(initial_ms: u64, max_ms: u64) -> Backoff {
    valid_backoff(Backoff::exponential(Duration::from_millis(initial_ms), Duration::from_millis(max_ms)))
}

const fn jittered(backoff: Backoff, jitter: Result<Jitter, PolicyError>) -> Backoff {
    match jitter {
        Ok(jitter) => valid_backoff(backoff.with_jitter(jitter)),
        Err(error) => valid_backoff(Err(error)),
    }
}

const fn limited(policy: RetryPolicy, transmissions: u32) -> RetryPolicy {
    valid(policy.with_max_transmissions(transmissions))
}

const fn ended(policy: RetryPolicy, deadline_ms: u64) -> RetryPolicy {
    valid(policy.with_deadline(Duration::from_millis(deadline_ms)))
}

/// The random pause before the first transmission of RFC 9915 §18.2.
const fn delayed(policy: RetryPolicy) -> RetryPolicy {
    valid(policy.with_start_delay(Duration::ZERO, Duration::from_secs(1)))
}

#[expect(clippy::panic, reason = "evaluated at compile time only: a preset that breaks a rule does not compile")]
const fn valid(policy: Result<RetryPolicy, PolicyError>) -> RetryPolicy {
    match policy {
        Ok(policy) => policy,
        Err(_) => panic!("a preset breaks a rule"),
    }
}

#[expect(clippy::panic, reason = "as above")]
const fn valid_backoff(backoff: Result<Backoff, PolicyError>) -> Backoff {
    match backoff {
        Ok(backoff) => backoff,
        Err(_) => panic!("a preset breaks a rule"),
    }
}
