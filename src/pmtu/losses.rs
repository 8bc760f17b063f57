use super::odds::LossProbability;

/// Sizes that were lost, each smaller than the one before.
///
/// Since a path that drops a size drops every larger one (RFC 4821 §7.3, search_high), only the smallest is of interest until
/// that one arrives after all; then the next larger one is.
#[derive(Clone, Debug)]
pub(super) struct SetAside {
    sizes: [LostSize; MOST],
    len: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LostSize {
    pub(super) len: u16,
    pub(super) losses: u8,
}

impl SetAside {
    pub(super) const fn new() -> Self {
        Self { sizes: [LostSize { len: 0, losses: 0 }; MOST], len: 0 }
    }

    pub(super) fn smallest(&self) -> Option<LostSize> {
        self.sizes.get(self.len.checked_sub(1)?).copied()
    }

    /// One more loss of this size. Of one above the smallest nothing is noted: that one's verdict is its verdict.
    pub(super) fn add(&mut self, len: u16) {
        match self.smallest() {
            Some(smallest) if smallest.len < len => {}
            Some(smallest) if smallest.len == len => {
                if let Some(it) = self.sizes.get_mut(self.len - 1) {
                    it.losses = it.losses.saturating_add(1);
                }
            }
            _ => self.push(LostSize { len, losses: 1 }),
        }
    }

    /// Where all places are taken the largest size gives its own up, and is set aside once more when its turn comes.
    fn push(&mut self, lost: LostSize) {
        if self.len == MOST {
            self.sizes.rotate_left(1);
            self.len -= 1;
        }
        if let Some(place) = self.sizes.get_mut(self.len) {
            *place = lost;
            self.len += 1;
        }
    }

    /// A probe of `len` arrived. Returns how many were lost of the sizes that fit: by chance, as is known now.
    pub(super) fn confirm(&mut self, len: u16) -> u32 {
        let mut by_chance = 0;
        while let Some(lost) = self.smallest().filter(|it| it.len <= len) {
            by_chance += u32::from(lost.losses);
            self.len -= 1;
        }
        by_chance
    }

    /// Nothing of `ceiling` or more fits.
    pub(super) fn drop_from(&mut self, ceiling: u16) {
        let above = self.sizes.iter().take(self.len).filter(|it| it.len >= ceiling).count();
        self.sizes.rotate_left(above);
        self.len -= above;
    }
}

/// What the path loses of sizes that it carries (RFC 8899 §3, probe loss recovery; RFC 4821 §7.6.4).
#[derive(Clone, Copy, Debug)]
pub(super) struct PathLoss {
    losses: u32,
    trials: u32,
}

impl PathLoss {
    pub(super) const fn new() -> Self {
        Self { losses: 0, trials: 0 }
    }

    pub(super) fn on_acked(&mut self) {
        self.trials = self.trials.saturating_add(1);
    }

    pub(super) fn on_lost(&mut self, losses: u32) {
        self.losses = self.losses.saturating_add(losses);
        self.trials = self.trials.saturating_add(losses);
    }

    /// What was counted as lost was late.
    pub(super) fn forgive(&mut self) {
        self.losses = self.losses.saturating_sub(1);
        self.trials = self.trials.saturating_sub(1);
    }

    /// Halves what was seen once that is this much, so that what happens now outweighs it.
    pub(super) fn forget_beyond(&mut self, trials: u32) {
        if self.trials >= trials {
            self.losses /= 2;
            self.trials /= 2;
        }
    }

    /// Whether it makes sense to measure it: a path that has lost nothing yet may lose a tenth.
    pub(super) fn is_unknown(self) -> bool {
        self.losses == 0 && self.trials < ENOUGH_TRIALS
    }

    pub(super) fn probability(self) -> LossProbability {
        LossProbability::estimate(self.losses, self.trials)
    }
}

/// None lost of eight estimates a tenth, and three losses in a row are one in a thousand then.
const ENOUGH_TRIALS: u32 = 8;

/// Halving the whole range of sizes 16 times ends it.
const MOST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(set_aside: &SetAside) -> Vec<(u16, u8)> {
        set_aside.sizes[..set_aside.len].iter().map(|it| (it.len, it.losses)).collect()
    }

    #[test]
    fn only_the_smallest_counts_on() {
        let mut lost = SetAside::new();
        assert_eq!(lost.smallest(), None);
        for len in [1472, 1300, 1300, 1472, 1400, 1250] {
            lost.add(len);
        }
        assert_eq!(sizes(&lost), [(1472, 1), (1300, 2), (1250, 1)]);
        assert_eq!(lost.confirm(1249), 0);
        assert_eq!(lost.confirm(1300), 3);
        assert_eq!(sizes(&lost), [(1472, 1)]);
        lost.add(1472);
        assert_eq!(lost.confirm(u16::MAX), 2);
        assert_eq!(lost.confirm(u16::MAX), 0);
    }

    #[test]
    fn what_cannot_fit_is_dropped_from_the_large_end() {
        let mut lost = SetAside::new();
        [9000, 1472, 1400].into_iter().for_each(|len| lost.add(len));
        lost.drop_from(1472);
        assert_eq!(sizes(&lost), [(1400, 1)]);
        lost.drop_from(1401);
        assert_eq!(sizes(&lost), [(1400, 1)]);
        lost.drop_from(0);
        assert_eq!(sizes(&lost), []);
    }

    #[test]
    fn the_largest_gives_way_and_no_count_overflows() {
        let mut lost = SetAside::new();
        (0..20).rev().for_each(|len| lost.add(len));
        assert_eq!(sizes(&lost), (0..16).rev().map(|len| (len, 1)).collect::<Vec<_>>());
        (0..1_000).for_each(|_| lost.add(0));
        assert_eq!(lost.smallest(), Some(LostSize { len: 0, losses: u8::MAX }));
        assert_eq!(lost.confirm(15), 15 + 255);
    }
}
