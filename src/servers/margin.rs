use crate::time::Ns;

/// How much longer than the timeouts the waits of all servers are, because replies came late.
///
/// A reply after its wait shows that a request went to another server in vain. Where all are busy every such copy makes all
/// of them later, and a budget that pays for a fifth more is enough to keep them there. So one late reply makes the waits
/// four times as long, up to sixteen, and each reply in time takes a 64th back: about one in fifty may be late for long.
/// It is the same for all, as a server that is left for its queue is left for one whose queue is no shorter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Margin {
    /// A multiple of [`ONE`].
    factor: u64,
}

impl Margin {
    pub(super) const NONE: Self = Self { factor: ONE };

    pub(super) fn on_reply(&mut self, was_late: bool) {
        self.factor =
            if was_late { (self.factor * GROWTH).min(MOST) } else { (self.factor - self.factor / 64).max(ONE) };
    }

    pub(super) const fn applied_to(self, wait: Ns) -> Ns {
        wait.saturating_add((wait / ONE).saturating_mul(self.factor - ONE))
    }
}

const ONE: u64 = 1024;
const GROWTH: u64 = 4;
const MOST: u64 = 16 * ONE;
