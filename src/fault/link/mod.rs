//! The machine that does what impairments say: a datagram goes in, its fate comes out.

pub(super) mod copies;
pub(super) mod delay_line;
pub(super) mod fate;
pub(super) mod link_pair;
mod seeds;
pub(super) mod stats;
pub(super) mod transit;

use self::fate::{Deliveries, Delivery, DropCause, Fate};
use self::seeds::Seeds;
use self::stats::LinkStats;
use crate::entropy::Seed;
use crate::fault::impairment::bottleneck::BottleneckState;
use crate::fault::impairment::damage::Flips;
use crate::fault::impairment::delay::DelayState;
use crate::fault::impairment::dose::DoseState;
use crate::fault::impairment::impairments::Impairments;
use crate::fault::impairment::loss::LossState;
use crate::fault::impairment::mtu::{MtuClamp, Oversize};
use crate::fault::impairment::script::Rule;
use crate::size::{Plpmtu, Pmtu};
use crate::time::{Ns, Timestamp};

/// One direction of one path: a datagram goes in, its [`Fate`] comes out.
///
/// ```text
///        ┌────────┐ ┌────────┐ ┌─────┐ ┌────────────┐ ┌──────┐ ┌───────────┐ ┌──────────┐ ┌────────┐ ┌─────────┐
///  ─────▶│ script ├▶│ outage ├▶│ mtu ├▶│ bottleneck ├▶│ loss ├▶│ duplicate ├▶│ truncate,├▶│ delay, ├▶│ reorder ├─▶
///        └───┬────┘ └───┬────┘ └──┬──┘ └─────┬──────┘ └──┬───┘ └───────────┘ │ corrupt  │ │ jitter │ │  hold   │
///            ▼          ▼         ▼          ▼           ▼                   └──────────┘ └────────┘ └─────────┘
/// ```
///
/// The order is fixed: a datagram that is lost behind the bottleneck has used its capacity; one that is lost has no
/// copies; each copy is damaged independently. What all of them would do passes the [`Dose`](super::Dose), if there is
/// one, which may deliver the datagram unharmed instead.
///
/// Pure: the time is an argument, and each stage decides over datagram number n by seed and n alone. So the other
/// stages, other links and a look at the counters change nothing, and a stage that is added leaves the decisions of
/// the others as they were. [`reconfigure`](Self::reconfigure) keeps every state.
///
/// A decision takes some 30 ns with nothing to do and some 190 ns with every stage on, and allocates nothing
/// (`taskset -c 0 cargo bench --features proxy --bench link`).
///
/// ```
/// use udp_retry::fault::{Fate, Link};
/// use udp_retry::time::Timestamp;
/// use udp_retry::{Impairments, Probability, Seed};
///
/// let mut link = Link::new(Impairments::loss(Probability::HALF), Seed::new(7));
/// let delivered = (0..1000).filter(|_| matches!(link.transmit(Timestamp::ZERO, b"ping"), Fate::Delivered(_))).count();
/// assert_eq!(delivered as u64, link.stats().delivered);
/// assert!((400..600).contains(&delivered));
/// ```
#[derive(Clone, Debug)]
pub struct Link {
    impairments: Impairments,
    seeds: Seeds,
    bottleneck: BottleneckState,
    loss: LossState,
    delay: DelayState,
    /// The latest arrival of those that do not overtake.
    in_order: Timestamp,
    dose: DoseState,
    stats: LinkStats,
}

impl Link {
    /// A link that has carried nothing yet.
    ///
    /// To get the fates that a [`LossySink`](super::LossySink) or the proxy deals out, derive the seed as they do, by
    /// [`Direction::link_seed`](crate::fault::Direction::link_seed).
    #[must_use]
    pub fn new(impairments: Impairments, seed: Seed) -> Self {
        Self {
            impairments,
            seeds: Seeds::new(seed),
            bottleneck: BottleneckState::default(),
            loss: LossState::default(),
            delay: DelayState::default(),
            in_order: Timestamp::ZERO,
            dose: DoseState::default(),
            stats: LinkStats::default(),
        }
    }

    /// Decides what becomes of a datagram that enters at `now`.
    pub fn transmit(&mut self, now: Timestamp, datagram: &[u8]) -> Fate {
        self.transmit_len(now, datagram.len(), |fate| fate, |_| true)
    }

    /// Like [`transmit`](Self::transmit), for a datagram known by length only: contents decide nothing.
    ///
    /// `choose` may replace what the stages have decided, within the dose. `admits` is asked of one copy after the
    /// other whether the caller can keep it until it arrives.
    #[inline]
    pub(in crate::fault) fn transmit_len(
        &mut self,
        now: Timestamp,
        whole: usize,
        choose: impl FnOnce(Fate) -> Fate,
        admits: impl FnMut(&Delivery) -> bool,
    ) -> Fate {
        self.transmit_packets(now, whole, Packets::WHOLE, &mut None, choose, admits)
    }

