//! A path in virtual time, and a driver of a search over it.

use std::time::Duration;

use udp_retry::pmtu::{PlpmtuSearch, PtbVerdict, SearchNext, SearchSettings};
use udp_retry::policy::RttEstimator;
use udp_retry::size::{IpFamily, Plpmtu, Pmtu};
use udp_retry::time::Timestamp;

use crate::dice::Dice;

/// All sizes are of IP packets.
pub(crate) struct Path {
    pub(crate) family: IpFamily,
    pub(crate) carries: u32,
    pub(crate) interface: u32,
    /// Per cent of datagrams that are lost in each direction.
    pub(crate) loss: u64,
    /// Whether a router reports what is too big; its reports are lost as anything else is.
    pub(crate) reports: bool,
    /// What the hop carries that comes before the narrowest one.
    pub(crate) first_hop: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// The IP packet size.
    pub(crate) pmtu: u32,
    pub(crate) probes: u32,
    pub(crate) lost: u32,
    pub(crate) took: Duration,
}

pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(40);

impl Path {
    pub(crate) fn silent(family: IpFamily, carries: u32, interface: u32) -> Self {
        Self { family, carries, interface, loss: 0, reports: false, first_hop: interface }
    }

    /// Until the search waits.
    pub(crate) fn search(&self, settings: SearchSettings, seed: u64) -> Found {
        self.drive(&mut PlpmtuSearch::new(settings), seed)
    }

    pub(crate) fn drive(&self, search: &mut PlpmtuSearch, seed: u64) -> Found {
        let payload = |packet: u32| Pmtu::new(packet).plpmtu(self.family);
        let mut traffic = Traffic::new(self, seed);
        let mut arrived = None;
        while let SearchNext::Send(probe) = search.next(traffic.now) {
            if probe.len > payload(self.interface) {
                search.on_probe_refused(probe.id, Some(payload(self.interface)));
                continue;
            }
            match traffic.probe(packet(probe.len, self.family)) {
                Fate::Arrived => {
                    search.on_probe_acked(probe.id);
                    arrived = arrived.max(Some(probe.len));
                }
                Fate::Lost => search.on_probe_lost(probe.id),
                Fate::Reported(limit) => {
                    assert_eq!(search.on_reported(probe.id, payload(limit)), PtbVerdict::Taken);
                }
            }
            assert!(!search.is_confirmed() || Some(search.plpmtu()) <= arrived, "more than has arrived");
        }
        traffic.found(packet(search.plpmtu(), self.family))
    }

    pub(crate) fn is_lost(&self, dice: &mut Dice) -> bool {
        dice.within(1..=100) <= self.loss
    }
}

/// Probes one after the other, each as soon as it is known what became of the one before.
pub(crate) struct Traffic<'p> {
    path: &'p Path,
    dice: Dice,
    rtt: RttEstimator,
    pub(crate) now: Timestamp,
    probes: u32,
    lost: u32,
}

pub(crate) enum Fate {
    Arrived,
    Lost,
    /// This is what the hop carries.
    Reported(u32),
}

impl<'p> Traffic<'p> {
    pub(crate) fn new(path: &'p Path, seed: u64) -> Self {
        let ms = Duration::from_millis;
        let rtt = RttEstimator::new(ms(1_000), ms(200), ms(60_000)).unwrap();
        Self { path, dice: Dice::new(seed), rtt, now: Timestamp::ZERO, probes: 0, lost: 0 }
    }

    /// An IP packet of this size.
    pub(crate) fn probe(&mut self, size: u32) -> Fate {
        let Path { carries, reports, first_hop, .. } = *self.path;
        let forward = !self.path.is_lost(&mut self.dice);
        let back = !self.path.is_lost(&mut self.dice);
        let fate = match size <= carries {
            true if forward && back => Fate::Arrived,
            false if forward && back && reports => Fate::Reported(if size > first_hop { first_hop } else { carries }),
            _ => Fate::Lost,
        };
        self.probes += 1;
        self.lost += u32::from(!matches!(fate, Fate::Arrived));
        let wait = if matches!(fate, Fate::Lost) { self.rtt.rto(self.now) } else { ROUND_TRIP };
        self.now = self.now.after(wait);
        if matches!(fate, Fate::Arrived) {
            self.rtt.on_reply(self.now, Some(ROUND_TRIP));
        }
        fate
    }

    pub(crate) fn found(&self, pmtu: u32) -> Found {
        Found { pmtu, probes: self.probes, lost: self.lost, took: self.now.since(Timestamp::ZERO) }
    }
}

pub(crate) fn packet(payload: Plpmtu, family: IpFamily) -> u32 {
    payload.bytes() as u32 + family.overhead()
}

/// The largest usual size that fits.
pub(crate) fn usual(family: IpFamily, carries: u32) -> u32 {
    let sizes = [1280, 1360, 1380, 1400, 1420, 1440, 1450, 1460, 1476, 1480, 1492, 1500, 8951, 9000];
    let base = packet(SearchSettings::new(family).base(), family);
    sizes.into_iter().rfind(|&it| it <= carries).unwrap_or(base)
}
