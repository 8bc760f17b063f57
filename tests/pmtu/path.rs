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
        Self { family, carries, interface, loss: 0, reports: false }
    }

    /// Until the search waits.
    pub(crate) fn search(&self, settings: SearchSettings, seed: u64) -> Found {
        self.drive(&mut PlpmtuSearch::new(settings), seed)
    }

    pub(crate) fn drive(&self, search: &mut PlpmtuSearch, seed: u64) -> Found {
        let ms = Duration::from_millis;
        let rtt = RttEstimator::new(ms(1_000), ms(200), ms(60_000)).unwrap();
        let (mut dice, mut now, mut probes, mut lost) = (Dice::new(seed), Timestamp::ZERO, 0, 0);
        let mut arrived = None;
        while let SearchNext::Send(probe) = search.next(now) {
            let fits = |packet: u32| probe.len <= Pmtu::new(packet).plpmtu(self.family);
            if !fits(self.interface) {
                search.on_probe_refused(probe.id, Some(Pmtu::new(self.interface).plpmtu(self.family)));
                continue;
            }
            probes += 1;
            let forward = !self.is_lost(&mut dice);
            let back = !self.is_lost(&mut dice);
            if forward && back && fits(self.carries) {
                now = now.after(ROUND_TRIP);
                rtt.on_reply(now, Some(ROUND_TRIP));
                search.on_probe_acked(probe.id);
                arrived = arrived.max(Some(probe.len));
            } else {
                lost += 1;
                if forward && back && self.reports {
                    now = now.after(ROUND_TRIP);
                    let limit = Pmtu::new(self.carries).plpmtu(self.family);
                    assert_eq!(search.on_reported(probe.id, limit), PtbVerdict::Taken);
                } else {
                    now = now.after(rtt.rto(now));
                    search.on_probe_lost(probe.id);
                }
            }
            assert!(!search.is_confirmed() || Some(search.plpmtu()) <= arrived, "more than has arrived");
        }
        let pmtu = packet(search.plpmtu(), self.family);
        Found { pmtu, probes, lost, took: now.since(Timestamp::ZERO) }
    }

    pub(crate) fn is_lost(&self, dice: &mut Dice) -> bool {
        dice.within(1..=100) <= self.loss
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
