use core::fmt;

/// Where a family of random decisions starts; the same seed gives the same decisions, everywhere and always.
///
/// There is no generator state. Each decision has a name of its own, f(seed, stream, stage or slot, sequence),
/// spelled as [`derive`](Seed::derive) for every part but the last and [`draw`](Seed::draw) for the last. So
/// adding a decision, skipping one or reading a statistic never changes another. Every seed is as good as any
/// other, 0 and `u64::MAX` included, and neighbouring seeds share nothing.
///
/// **A seed keeps no secret**: whoever sees a draw can work out the seed, and with it every other draw.
///
/// ```
/// use udp_retry::Seed;
///
/// let losses = Seed::new(7).derive(1);
/// assert_eq!(losses.draw(3), Seed::new(7).derive(1).draw(3));
/// assert_ne!(losses.draw(3), Seed::new(8).derive(1).draw(3));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Seed(u64);

impl Seed {
    /// The seed of this number; all 2⁶⁴ are equally good.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, which gives the same seed again.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The seed of a sub-family: of one stream, stage, link or request.
    #[must_use]
    pub const fn derive(self, label: u64) -> Self {
        Self(counted(keyed(self.0, DERIVE), label))
    }

    /// The draw of number `sequence`: 64 uniform bits that depend on nothing but seed and number.
    #[must_use]
    pub const fn draw(self, sequence: u64) -> u64 {
        self.draws().draw(sequence)
    }

    /// All its draws, for one who takes many.
    pub(crate) const fn draws(self) -> Draws {
        Draws { key: keyed(self.0, DRAW) }
    }
}

/// The draws of one seed, with the half of the work done that is the same for all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draws {
    key: u64,
}

impl Draws {
    /// As [`Seed::draw`].
    pub(crate) const fn draw(self, sequence: u64) -> u64 {
        counted(self.key, sequence)
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The value of `lo..=hi` at the fraction draw/2⁶⁴: `lo` at 0, `hi` at `u64::MAX`, growing with the draw.
pub(crate) const fn uniform(lo: u64, hi: u64, draw: u64) -> u64 {
    let choices = hi.saturating_sub(lo) as u128 + 1;
    // Below `choices`, so at most hi - lo.
    let offset = ((draw as u128 * choices) >> 64) as u64;
    lo.saturating_add(offset)
}

/// The first of two rounds of a 64-bit finalizer, which together are a bijection of the counter under every key, and of
/// the key under every counter, so that no key is degenerate. Some 3 ns.
const fn keyed(key: u64, purpose: u64) -> u64 {
    finalize(key.wrapping_add(purpose))
}

const fn counted(key: u64, counter: u64) -> u64 {
    finalize(key.wrapping_add(counter.wrapping_mul(GAMMA)))
}

/// David Stafford's 13th variant of the MurmurHash3 finalizer, as used by SplitMix64.
const fn finalize(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// 2⁶⁴ divided by the golden ratio, made odd.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
/// Keep derived seeds and draws apart. Neither is 0, the finalizer's fixed point.
const DERIVE: u64 = 0xd1b5_4a32_d192_ed03;
const DRAW: u64 = GAMMA;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_pin_the_draws_for_ever() {
        // Computed apart from this code, with unbounded integers.
        const KNOWN: [u64; 6] = [
            0x4821_8226_ff3c_d4bf,
            0xa706_dd2f_4d19_7e6f,
            0xdce4_23fc_82c0_d5b8,
            0x2dfe_1aa5_65b7_ff81,
            0x1e63_ef64_be8d_658f,
            0xe288_f7bd_2901_62c6,
        ];
        let answers = [
            Seed::new(0).draw(0),
            Seed::new(0).draw(1),
            Seed::new(1).draw(0),
            Seed::new(u64::MAX).draw(u64::MAX),
            Seed::new(0).derive(0).draw(0),
            Seed::new(7).derive(1).draw(3),
        ];
        assert_eq!(answers, KNOWN);
    }

    #[test]
    fn the_ends_of_a_range_belong_to_the_ends_of_the_draw() {
        for (lo, hi) in [(0, 0), (5, 9), (0, u64::MAX), (u64::MAX, u64::MAX), (u64::MAX - 1, u64::MAX)] {
            assert_eq!(uniform(lo, hi, 0), lo);
            assert_eq!(uniform(lo, hi, u64::MAX), hi);
        }
        assert_eq!(uniform(0, 3, u64::MAX / 2), 1);
        assert_eq!(uniform(0, 3, u64::MAX / 2 + 1), 2);
    }

    #[test]
    fn every_bit_is_even_handed_at_hostile_seeds() {
        const N: u64 = 4096;
        for seed in [0, 1, 2, u64::MAX, 1 << 63, DERIVE, GAMMA, GAMMA.wrapping_neg(), DERIVE.wrapping_neg()] {
            for family in [Seed::new(seed), Seed::new(seed).derive(0), Seed::new(seed).derive(1)] {
                for bit in 0..64 {
                    let ones = (0..N).filter(|&n| family.draw(n) >> bit & 1 == 1).count();
                    // 6 sigma of a fair coin thrown 4096 times is 192.
                    assert!(ones.abs_diff(2048) <= 192, "seed {seed}, bit {bit}: {ones} ones of {N}");
                }
            }
        }
    }

    #[test]
    fn neighbouring_seeds_and_sequences_share_no_draw() {
        let mut draws: Vec<u64> = (0..64).flat_map(|seed| (0..64).map(move |n| Seed::new(seed).draw(n))).collect();
        draws.sort_unstable();
        draws.dedup();
        assert_eq!(draws.len(), 64 * 64);
    }
}
