//! The machine that does what impairments say: a datagram goes in, its fate comes out.

pub(super) mod copies;
pub(super) mod delay_line;
pub(super) mod fate;
pub(super) mod link_pair;
pub(super) mod packets;
mod queue;
mod seeds;
pub(super) mod stats;
pub(super) mod transit;

use self::fate::{Deliveries, Delivery, DropCause, Fate};
use self::packets::Packets;
use self::queue::Queue;
use self::seeds::Seeds;
use self::stats::LinkStats;
use crate::entropy::Seed;
use crate::fault::impairment::delay::DelayState;
use crate::fault::impairment::dose::DoseState;
use crate::fault::impairment::impairments::Impairments;
use crate::fault::impairment::loss::LossState;
use crate::fault::impairment::mtu::Oversize;
use crate::fault::impairment::script::Rule;
use crate::size::{IpFamily, Plpmtu, Pmtu};
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
/// A decision takes some 15 ns with nothing to do and some 140 ns with every stage on, and allocates nothing
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
    /// Where the times of outages and changes count from.
    origin: Timestamp,
    family: IpFamily,
    queue: Queue,
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
            origin: Timestamp::ZERO,
            family: IpFamily::V4,
            queue: Queue::default(),
            loss: LossState::default(),
            delay: DelayState::default(),
            in_order: Timestamp::ZERO,
            dose: DoseState::default(),
            stats: LinkStats::default(),
        }
    }

    /// Counts the times of outages and changes from this moment; from the origin of the timestamps by default.
    #[must_use]
    pub fn since(self, origin: Timestamp) -> Self {
        Self { origin, ..self }
    }

    /// Counts headers as between addresses of this family: 28 bytes for IPv4, the default, 48 for IPv6. What the
    /// impairments say of headers has the last word.
    #[must_use]
    pub fn over(self, family: IpFamily) -> Self {
        Self { family, ..self }
    }

    /// Decides what becomes of a datagram that enters at `now`.
    pub fn transmit(&mut self, now: Timestamp, datagram: &[u8]) -> Fate {
        self.transmit_len(now, datagram.len(), |_| true)
    }

    /// Like [`transmit`](Self::transmit), for a datagram known by length only: contents decide nothing.
    ///
    /// `admits` is asked of one copy after the other whether the caller can keep it until it arrives.
    #[inline]
    pub(in crate::fault) fn transmit_len(
        &mut self,
        now: Timestamp,
        whole: usize,
        admits: impl FnMut(&Delivery) -> bool,
    ) -> Fate {
        self.transmit_packets(now, whole, Packets::WHOLE, &mut None, None::<fn(Fate) -> Fate>, admits)
    }

    /// Like [`transmit_len`](Self::transmit_len), for a datagram in other packets than a whole one, and with the MTU that
    /// a router reports of it. `choose` may replace what the stages have decided, within the dose.
    #[inline]
    pub(crate) fn transmit_packets(
        &mut self,
        now: Timestamp,
        whole: usize,
        packets: Packets,
        reported: &mut Option<Pmtu>,
        choose: Option<impl FnOnce(Fate) -> Fate>,
        mut admits: impl FnMut(&Delivery) -> bool,
    ) -> Fate {
        let since = now.since_ns(self.origin);
        let mut course = Course { now, since, len: whole, packets, reported: None, waited: 0, delayed: 0, alone: true };
        let arrival = self.arrival(&mut course);
        // Most datagrams. Each fate is made where it is returned, as moving it takes as long as the decision.
        if let (Ok(at), true, None) = (&arrival, course.alone && course.len == whole, &choose) {
            let copy = Delivery::whole(*at, whole);
            if admits(&copy) {
                self.dose.note(false, false);
                self.stats.count_whole();
                *reported = None;
                return Fate::Delivered(Deliveries::one(copy));
            }
        }
        let fate = self.impair(arrival, &mut course, whole, choose, admits);
        *reported = course.reported;
        fate
    }

    /// Sets the impairments from the next datagram on. Numbers, the states of chains, the queue and the order of the
    /// datagrams in flight stay, and the times in the impairments count from where they did.
    ///
    /// What entered before keeps its fate: what waits in the queue leaves when it was to leave, also if the rate is
    /// another one now. A rate that changes while datagrams wait for it belongs into the impairments themselves, by
    /// [`Impairments::with_change`] or a [`RateTrace`](super::RateTrace). What comes next waits for what is in flight,
    /// also if nothing else holds it up; [`release`](Self::release) ends that.
    pub fn reconfigure(&mut self, impairments: Impairments) {
        if self.impairments.pace() != impairments.pace() {
            self.queue.end_pace(self.impairments.pace());
        }
        self.impairments = impairments;
    }

    /// Forgets what waits and what is in flight, for a caller who delivers it at once or drops it: the queue is empty, and
    /// the next datagram waits for nothing that entered before. Numbers and the states of chains stay.
    pub fn release(&mut self) {
        self.queue = Queue::default();
        self.in_order = Timestamp::ZERO;
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

    /// When the datagram itself arrives: one stage a line, in the order of the drawing.
    #[inline]
    fn arrival(&mut self, course: &mut Course) -> Result<Timestamp, Taken> {
        let Self { impairments: all, seeds, origin: _, family, queue, loss, delay, in_order, stats, dose: _ } = self;
        let Course { now, since, packets, .. } = *course;
        let impairments = all.during(since);
        let headers = impairments.headers_over(packets.family.unwrap_or(*family));
        let sequence = stats.received;
        let rules = impairments.script().of(sequence.saturating_add(1));
        // Chains move on with every datagram, also with those that an earlier stage takes: else adding that stage
        // would change what the later ones do to all that follow.
        let lost = loss.loses(impairments.loss_model(), &seeds.loss, sequence);
        course.delayed = impairments.delay().map_or(0, |model| delay.draw(model, &seeds.delay, sequence));
        course.alone = copies::is_alone(impairments, seeds, sequence, rules);
        stats.scripted += u64::from(!rules.is_empty());

        script(rules)?;
        outage(impairments, since)?;
        // It shrinks to what the MTU leaves.
        course.len = mtu(impairments, headers, course, stats)?;
        let bytes = course.len.saturating_add(headers as usize);
        course.waited = bottleneck(all, impairments, queue, since, bytes)?;
        if lost {
            return Err(Taken::Dropped(DropCause::Loss));
        }
        let arrived = keep_order(impairments, in_order, now.after_ns(course.waited).after_ns(course.delayed));
        let released = hold_back(impairments, seeds, sequence, stats, arrived);
        Ok(script_delay(rules, released))
    }

    /// The fate of a datagram that does not simply arrive, or that the caller decides over.
    #[inline(never)]
    fn impair(
        &mut self,
        arrival: Result<Timestamp, Taken>,
        course: &mut Course,
        whole: usize,
        choose: Option<impl FnOnce(Fate) -> Fate>,
        admits: impl FnMut(&Delivery) -> bool,
    ) -> Fate {
        let mut fate = match arrival {
            Ok(at) => Fate::Delivered(Deliveries::one(Delivery::whole(at, course.len))),
            Err(Taken::Dropped(cause)) => Fate::Dropped(cause),
            Err(Taken::TooBig { limit }) => Fate::TooBig { limit },
        };
        if let (Fate::Delivered(copies), false) = (&mut fate, course.alone) {
            let (impairments, sequence) = (self.impairments.during(course.since), self.stats.received);
            let rules = impairments.script().of(sequence.saturating_add(1));
            copies::add(impairments, &self.seeds, copies, sequence, rules);
        }
        if let Some(choose) = choose {
            fate = choose(fate);
        }
        self.keep_to_dose(&mut fate, whole, course);
        let refused = fate.keep(admits);
        self.dose.note(!fate.is_harmless(whole), !matches!(fate, Fate::Delivered(_)));
        self.stats.count(&fate, course.len, refused);
        fate
    }

    /// The datagram whole and once if its fate would be too much.
    #[inline]
    fn keep_to_dose(&mut self, fate: &mut Fate, whole: usize, course: &mut Course) {
        let Some(dose) = self.impairments.during(course.since).dose() else { return };
        let allowed = fate.is_harmless(whole) || self.dose.allows(dose, !matches!(fate, Fate::Delivered(_)));
        if !allowed {
            *fate = self.spare(fate, whole, course);
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
        let at = at.unwrap_or_else(|| {
            let arrived = course.now.after_ns(course.waited).after_ns(course.delayed);
            keep_order(impairments.during(course.since), in_order, arrived)
        });
        stats.spared += 1;
        stats.clamped -= u64::from(course.len < whole);
        (course.len, course.reported) = (whole, None);
        Fate::Delivered(Deliveries::one(Delivery::whole(at, whole)))
    }
}

/// What the stages have done to a datagram so far.
struct Course {
    now: Timestamp,
    /// The same, from the origin of the times in impairments.
    since: Ns,
    /// Its bytes: fewer than there were, once the MTU has truncated it.
    len: usize,
    packets: Packets,
    /// The MTU that a router reports of it.
    reported: Option<Pmtu>,
    /// Until the bottleneck had sent it.
    waited: Ns,
    delayed: Ns,
    /// Nothing makes a copy of it or damages it.
    alone: bool,
}

/// How a datagram ends that does not arrive.
enum Taken {
    Dropped(DropCause),
    TooBig { limit: Plpmtu },
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
fn outage(impairments: &Impairments, now: Ns) -> Result<(), Taken> {
    match impairments.outages().iter().any(|outage| outage.covers(now)) {
        true => Err(Taken::Dropped(DropCause::Outage)),
        false => Ok(()),
    }
}

/// How many bytes go on.
#[inline]
fn mtu(impairments: &Impairments, headers: u32, course: &mut Course, stats: &mut LinkStats) -> Result<usize, Taken> {
    let Course { len, packets, .. } = *course;
    let Some(mtu) = impairments.mtu() else { return Ok(len) };
    let limit = mtu.limit(headers);
    match mtu.oversize() {
        _ if mtu.carries(len, headers) || packets.pass(mtu) => Ok(len),
        Oversize::Error => Err(Taken::TooBig { limit }),
        Oversize::Truncate if mtu.carries(0, headers) => {
            stats.clamped += 1;
            Ok(limit.bytes())
        }
        Oversize::Report => {
            course.reported = Some(mtu.pmtu());
            Err(Taken::Dropped(DropCause::Mtu))
        }
        // Not even the headers fit, or the path says nothing.
        Oversize::Truncate | Oversize::Drop => Err(Taken::Dropped(DropCause::Mtu)),
    }
}

/// How long the bottleneck takes until it has sent all these bytes.
#[inline]
fn bottleneck(all: &Impairments, present: &Impairments, queue: &mut Queue, now: Ns, bytes: usize) -> Result<Ns, Taken> {
    let (Some(hop), Some(pace)) = (present.bottleneck(), all.pace()) else { return Ok(0) };
    match queue.pass(hop, pace, now, bytes) {
        Some(sent) => Ok(sent - now),
        None => Err(Taken::Dropped(DropCause::Queue)),
    }
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
