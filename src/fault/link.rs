use core::{fmt, slice};

use super::bottleneck::BottleneckState;
use super::delay::DelayState;
use super::loss::LossState;
use super::{Flips, Impairments, LinkStats, Oversize, Rule};
use crate::entropy::Seed;
use crate::size::Plpmtu;
use crate::time::Timestamp;

/// One direction of one path: a datagram goes in, its [`Fate`] comes out.
///
/// ```text
///        ┌────────┐ ┌────────┐ ┌─────┐ ┌────────────┐ ┌──────┐ ┌───────────┐ ┌──────────┐ ┌────────┐ ┌─────────┐
///  ─────▶│ script ├▶│ outage ├▶│ mtu ├▶│ bottleneck ├▶│ loss ├▶│ duplicate ├▶│ truncate,├▶│ delay, ├▶│ reorder ├─▶
///        └───┬────┘ └───┬────┘ └──┬──┘ └─────┬──────┘ └──┬───┘ └───────────┘ │ corrupt  │ │ jitter │ │  hold   │
///            ▼          ▼         ▼          ▼           ▼                   └──────────┘ └────────┘ └─────────┘
/// ```
///
/// The order is fixed: what is lost behind the bottleneck has used its capacity; what is lost has no copies; each
/// copy is damaged for itself.
///
/// Pure: the time is an argument, and each stage decides over datagram number n by seed and n alone. So the other
/// stages, other links and a look at the counters change nothing, and a stage that is added leaves the decisions of
/// the others as they were. [`reconfigure`](Self::reconfigure) keeps every state.
///
/// A decision takes some 30 ns with nothing to do and some 190 ns with every stage on, and allocates nothing
/// (`taskset -c 0 cargo bench --bench link`).
///
/// ```
/// use udp_retry::fault::{Fate, Link};
/// use udp_retry::time::Timestamp;
/// use udp_retry::{Impairments, Probability, Seed};
///
/// let mut link = Link::new(Impairments::loss(Probability::HALF), Seed(7));
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
    stats: LinkStats,
}

/// Which way a link leads, as the client sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "there are two")]
pub enum Direction {
    /// Requests.
    ToServer,
    /// Replies.
    ToClient,
}

/// What becomes of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fate {
    /// It arrives, perhaps more than once.
    Delivered(Deliveries),
    /// It does not.
    Dropped(DropCause),
    /// It does not, and whoever sent it on this host is told that so many bytes would fit.
    TooBig {
        /// The largest payload.
        limit: Plpmtu,
    },
}

/// Why a datagram does not arrive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum DropCause {
    /// The script says so.
    Script,
    /// Nothing passes at that time.
    Outage,
    /// It exceeds the MTU.
    Mtu,
    /// The queue of the bottleneck is full.
    Queue,
    /// The loss model took it.
    Loss,
}

/// The copies of a datagram that arrive: at least the datagram itself.
#[derive(Clone, Copy)]
pub struct Deliveries {
    copies: [Delivery; MOST_COPIES],
    count: u8,
}

/// One copy of a datagram, at the other end of the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// When it arrives.
    pub at: Timestamp,
    /// Bytes that are left of it.
    pub len: usize,
    /// The bits that flipped.
    pub flips: Flips,
}

impl Link {
    /// A link that has not carried anything yet.
    ///
    /// Whoever wants the fates that a [`LossySink`](super::LossySink) or the proxy deals out derives the seed as they
    /// do, by [`Direction::link_seed`].
    #[must_use]
    pub fn new(impairments: Impairments, seed: Seed) -> Self {
        Self {
            impairments,
            seeds: Seeds::new(seed),
            bottleneck: BottleneckState::default(),
            loss: LossState::default(),
            delay: DelayState::default(),
            in_order: Timestamp::ZERO,
            stats: LinkStats::default(),
        }
    }

    /// Decides what becomes of a datagram that enters at `now`.
    pub fn transmit(&mut self, now: Timestamp, datagram: &[u8]) -> Fate {
        self.transmit_len(now, datagram.len())
    }

    /// Of a datagram that is not at hand as a whole: contents decide nothing.
    pub(super) fn transmit_len(&mut self, now: Timestamp, mut len: usize) -> Fate {
        let fate = self.decide(now, &mut len);
        self.stats.count(&fate, len);
        fate
    }

    /// From the next datagram on, these impairments. Numbers, the states of chains, the queue and the order of what
    /// is on its way stay.
    pub fn reconfigure(&mut self, impairments: Impairments) {
        self.impairments = impairments;
    }

    /// What it does.
    #[must_use]
    pub const fn impairments(&self) -> &Impairments {
        &self.impairments
    }

    /// What became of the datagrams so far.
    #[must_use]
    pub const fn stats(&self) -> &LinkStats {
        &self.stats
    }