    /// Like [`transmit_len`](Self::transmit_len), for a datagram in other packets than a whole one, and with the MTU that
    /// a router reports of it.
    #[inline]
    pub(crate) fn transmit_packets(
        &mut self,
        now: Timestamp,
        whole: usize,
        packets: Packets,
        reported: &mut Option<Pmtu>,
        choose: impl FnOnce(Fate) -> Fate,
        admits: impl FnMut(&Delivery) -> bool,
    ) -> Fate {
        let mut course = Course { len: whole, packets, reported: None, sent: now, delayed: 0 };
        let fate = choose(self.decide(now, &mut course));
        let mut fate = self.within_dose(fate, whole, &mut course);
        let refused = fate.keep(admits);
        self.dose.note(!fate.is_harmless(whole), !matches!(fate, Fate::Delivered(_)));
        self.stats.count(&fate, course.len, refused);
        *reported = course.reported;
        fate
    }

    /// Sets the impairments from the next datagram on. Numbers, the states of chains, the queue and the order of the
    /// datagrams in flight stay.
    pub fn reconfigure(&mut self, impairments: Impairments) {
        self.impairments = impairments;
    }

    /// What it does to datagrams.
    #[must_use]
    pub const fn impairments(&self) -> &Impairments {
        &self.impairments
    }

    /// What became of the datagrams so far.
    #[must_use]
    pub const fn stats(&self) -> &LinkStats {
        &self.stats
    }

    /// One stage a line, in the order of the drawing.
    fn decide(&mut self, now: Timestamp, course: &mut Course) -> Fate {
        let Self { impairments, seeds, bottleneck, loss, delay, in_order, stats, dose: _ } = self;
        let sequence = stats.received;
        let rules = impairments.script().of(sequence.saturating_add(1));
        // Chains move on with every datagram, also with those that an earlier stage takes: else adding that stage
        // would change what the later ones do to all that follow.
        let lost = loss.loses(impairments.loss_model(), seeds.loss, sequence);
        course.delayed = impairments.delay().map_or(0, |model| delay.draw(model, seeds.delay, sequence));
        stats.scripted += u64::from(!rules.is_empty());

        // Only the datagram itself passes through the results: a fate is ten times as large.
        let mut arrive = || {
            script(rules)?;
            outage(impairments, now)?;
            course.len = mtu(impairments, course.len, course.packets, &mut course.reported, stats)?;
            course.sent = queue(impairments, bottleneck, now, course.len)?;
            if lost {
                return Err(Taken::Dropped(DropCause::Loss));
            }
            let arrived = keep_order(impairments, in_order, course.sent.after_ns(course.delayed));
            let released = hold_back(impairments, seeds, sequence, stats, arrived);
            let at = script_delay(rules, released);
            Ok(Delivery { at, len: course.len, flips: Flips::default() })
        };
        match arrive() {
            Ok(first) => Fate::Delivered(copies::of(impairments, seeds, first, sequence, rules)),
            Err(taken) => Fate::from(taken),
        }
    }

    /// The fate, or the datagram whole and once if that would be too much.
    #[inline]
    fn within_dose(&mut self, fate: Fate, whole: usize, course: &mut Course) -> Fate {
        match self.impairments.dose() {
            Some(dose) if !fate.is_harmless(whole) => {
                let dropped = !matches!(fate, Fate::Delivered(_));
                if self.dose.allows(dose, dropped) { fate } else { self.spare(&fate, whole, course) }
            }
            _ => fate,
        }
    }

    /// Undoes what has harmed the datagram, the counts of the stages included; not what has delayed it.
    #[cold]
    fn spare(&mut self, fate: &Fate, whole: usize, course: &mut Course) -> Fate {
        let at = match fate {
            Fate::Delivered(copies) => copies.as_slice().first().map(|copy| copy.at),
            Fate::Dropped(_) | Fate::TooBig { .. } => None,
        };
        let Self { impairments, in_order, stats, .. } = self;
        // One that was lost has not been put in order yet.
        let at = at.unwrap_or_else(|| keep_order(impairments, in_order, course.sent.after_ns(course.delayed)));
        stats.spared += 1;
        stats.clamped -= u64::from(course.len < whole);
        (course.len, course.reported) = (whole, None);
        Fate::Delivered(Deliveries::one(Delivery::whole(at, whole)))
    }
}

