//! Thousands of requests at a time, without a socket or a clock.

mod aliases;
mod arrivals;
mod chunks;
mod clean;
mod ending;
mod enveloped;
mod envelopes;
mod facts;
mod finished;
mod group_places;
mod group_progress;
mod group_request;
mod groups;
mod id_table;
mod ids;
mod limits;
mod payloads;
mod peers;
mod port;
mod progress;
mod recipient;
mod short_ids;
mod slots;
mod submit;
mod troubled;

use alloc::boxed::Box;
use core::fmt::{self, Debug};
use core::time::Duration;

#[cfg(any(feature = "tokio", feature = "sim"))]
pub(crate) use self::chunks::Chunks;
use self::envelopes::Envelopes;
pub use self::finished::{Arrived, Finished, Handle, PeerId, Transmit};
use self::groups::Groups;
pub use self::groups::{Addressee, GroupId};
use self::ids::{Ids, Kept};
pub use self::limits::{Limits, SubmitError};
use self::payloads::Payloads;
use self::peers::{Peers, Rules};
use self::slots::{Queue, Slots, State};
use self::troubled::Records;
use super::{KeyedMatcher, OnUnreachable, Strays};
use crate::entropy::{Draws, IdSource, Seed};
use crate::policy::{RetryBudget, RetryPolicy, RttEstimator};
use crate::time::wheel::Wheel;
use crate::time::{Ns, Timestamp};

/// Many requests at a time to any number of peers, without a socket or a clock: each does what a
/// [`Transaction`](super::Transaction) of its own would do.
///
/// ```text
///   submit ─▶ waits for a place in its peer's window ─▶ transmits() ─▶ on_transmitted ─▶ … ─▶ on_datagram: Reply
///                                                          ▲    next_deadline, on_time_up │
///                                                          └──────────── due again ◀──────┘─▶ next_finished: a failure
/// ```
///
/// A request that goes well is a slot of 48 bytes and its own bytes: when it is due, and all its draws, follow from when it
/// was sent. A record, with a schedule as a `Transaction` has it, is made at the first unusual fact, such as the end of its
/// first wait.
///
/// - A request *begins* when it is first sent, or first should be: its schedule and its policy's deadline count from there. Its
///   own deadline counts from [`submit`](Self::submit) and ends it wherever it is.
/// - **64 requests are on the wire at a peer** ([`Limits::window`]); the others wait inside, in order.
/// - A request may be to a [group](Self::add_group) of servers, which chooses when it gets its place: it waits for one while all
///   that live are full, and is parked, at no place, while none lives. Copies for further members are on the wire beside their
///   windows.
/// - Nothing is unbounded: [`SubmitError::Full`] pushes back, and nothing is lost.
/// - A full send buffer is no failure: [`transmits`](Self::transmits) is empty for a millisecond, and goes on where it was.
/// - An error that quotes the datagram that met it is that request's. One that does not may be of any of those on the wire at
///   its peer: it ends one, by [`OnUnreachable`], only if that is alone there.
/// - Times are kept to 0.13 ms: nothing is early, and everything is at most that late.
///
/// **Ids.** Where the matcher stamps ids of 8 bytes or more, the first four are a place in this engine's memory and the others
/// are random: an id of 8 bytes has 32 bits that no one can foretell, one of 12 has 64. An id of one or two bytes rests after
/// use ([`Limits::rest`]), and can be guessed: see [`KeyedMatcher`]. Ids of the caller's own must differ while they are in
/// flight to one peer.
///
/// ```
/// use core::time::Duration;
/// use udp_retry::entropy::IdSource;
/// use udp_retry::time::Timestamp;
/// use udp_retry::transaction::{Arrived, InFlight, Limits};
/// use udp_retry::{RetryBudget, RetryPolicy, Seed, transaction_id};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ids = IdSource::from_seed(Seed::new(7)); // of a test; else from_key
/// let matcher = transaction_id(0..8).stamped();
/// let mut requests = InFlight::new(RetryPolicy::LAN, matcher, Limits::default(), Seed::new(7), Some(ids));
/// let servers = [1, 2].map(|address| requests.add_peer(address, RetryBudget::default(), None));
///
/// let now = Timestamp::ZERO;
/// for (token, server) in (0..).zip(servers) {
///     requests.submit(now, server, b"........ping", token)?;
/// }
/// let sent: Vec<_> = requests.transmits().map(|it| (it.to, it.datagram.to_vec())).collect();
/// requests.on_transmitted(now, sent.len());
///
/// let later = now.after(Duration::from_millis(3));
/// let (server, echo) = &sent[1];
/// let Arrived::Reply(finished) = requests.on_datagram(later, *server, echo, echo.len()) else { panic!() };
/// assert_eq!((finished.token, finished.elapsed), (1, Duration::from_millis(3)));
///
/// // The other one is due again after 100 ms.
/// let due = requests.next_deadline().unwrap();
/// requests.on_time_up(due);
/// assert_eq!(requests.transmits().count(), 1);
/// # Ok(())
/// # }
/// ```
pub struct InFlight<P, M> {
    matcher: M,
    rules: Rules,
    limits: Limits,
    /// Each request ends this long after it was submitted at the latest.
    deadline: Option<Duration>,
    /// Key the schedule of each request, by its name.
    draws: Draws,
    ids: Ids,
    peers: Peers<P>,
    slots: Slots,
    payloads: Payloads,
    records: Records,
    wheel: Wheel,
    /// To be transmitted, in this order.
    ready: Queue,
    /// An error was reported of them: they end unless the socket holds a reply.
    suspects: Queue,
    /// Ended, and not reported yet.
    finished: Queue,
    groups: Groups,
    /// What was said beside requests, if anything is.
    envelopes: Option<Box<Envelopes>>,
    /// The first wait of each slot, where round trips decide that.
    first_waits: Option<chunks::Chunks<Ns>>,
    /// The send buffer was full: nothing is transmitted until then.
    paused_until: Option<Timestamp>,
    /// How often that was so since something was transmitted.
    pauses: u32,
    /// When an error made suspects.
    suspected: Timestamp,
    /// Datagrams read past the moment at which something was due.
    overdue: u32,
    /// Nothing is due before this; it may be too early, never too late.
    soonest: Timestamp,
    strays: Strays,
}

