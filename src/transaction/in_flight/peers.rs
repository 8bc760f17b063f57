use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::finished::PeerId;
use super::port::Port;
use super::slots::Queue;
use crate::envelope::Incarnation;
use crate::policy::{RetryBudget, RetryPolicy, RttEstimator};
use crate::time::{Ns, Timestamp};
use crate::transaction::OnUnreachable;
use crate::transaction::destination::{PolicyIndex, Terms};
use crate::transaction::grant::Grants;
use crate::transaction::path_state::PathState;
use crate::transport::PathError;

/// One of those that requests go to.
#[derive(Debug)]
pub(super) struct Peer<P> {
    pub(super) address: P,
    pub(super) budget: Grants,
    pub(super) path: PathState,
    pub(super) port: Port,
    /// Requests that have a place in the window.
    pub(super) places: u32,
    /// The exclusive or of their slots: while there is one, its slot.
    pub(super) occupants: u32,
    pub(super) waiting: Queue,
    /// The incarnation that answered last, where there are envelopes.
    pub(super) incarnation: Option<Incarnation>,
    /// When its latest datagram arrived.
    pub(super) heard: Option<Timestamp>,
    /// The latest error of which no one says whose it is.
    pub(super) error: Option<(Timestamp, PathError)>,
    pub(super) is_removed: bool,
}

impl<P> Peer<P> {
    #[inline]
    pub(super) fn take_place(&mut self, slot: u32) {
        self.places += 1;
        self.occupants ^= slot;
    }

    #[inline]
    pub(super) fn leave_place(&mut self, slot: u32) {
        self.places -= 1;
        self.occupants ^= slot;
    }

    /// The slot of the only request on the wire.
    pub(super) fn only_occupant(&self) -> Option<u32> {
        (self.places == 1).then_some(self.occupants)
    }

    #[inline]
    pub(super) fn on_heard(&mut self, at: Timestamp) {
        self.port.on_heard();
        self.path.on_heard();
        if self.heard.is_none_or(|heard| heard < at) {
            self.heard = Some(at);
        }
    }
}

/// All of them, by number and by address.
#[derive(Debug)]
pub(super) struct Peers<P> {
    peers: Vec<Peer<P>>,
    numbers: BTreeMap<P, u32>,
}

impl<P: Copy + Ord> Peers<P> {
    pub(super) const fn new() -> Self {
        Self { peers: Vec::new(), numbers: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, address: P, budget: RetryBudget, estimator: Option<RttEstimator>) -> PeerId {
        if let Some(known) = self.id_of(address) {
            return known;
        }
        let peer = Peer {
            address,
            budget: Grants::of(budget),
            path: PathState::measured_by(estimator),
            port: Port::default(),
            places: 0,
            occupants: 0,
            waiting: Queue::EMPTY,
            incarnation: None,
            heard: None,
            error: None,
            is_removed: false,
        };
        let number = u32::try_from(self.peers.len()).unwrap_or(u32::MAX);
        self.peers.push(peer);
        self.numbers.insert(address, number);
        PeerId(number)
    }

    pub(super) fn remove(&mut self, id: PeerId) {
        if let Some(peer) = self.get_mut(id.0) {
            peer.is_removed = true;
            let address = peer.address;
            self.numbers.remove(&address);
        }
    }

    #[inline]
    pub(super) fn id_of(&self, address: P) -> Option<PeerId> {
        match self.peers.as_slice() {
            // The usual one, without a search.
            [only] => (only.address == address && !only.is_removed).then_some(PeerId(0)),
            _ => self.numbers.get(&address).map(|&number| PeerId(number)),
        }
    }

    /// The one that something came from, with its number.
    #[inline]
    pub(super) fn at_mut(&mut self, address: P) -> Option<(u32, &mut Peer<P>)> {
        match self.peers.as_mut_slice() {
            [only] => (only.address == address && !only.is_removed).then_some((0, only)),
            peers => {
                let &number = self.numbers.get(&address)?;
                Some((number, peers.get_mut(number as usize)?))
            }
        }
    }

    /// The numbers of all, also of those removed.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + use<P> {
        0..u32::try_from(self.peers.len()).unwrap_or(u32::MAX)
    }