/// What the stages have done to a datagram so far.
struct Course {
    /// Its bytes: fewer than there were, once the MTU has truncated it.
    len: usize,
    packets: Packets,
    /// The MTU that a router reports of it.
    reported: Option<Pmtu>,
    /// When it has left the bottleneck.
    sent: Timestamp,
    delayed: Ns,
}

/// How a datagram goes into IP packets: the MTU judges those.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packets {
    /// Its sender has split it into packets of at most this size.
    pub(crate) fragment: Option<Pmtu>,
    /// Routers may split them further.
    pub(crate) divisible: bool,
}

impl Packets {
    /// One packet, which no router splits.
    pub(crate) const WHOLE: Self = Self { fragment: None, divisible: false };

    fn pass(self, clamp: &MtuClamp) -> bool {
        let divided = self.divisible && matches!(clamp.oversize(), Oversize::Drop | Oversize::Report);
        divided || self.fragment.is_some_and(|largest| largest <= clamp.pmtu())
    }
}

/// How a datagram ends that does not arrive.
enum Taken {
    Dropped(DropCause),
    TooBig { limit: Plpmtu },
}

impl From<Taken> for Fate {
    fn from(taken: Taken) -> Self {
        match taken {
            Taken::Dropped(cause) => Self::Dropped(cause),
            Taken::TooBig { limit } => Self::TooBig { limit },
        }
    }
}

#[inline]
fn script(rules: &[(u64, Rule)]) -> Result<(), Taken> {
    match rules {
        [(_, Rule::Drop), ..] => Err(Taken::Dropped(DropCause::Script)),
        [(_, Rule::Refuse { limit }), ..] => Err(Taken::TooBig { limit: Plpmtu::new(*limit) }),
        _ => Ok(()),
    }
}

#[inline]
fn outage(impairments: &Impairments, now: Timestamp) -> Result<(), Taken> {
    match impairments.outages().iter().any(|outage| outage.covers(now)) {
        true => Err(Taken::Dropped(DropCause::Outage)),
        false => Ok(()),
    }
}

/// How many bytes go on.
#[inline]
fn mtu(
    impairments: &Impairments,
    len: usize,
    packets: Packets,
    reported: &mut Option<Pmtu>,
    stats: &mut LinkStats,
) -> Result<usize, Taken> {
    let Some(mtu) = impairments.mtu() else { return Ok(len) };
    let headers = impairments.headers();
    let limit = mtu.limit(headers);
    match mtu.oversize() {
        _ if mtu.carries(len, headers) || packets.pass(mtu) => Ok(len),
        Oversize::Error => Err(Taken::TooBig { limit }),
        Oversize::Truncate if mtu.carries(0, headers) => {
            stats.clamped += 1;
            Ok(limit.bytes())
        }
        Oversize::Report => {
            *reported = Some(mtu.pmtu());
            Err(Taken::Dropped(DropCause::Mtu))
        }
        // Not even the headers fit, or the path says nothing.
        Oversize::Truncate | Oversize::Drop => Err(Taken::Dropped(DropCause::Mtu)),
    }
}

/// When the bottleneck has sent it.
#[inline]
fn queue(
    impairments: &Impairments,
    bottleneck: &mut BottleneckState,
    now: Timestamp,
    len: usize,
) -> Result<Timestamp, Taken> {
    let Some(hop) = impairments.bottleneck() else { return Ok(now) };
    let bytes = len.saturating_add(impairments.headers() as usize);
    bottleneck.pass(hop, now, bytes).ok_or(Taken::Dropped(DropCause::Queue))
}

/// Jitter does not reorder by default: no datagram arrives before the one in front of it.
#[inline]
fn keep_order(impairments: &Impairments, in_order: &mut Timestamp, at: Timestamp) -> Timestamp {
    if impairments.delay().is_some_and(|model| model.is_unordered()) {
        return at;
    }
    *in_order = at.max(*in_order);
    *in_order
}

/// The reorder stage holds some back, behind `in_order`, so that others overtake them.
#[inline]
fn hold_back(
    impairments: &Impairments,
    seeds: &Seeds,
    sequence: u64,
    stats: &mut LinkStats,
    at: Timestamp,
) -> Timestamp {
    match impairments.reorder() {
        Some(reorder) if reorder.probability().happens(seeds.reorder.draw(sequence)) => {
            stats.held += 1;
            at.after_ns(reorder.hold())
        }
        _ => at,
    }
}

#[inline]
fn script_delay(rules: &[(u64, Rule)], at: Timestamp) -> Timestamp {
    rules.iter().fold(at, |at, (_, rule)| match rule {
        Rule::Delay { by } => at.after(*by),
        _ => at,
    })
}