impl<P: Copy + Ord + Debug, M: KeyedMatcher> InFlight<P, M> {
    /// Nothing is in flight yet. `ids` is required where the matcher stamps.
    #[must_use]
    pub fn new(policy: RetryPolicy, matcher: M, limits: Limits, seed: Seed, ids: Option<IdSource>) -> Self {
        let ids = Ids::new(&matcher, &limits, ids, seed);
        Self {
            matcher,
            rules: Rules::new(policy),
            limits,
            deadline: None,
            draws: seed.draws(),
            ids,
            peers: Peers::new(),
            slots: Slots::new(),
            payloads: Payloads::new(limits.bytes),
            records: Records::new(),
            wheel: Wheel::new(),
            ready: Queue::EMPTY,
            suspects: Queue::EMPTY,
            finished: Queue::EMPTY,
            groups: Groups::new(),
            envelopes: None,
            first_waits: None,
            paused_until: None,
            pauses: 0,
            suspected: Timestamp::ZERO,
            overdue: 0,
            soonest: Timestamp::MAX,
            strays: Strays::default(),
        }
    }

    /// Chooses the reaction to ICMP "port unreachable" and "destination unreachable". They are ignored by default.
    #[must_use]
    pub fn with_on_unreachable(mut self, on_unreachable: OnUnreachable) -> Self {
        self.rules.on_unreachable = on_unreachable;
        self
    }

    /// Fails a request at once when its peer's budget has no token for its next retransmission. By default it listens on.
    #[must_use]
    pub fn failing_over_budget(mut self) -> Self {
        self.rules.fails_over_budget = true;
        self
    }

    /// Ends every request this long after it was submitted at the latest, whatever the policy says. None by default.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// A peer that requests can go to, with the budget of their retransmissions and what measures its round trips. One that is
    /// known by this address stays as it is.
    pub fn add_peer(&mut self, address: P, budget: RetryBudget, estimator: Option<RttEstimator>) -> PeerId {
        if estimator.is_some() && self.first_waits.is_none() {
            self.first_waits = Some(chunks::Chunks::new());
        }
        self.peers.add(address, budget, estimator)
    }

    /// Cancels the requests to a peer, which [`next_finished`](Self::next_finished) reports, and forgets its address. Groups of
    /// which it is a member end as well.
    pub fn remove_peer(&mut self, now: Timestamp, peer: PeerId) {
        self.peers.remove(peer);
        self.dissolve_groups_of(peer.0);
        for number in self.slots.numbers() {
            let Some(slot) = self.slots.get(number).filter(|slot| slot.is_open() && slot.state != State::Alias) else {
                continue;
            };
            let is_cancelled = match self.groups.group_of(number).and_then(|group| self.groups.get(group)) {
                None => slot.peer == peer.0,
                Some(group) => group.is_dissolved,
            };
            if is_cancelled {
                self.fail_cancelled(now, number);
            }
        }
        self.settle(now);
    }

