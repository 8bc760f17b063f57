use super::PlpmtuSearch;
use crate::pmtu::losses::LostSize;
use crate::pmtu::settings::{Granularity, MaxProbes, SearchSettings};
use crate::pmtu::sizes::{largest_usual, middle, smallest_usual};

/// What comes next.
pub(super) enum Plan {
    Probe(u16),
    Rest,
    Unusable,
}

impl PlpmtuSearch {
    /// What the facts call for, whatever was asked before.
    pub(super) fn plan(&self) -> Plan {
        let next = match self.confirmed {
            _ if self.left == 0 => None,
            None if self.ceiling <= self.settings.min => return Plan::Unusable,
            None => self.first_size(),
            Some(confirmed) => self.larger_size(confirmed),
        };
        next.map_or(Plan::Rest, Plan::Probe)
    }

    /// RFC 8899 §5.2: BASE, and ERROR when that was lost MAX_PROBES times. §4.6.2: a report below it is ERROR as well, and its size
    /// the next.
    fn first_size(&self) -> Option<u16> {
        let SearchSettings { min, base, .. } = self.settings;
        let lost = self.lost.smallest();
        if let Some(again) = lost.filter(|it| it.losses < self.tries(it.len)) {
            return Some(again.len);
        }
        let below = lost.map_or(self.ceiling, |it| it.len);
        let hint = self.hint.map_or(min, |it| it.len);
        [base, hint, min].into_iter().find(|&it| it < below)
    }

    /// RFC 8899 §5.3.2. A larger size than what is confirmed, or that one again, to measure how much is lost anyway.
    fn larger_size(&self, confirmed: u16) -> Option<u16> {
        let SearchSettings { family, max, granularity, .. } = self.settings;
        let lost = self.lost.smallest();
        let below = lost.map_or(self.ceiling, |it| it.len);
        // RFC 8899 §4.6.2: what a router reports is the next search point, and its probe may be lost by chance (§3).
        if let Some(hint) = self.hint.filter(|it| confirmed < it.len) {
            let by_chance = lost.is_some_and(|it| hint.reported && it.len == hint.len && it.losses < FEWEST_LOSSES);
            if hint.len < below || by_chance {
                return Some(hint.len);
            }
        }
        // The largest gain first, then a table (RFC 8899 §5.3.2); between two of its sizes as RFC 4821 §7.3 halves.
        let usual = match lost {
            None => largest_usual(family, max, confirmed, below),
            Some(_) => smallest_usual(family, max, confirmed, below),
        };
        let finer = || match granularity {
            Granularity::UsualSizes => None,
            Granularity::Bytes(step) => middle(confirmed, below, step.get()),
        };
        usual.or_else(finer).or_else(|| self.boundary(confirmed, lost?))
    }

    /// Nothing is left between what is confirmed and what is lost: is it lost by its size, or by chance (RFC 8899 §3, probe loss
    /// recovery)? RFC 8899 §5.3.1 ends a search when PROBE_COUNT reaches MAX_PROBES.
    fn boundary(&self, confirmed: u16, lost: LostSize) -> Option<u16> {
        match self.settings.max_probes {
            MaxProbes::Fixed(most) => (lost.losses < most.get()).then_some(lost.len),
            MaxProbes::Odds(_) if lost.losses < FEWEST_LOSSES => Some(lost.len),
            MaxProbes::Odds(odds) => {
                let by_chance = !odds.exclude(u32::from(lost.losses), self.path_loss.probability());
                let again = if self.path_loss.is_unknown() { confirmed } else { lost.len };
                (by_chance && lost.losses < MOST_LOSSES).then_some(again)
            }
        }
    }

    /// RFC 8899 §5.2, BASE and ERROR: how often a size is tried before anything has arrived, and nothing is known of the loss.
    pub(super) fn tries(&self, len: u16) -> u8 {
        match self.settings.max_probes {
            MaxProbes::Fixed(most) => most.get(),
            MaxProbes::Odds(_) if len == self.settings.min => UNANSWERED,
            MaxProbes::Odds(_) => FEWEST_LOSSES,
        }
    }
}

/// RFC 8899 §5.1.2: MAX_PROBES is 3, which limits how often a single loss stands for a size.
const FEWEST_LOSSES: u8 = 3;

/// Where 85 of 100 are lost nothing is certain, and 24 losses are enough (RFC 8899 §5.1.2: there is a limit).
const MOST_LOSSES: u8 = 24;

/// Losses of the smallest size until the peer is taken for silent: 1 in 200 where half of all is lost. RFC 8899 §5.2 has
/// MAX_PROBES for MIN_PLPMTU, too, and then DISABLED.
const UNANSWERED: u8 = 8;
