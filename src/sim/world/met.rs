//! Which faults have met a datagram, so that those that met none can be reported.

use alloc::vec::Vec;
use core::cell::Cell;
use core::net::IpAddr;

use crate::fault::{DropCause, Fate, Impairments, Link};
use crate::sim::Unmet;
use crate::time::Timestamp;

/// A partition, held by each direction that it closes.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) both_ways: bool,
    pub(super) since: Timestamp,
    pub(super) met: Cell<bool>,
}

impl Partition {
    pub(super) fn unmet(&self) -> Option<Unmet> {
        let Self { from, to, both_ways, since, ref met } = *self;
        (!met.get()).then_some(Unmet::Partition { from, to, both_ways, since })
    }
}

/// Since when a host is down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Down {
    pub(super) since: Timestamp,
    pub(super) met: bool,
}

impl Down {
    pub(super) fn unmet(self, host: IpAddr) -> Option<Unmet> {
        (!self.met).then_some(Unmet::Down { host, since: self.since })
    }
}

/// What the script and the outages that a link has at present have met.
#[derive(Default, Debug)]
pub(super) struct Met {
    /// How many datagrams the link had seen when it got its script.
    script_since: u64,
    /// The outages that have met a datagram, the first in the lowest bit; those past the last bit count as met.
    outages: u64,
}

impl Met {
    #[inline]
    pub(super) fn note(&mut self, now: Timestamp, fate: &Fate, impairments: &Impairments) {
        if matches!(fate, Fate::Dropped(DropCause::Outage)) {
            for (n, outage) in (0..u64::BITS).zip(impairments.outages()) {
                self.outages |= u64::from(outage.covers(now.as_nanos())) << n;
            }
        }
    }

    /// The link gets other impairments now. Adds to `unmet` what it loses by that and has not met.
    pub(super) fn change(&mut self, link: &Link, to: &Impairments, ends: (IpAddr, IpAddr), unmet: &mut Vec<Unmet>) {
        let (old, seen) = (link.impairments(), link.stats().received);
        let same_script = old.script() == to.script();
        let lost = self.unmet(link, ends).filter(|it| match it {
            Unmet::Rule { .. } => !same_script,
            Unmet::Outage { outage, .. } => !to.outages().contains(outage),
            _ => true,
        });
        unmet.extend(lost);
        let was_met = |outage| old.outages().iter().position(|it| it == outage).is_some_and(|n| self.is_met(n));
        let kept = (0..u64::BITS).zip(to.outages()).map(|(n, outage)| u64::from(was_met(outage)) << n);
        self.outages = kept.fold(0, |all, one| all | one);
        if !same_script {
            self.script_since = seen;
        }
    }

    /// What the link, which leads from one end to the other, has been asked to do and has not done.
    pub(super) fn unmet(&self, link: &Link, (from, to): (IpAddr, IpAddr)) -> impl Iterator<Item = Unmet> {
        let seen = self.script_since + 1..=link.stats().received;
        let rules = link.impairments().script().rules().iter().filter(move |(n, _)| !seen.contains(n));
        let rules = rules.map(move |&(n, rule)| Unmet::Rule { from, to, n, rule });
        let outages = link.impairments().outages().iter().enumerate().filter(|(n, _)| !self.is_met(*n));
        rules.chain(outages.map(move |(_, &outage)| Unmet::Outage { from, to, outage }))
    }

    fn is_met(&self, n: usize) -> bool {
        u32::try_from(n).ok().and_then(|n| self.outages.checked_shr(n)).is_none_or(|rest| rest & 1 == 1)
    }
}