    /// The peer with this address.
    #[must_use]
    pub fn peer(&self, address: P) -> Option<PeerId> {
        self.peers.id_of(address)
    }

    /// The address of a peer.
    #[must_use]
    pub fn address(&self, peer: PeerId) -> Option<P> {
        self.peers.get(peer.0).map(|peer| peer.address)
    }

    // Questions.

    /// What to send now, the oldest first; nothing while a full send buffer holds everything up. Report how many of them have
    /// left, [`on_transmitted`](Self::on_transmitted), or what became of the first, [`on_not_transmitted`](Self::on_not_transmitted).
    /// Before one whose port is to be renewed, [`on_renewed`](Self::on_renewed); before they leave in envelopes, [`seal`](Self::seal).
    pub fn transmits(&self) -> impl Iterator<Item = Transmit<'_, P>> {
        let ready = if self.paused_until.is_some() { Queue::EMPTY } else { self.ready };
        ready.iter(&self.slots).filter_map(|(number, slot)| {
            let handle = Handle { slot: number, generation: slot.generation };
            let slot = if self.groups.are_used() { self.slots.get(self.groups.carrier(number))? } else { slot };
            let peer = self.peers.get(slot.peer)?;
            let (to, renewal_due) = (peer.address, peer.is_renewal_due());
            Some(Transmit { handle, to, datagram: self.payloads.datagram(slot.place), renewal_due })
        })
    }

    /// How many there are of those.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn ready(&self) -> usize {
        if self.paused_until.is_some() { 0 } else { self.ready.len() as usize }
    }

    /// When to report [`on_time_up`](Self::on_time_up) next: when something is due, or before. One that has come says: look, do
    /// not wait. `None` while nothing waits for time.
    ///
    /// Call [`advance`](Self::advance) first where the present moment is known: then one that has come is exact.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        // Neither is ever too late. A wheel that has stood still for long gives the start of a large bucket.
        self.bound().map(|bound| bound.max(self.soonest))
    }

    fn bound(&self) -> Option<Timestamp> {
        let suspected = (self.suspects.len() > 0).then_some(self.suspected);
        let probe = if self.groups.are_used() { self.groups.next_probe() } else { None };
        // What waits there for a next request alone waits for no time.
        let due = if self.slots.used() > 0 { self.wheel.next_deadline() } else { None };
        [suspected, self.paused_until, due, probe].into_iter().flatten().min()
    }

    /// The bytes of a request that has not ended, as they are sent; of one in an envelope, those in it.
    #[must_use]
    pub fn request(&self, handle: Handle) -> Option<&[u8]> {
        self.slots.open(handle).map(|slot| self.payloads.get(slot.place))
    }

    /// What keys the schedule of a request, as it would a [`Transaction`](super::Transaction)'s.
    #[must_use]
    pub fn seed(&self, handle: Handle) -> Option<Seed> {
        self.slots.open(handle).map(|_| self.seed_of(handle))
    }

    /// Requests that have not ended, and failures that were not taken yet.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.slots.used() - self.groups.aliases) as usize
    }

    /// Whether there is neither.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many more requests it takes, if their bytes fit. The copies that requests to groups send to further members take
    /// of that as well, until their ends.
    #[must_use]
    pub fn available(&self) -> usize {
        self.limits.requests.get().saturating_sub(self.slots.used()) as usize
    }

    /// Requests that have a place in the window of a peer, and copies of those to a group beside them.
    #[must_use]
    pub fn on_wire(&self, peer: PeerId) -> usize {
        self.peers.get(peer.0).map_or(0, |peer| peer.places as usize)
    }

    /// What arrived and answered nothing.
    #[must_use]
    pub fn strays(&self) -> Strays {
        self.strays
    }

    /// The timeout that the round trips to a peer call for, if they are measured.
    #[must_use]
    pub fn estimator(&self, peer: PeerId) -> Option<&RttEstimator> {
        self.peers.get(peer.0)?.path.estimator.as_ref()
    }

    fn seed_of(&self, Handle { slot, generation }: Handle) -> Seed {
        Seed::new(self.draws.draw(u64::from(generation) << 32 | u64::from(slot)))
    }

    fn kept(&self) -> Kept<'_> {
        Kept { slots: &self.slots, payloads: &self.payloads }
    }
}

impl<P: Debug, M> Debug for InFlight<P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight")
            .field("requests", &self.slots.used())
            .field("limits", &self.limits)
            .field("strays", &self.strays)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