    /// The one that there is, if there is one.
    pub(super) fn only(&self) -> Option<PeerId> {
        (self.peers.len() == 1).then_some(PeerId(0))
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&Peer<P>> {
        self.peers.get(number as usize)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Peer<P>> {
        self.peers.get_mut(number as usize)
    }

    /// One that requests may be sent to.
    pub(super) fn present(&self, id: PeerId) -> Option<&Peer<P>> {
        self.get(id.0).filter(|peer| !peer.is_removed)
    }
}

/// The rules that hold for all requests.
#[derive(Debug)]
pub(super) struct Rules {
    /// The engine's own.
    plan: Plan,
    /// Those that requests brought.
    others: Vec<Plan>,
    pub(super) on_unreachable: OnUnreachable,
    pub(super) fails_over_budget: bool,
}

/// A policy, and what is asked of it most.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) policy: RetryPolicy,
    pub(super) delays_start: bool,
    /// Where its first wait lies, if it is drawn from one range of more than a nanosecond and no deadline ends it: as for nearly
    /// all. `None`: see the policy.
    pub(super) first_wait: Option<(Ns, Ns)>,
    /// Until then after its transmission a request is in its first wait, whatever is drawn, unless its peer is measured.
    pub(super) surely_waits: Ns,
}

impl Plan {
    fn of(policy: RetryPolicy) -> Self {
        let deadline = policy.deadline_ns().unwrap_or(Ns::MAX);
        let surely_waits = policy.least_first_wait_ns().min(deadline);
        let delays_start = policy.start_delay() != (Duration::ZERO, Duration::ZERO);
        let first_wait = policy.first_range_ns().filter(|&(least, most)| least > 1 && most <= deadline);
        Self { policy, delays_start, first_wait, surely_waits }
    }
}

impl Rules {
    pub(super) fn new(policy: RetryPolicy) -> Self {
        let (on_unreachable, fails_over_budget) = (OnUnreachable::KeepTrying, false);
        Self { plan: Plan::of(policy), others: Vec::new(), on_unreachable, fails_over_budget }
    }

    #[inline]
    pub(super) fn plan(&self, number: u8) -> &Plan {
        match number.checked_sub(1) {
            None => &self.plan,
            Some(other) => self.others.get(usize::from(other)).unwrap_or(&self.plan),
        }
    }

    #[inline]
    pub(super) fn policy(&self, number: u8) -> &RetryPolicy {
        &self.plan(number).policy
    }

    /// The number of a policy that equals this one; `None` if there are 256 others.
    pub(super) fn intern(&mut self, policy: &RetryPolicy) -> Option<u8> {
        if self.plan.policy == *policy {
            return Some(0);
        }
        let known = self.others.iter().position(|known| known.policy == *policy);
        let number = u8::try_from(known.unwrap_or(self.others.len()) + 1).ok()?;
        if known.is_none() {
            self.others.push(Plan::of(*policy));
        }
        Some(number)
    }
}

/// The terms of requests to one peer.
#[derive(Clone, Copy)]
pub(super) struct PeerTerms<'t> {
    pub(super) rules: &'t Rules,
    pub(super) budget: &'t Grants,
}

impl Terms for PeerTerms<'_> {
    #[inline]
    fn policy(&self, index: PolicyIndex) -> &RetryPolicy {
        self.rules.policy(index.0)
    }

    #[inline]
    fn budget(&self) -> &Grants {
        self.budget
    }

    #[inline]
    fn on_unreachable(&self) -> OnUnreachable {
        self.rules.on_unreachable
    }

    #[inline]
    fn fails_over_budget(&self) -> bool {
        self.rules.fails_over_budget
    }

    /// The port is everyone's.
    #[inline]
    fn keeps_port(&self) -> bool {
        true
    }
}
