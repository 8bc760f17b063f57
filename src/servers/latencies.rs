use crate::time::{Ns, Timestamp};

/// How long a server's replies took, as far as a quantile needs it: counts in 64 ranges of time, four to each doubling from
/// 131 µs to 8.6 s. A quantile is right to within its range, which is a fifth to a fourth of it wide.
///
/// Old outcomes fade: whenever there are 64 beyond the quantile, as many again are expected, all counts are halved.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    counts: [u32; RANGES],
    /// Those that were not answered while someone waited.
    unanswered: u32,
    total: u32,
    /// The share of outcomes beyond the quantile.
    share: f64,
    at: Timestamp,
}

impl Latencies {
    pub(super) fn new(share: f64) -> Self {
        Self { counts: [0; RANGES], unanswered: 0, total: 0, share, at: Timestamp::ZERO }
    }

    pub(super) fn forget(&mut self) {
        *self = Self::new(self.share);
    }

    /// An outcome: a round trip, or none.
    pub(super) fn add(&mut self, now: Timestamp, round_trip: Option<Ns>, max_age: Ns) {
        if now.since_ns(self.at) > max_age {
            self.forget();
        }
        self.at = now;
        let count = match round_trip {
            Some(round_trip) => self.counts.get_mut(range(round_trip)),
            None => Some(&mut self.unanswered),
        };
        if let Some(count) = count {
            *count += OUTCOME;
            self.total += OUTCOME;
        }
        if f64::from(self.total) * self.share >= f64::from(64 * OUTCOME) || self.total >= u32::MAX / 2 {
            self.halve();
        }
    }

    /// The time that all outcomes but the share are below. `None` where fewer were seen than it takes for one to be beyond
    /// it, or where more than the share went unanswered.
    pub(super) fn quantile(&self, now: Timestamp, max_age: Ns) -> Option<Ns> {
        let beyond = f64::from(self.total) * self.share;
        if beyond < f64::from(OUTCOME) || now.since_ns(self.at) > max_age {
            return None;
        }
        // From the top down to the range in which the share is exceeded.
        let mut above = self.unanswered;
        if f64::from(above) > beyond {
            return None;
        }
        for (range, count) in self.counts.iter().enumerate().rev() {
            above += count;
            if f64::from(above) > beyond {
                return Some(end(range));
            }
        }
        None
    }

    fn halve(&mut self) {
        self.counts.iter_mut().chain([&mut self.unanswered]).for_each(|count| *count /= 2);
        self.total = self.counts.iter().sum::<u32>() + self.unanswered;
    }
}

/// By the place of the highest bit, and the two bits below it.
fn range(time: Ns) -> usize {
    let time = time.clamp(SHORTEST, LONGEST);
    let doublings = time.ilog2();
    let quarter = (time >> (doublings - 2)) & 3;
    let number = u64::from(doublings - SHORTEST.ilog2()) * 4 + quarter;
    usize::try_from(number).map_or(RANGES - 1, |number| number.min(RANGES - 1))
}

/// The end of a range, which is the beginning of the next one.
fn end(range: usize) -> Ns {
    let next = range as u64 + 1;
    (4 + next % 4) << (next / 4 + u64::from(SHORTEST.ilog2()) - 2)
}

const RANGES: usize = 64;
const SHORTEST: Ns = 1 << 17;
const LONGEST: Ns = (1 << 33) - 1;
/// What one outcome counts, so that halving it rounds little.
const OUTCOME: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_follow_each_other_without_gaps_and_none_is_wider_than_a_fourth() {
        let mut begin = SHORTEST;
        for number in 0..RANGES {
            assert_eq!((range(begin), range(end(number) - 1)), (number, number));
            assert!(end(number) > begin && end(number) - begin <= begin / 4, "{begin} to {}", end(number));
            begin = end(number);
        }
        assert_eq!(begin, LONGEST + 1);
        assert_eq!((range(0), range(SHORTEST - 1), range(Ns::MAX)), (0, 0, RANGES - 1));
    }

    #[test]
    fn what_was_long_ago_fades_and_no_count_overflows() {
        for share in [f64::MIN_POSITIVE, 1e-9, 0.05] {
            let mut latencies = Latencies::new(share);
            // As after ages.
            latencies.counts[RANGES - 1] = u32::MAX / 2 - 1;
            latencies.total = u32::MAX / 2 - 1;
            let most = latencies.total;
            for _ in 0..10_000 {
                latencies.add(Timestamp::ZERO, Some(1_000_000), Ns::MAX);
                let sum: u32 = latencies.counts.iter().sum();
                assert_eq!(latencies.total, sum + latencies.unanswered);
                assert!(latencies.total <= most + OUTCOME);
            }
            let quantile = latencies.quantile(Timestamp::ZERO, Ns::MAX);
            assert_eq!(quantile.is_some(), share > 1e-3, "{share}");
        }
    }

    #[test]
    fn half_of_it_is_of_the_latest_outcomes() {
        let mut latencies = Latencies::new(0.05);
        (0..100_000).for_each(|_| latencies.add(Timestamp::ZERO, Some(400_000_000), Ns::MAX));
        let slow = latencies.quantile(Timestamp::ZERO, Ns::MAX);
        let mut outcomes = 0;
        while latencies.quantile(Timestamp::ZERO, Ns::MAX) == slow {
            latencies.add(Timestamp::ZERO, Some(1_000_000), Ns::MAX);
            outcomes += 1;
        }
        // Four halvings at least, of 640 outcomes each.
        assert!((1_280..=4_000).contains(&outcomes), "{outcomes}");
    }
}