    /// `len` shrinks to what the MTU leaves.
    fn decide(&mut self, now: Timestamp, len: &mut usize) -> Fate {
        let Self { impairments, seeds, bottleneck, loss, delay, in_order, stats } = self;
        let sequence = stats.received;
        let rules = impairments.script().of(sequence.saturating_add(1));
        // Chains move on with every datagram, also with those that other stages take.
        let lost = loss.loses(impairments.loss_model(), seeds.loss, sequence);
        let delay = impairments.delay().map_or(0, |model| delay.draw(model, seeds.delay, sequence));

        match rules {
            [(_, Rule::Drop), ..] => return Fate::Dropped(DropCause::Script),
            [(_, Rule::Refuse { limit }), ..] => return Fate::TooBig { limit: Plpmtu::new(*limit) },
            _ => {}
        }
        if impairments.outages().iter().any(|outage| outage.covers(now)) {
            return Fate::Dropped(DropCause::Outage);
        }
        if let Some(mtu) = impairments.mtu() {
            let headers = impairments.headers();
            let limit = mtu.limit(headers);
            match mtu.oversize() {
                _ if mtu.carries(*len, headers) => {}
                Oversize::Error => return Fate::TooBig { limit },
                Oversize::Truncate if mtu.carries(0, headers) => {
                    *len = limit.bytes();
                    stats.clamped += 1;
                }
                // Not even the headers fit, or nobody is told.
                Oversize::Truncate | Oversize::Drop => return Fate::Dropped(DropCause::Mtu),
            }
        }
        let mut at = now;
        if let Some(hop) = impairments.bottleneck() {
            let bytes = (*len).saturating_add(impairments.headers() as usize);
            match bottleneck.pass(hop, now, bytes) {
                Some(sent) => at = sent,
                None => return Fate::Dropped(DropCause::Queue),
            }
        }
        if lost {
            return Fate::Dropped(DropCause::Loss);
        }

        at = at.after_ns(delay);
        if !impairments.delay().is_some_and(|model| model.is_unordered()) {
            at = at.max(*in_order);
            *in_order = at;
        }
        if let Some(reorder) = impairments.reorder().filter(|it| it.probability().happens(seeds.reorder.draw(sequence)))
        {
            at = at.after_ns(reorder.hold());
            stats.held += 1;
        }
        for (_, rule) in rules {
            if let Rule::Delay { by } = rule {
                at = at.after(*by);
            }
        }
        let first = Delivery { at, len: *len, flips: Flips::default() };
        Fate::Delivered(copies(impairments, seeds, first, sequence, rules))
    }
}

/// The datagram itself and its duplicates, each damaged for itself.
fn copies(
    impairments: &Impairments,
    seeds: &Seeds,
    first: Delivery,
    sequence: u64,
    rules: &[(u64, Rule)],
) -> Deliveries {
    let mut deliveries = Deliveries::one(first);
    for (_, rule) in rules {
        if let Rule::Duplicate { after } = rule {
            deliveries.push(Delivery { at: first.at.after(*after), ..first });
        }
    }
    if let (1, Some(duplicate)) = (deliveries.count, impairments.duplicate()) {
        if duplicate.probability().happens(seeds.duplicate.draw(sequence)) {
            let late = duplicate.lateness().map_or(0, |law| law.draw(seeds.lateness, sequence));
            deliveries.push(Delivery { at: first.at.after_ns(late), ..first });
        }
    }
    if !rules.is_empty() || impairments.truncate().is_some() || impairments.corrupt().is_some() {
        for (n, copy) in (0..).zip(deliveries.as_mut_slice()) {
            damage(impairments, seeds, copy, n, sequence, rules);
        }
    }
    deliveries
}

/// Cuts before it flips, so that every flip shows.
fn damage(
    impairments: &Impairments,
    seeds: &Seeds,
    delivery: &mut Delivery,
    n: u8,
    sequence: u64,
    rules: &[(u64, Rule)],
) {
    let cut = rules.iter().find_map(|(_, rule)| match rule {
        Rule::Truncate { copy, to } if *copy == n => Some(usize::from(*to)),
        _ => None,
    });
    delivery.len = match (cut, impairments.truncate()) {
        (Some(to), _) => delivery.len.min(to),
        (None, Some(truncate)) => truncate.cut(seeds.truncate.derive(n.into()), sequence, delivery.len),
        (None, None) => delivery.len,
    };
    for (_, rule) in rules {
        match rule {
            Rule::Corrupt { copy, bit } if *copy == n && (*bit as usize) < delivery.len.saturating_mul(8) => {
                delivery.flips.push((*bit).into());
            }
            _ => {}
        }
    }
    if let (true, Some(corrupt)) = (delivery.flips.as_slice().is_empty(), impairments.corrupt()) {
        delivery.flips = corrupt.flips(seeds.corrupt.derive(n.into()), sequence, delivery.len);
    }
}

impl Fate {
    /// What becomes of a datagram where nothing is lost, doubled or damaged: it takes the mean delay.
    pub(crate) fn plain(now: Timestamp, impairments: &Impairments, len: usize) -> Self {
        let delay = impairments.delay().map(|model| model.law().mean()).unwrap_or_default();
        Self::Delivered(Deliveries::one(Delivery::whole(now.after(delay), len)))
    }

    /// Whether it arrives once and whole, as the plain one does.
    pub(crate) fn is_harmless(&self, plain: &Self) -> bool {
        match (self, plain) {
            (Self::Delivered(copies), Self::Delivered(whole)) => match (copies.as_slice(), whole.as_slice()) {
                ([copy], [whole]) => copy.len == whole.len && copy.flips == whole.flips,
                _ => false,
            },
            _ => false,
        }
    }

    /// All of them, so much later.
    pub(crate) fn late(copies: &Deliveries, by: core::time::Duration) -> Self {
        let mut late = *copies;
        for copy in late.as_mut_slice() {
            copy.at = copy.at.after(by);
        }
        Self::Delivered(late)
    }

    /// The plain fate, at this one's time if it has one.
    pub(crate) fn healed(&self, plain: &Self) -> Self {
        match (self, plain) {
            (Self::Delivered(copies), Self::Delivered(whole)) => match (copies.as_slice(), whole.as_slice()) {
                ([copy, ..], [whole, ..]) => Self::Delivered(Deliveries::one(Delivery { at: copy.at, ..*whole })),
                _ => *plain,
            },
            _ => *plain,
        }
    }
}

impl Direction {
    /// The seed of the link that leads this way for the client that came `ordinal`-th, from 0.
    ///
    /// By number and not by address, so that a run can be repeated although clients come from other ports.
    #[must_use]
    pub const fn link_seed(self, seed: Seed, ordinal: u64) -> Seed {
        let label = match self {
            Self::ToServer => 1,
            Self::ToClient => 2,
        };
        seed.derive(label).derive(ordinal)
    }

    /// The way back.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }

    /// `to_server` or `to_client`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ToServer => "to_server",
            Self::ToClient => "to_client",
        }
    }
}

impl DropCause {
    /// `script`, `outage`, `mtu`, `queue` or `loss`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Outage => "outage",
            Self::Mtu => "mtu",
            Self::Queue => "queue",
            Self::Loss => "loss",
        }
    }
}

impl Deliveries {
    pub(crate) fn one(delivery: Delivery) -> Self {
        Self { copies: [delivery; MOST_COPIES], count: 1 }
    }

    pub(crate) fn push(&mut self, delivery: Delivery) {
        if let Some(place) = self.copies.get_mut(usize::from(self.count)) {
            *place = delivery;
            self.count += 1;
        }
    }

    /// The datagram itself, then its duplicates.
    #[must_use]
    pub fn as_slice(&self) -> &[Delivery] {
        self.copies.get(..self.count.into()).unwrap_or_default()
    }

    fn as_mut_slice(&mut self) -> &mut [Delivery] {
        self.copies.get_mut(..self.count.into()).unwrap_or_default()
    }

    /// The datagram itself, then its duplicates.
    pub fn iter(&self) -> slice::Iter<'_, Delivery> {
        self.as_slice().iter()
    }
}

// The places that hold no copy are nobody's business.
impl PartialEq for Deliveries {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Deliveries {}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'a> IntoIterator for &'a Deliveries {
    type Item = &'a Delivery;
    type IntoIter = slice::Iter<'a, Delivery>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Delivery {
    /// Of a datagram that nothing happened to.
    pub(crate) fn whole(at: Timestamp, len: usize) -> Self {
        Self { at, len, flips: Flips::default() }
    }

    /// Does to a copy of the datagram what the link did: gives back what is left of it, with its bits flipped.
    pub fn damage<'d>(&self, datagram: &'d mut [u8]) -> &'d mut [u8] {
        let len = self.len.min(datagram.len());
        let left = datagram.get_mut(..len).unwrap_or_default();
        self.flips.apply(left);
        left
    }
}

/// A family of draws for each stage.
#[derive(Clone, Copy, Debug)]
struct Seeds {
    loss: Seed,
    duplicate: Seed,
    lateness: Seed,
    truncate: Seed,
    corrupt: Seed,
    delay: Seed,
    reorder: Seed,
}

impl Seeds {
    /// The labels are for ever: they are part of what a seed promises.
    fn new(seed: Seed) -> Self {
        Self {
            loss: seed.derive(1),
            duplicate: seed.derive(2),
            lateness: seed.derive(3),
            truncate: seed.derive(4),
            corrupt: seed.derive(5),
            delay: seed.derive(6),
            reorder: seed.derive(7),
        }
    }
}

/// A datagram and its duplicates.
pub(super) const MOST_COPIES: usize = 3;

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn deliveries_are_equal_by_the_copies_that_there_are() {
        let later = Duration::from_nanos(7);
        let copy = Delivery::whole(Timestamp::from_nanos(5), 9);
        let late = Fate::late(&Deliveries::one(copy), later);
        assert_eq!(late, Fate::Delivered(Deliveries::one(Delivery { at: copy.at.after(later), ..copy })));
        assert_ne!(late, Fate::Delivered(Deliveries::one(copy)));
        assert_eq!(format!("{:?}", Deliveries::one(copy)), "[Delivery { at: 5ns, len: 9, flips: [] }]");
        let mut twice = Deliveries::one(copy);
        twice.push(copy);
        assert_ne!(twice, Deliveries::one(copy));
    }
}
