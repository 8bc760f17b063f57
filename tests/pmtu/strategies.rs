//! How others search, modelled from what they say of themselves: one size at a time, which is given up once it was lost three
//! times (RFC 8899 §5.1.2, MAX_PROBES). They do not use the reports of routers. All sizes are of IP packets.

/// What is probed next, from what became of the probes before.
pub(crate) trait Strategy {
    /// `None` at the end.
    fn next(&self) -> Option<u32>;
    fn on_acked(&mut self);
    fn on_lost(&mut self);
    /// The largest that arrived.
    fn found(&self) -> Option<u32>;
}

/// quinn (`MtuDiscoveryConfig`): binary search between what is known to arrive and an upper bound, until a step would be less
/// than 20 bytes; the upper bound itself comes last if nothing has been lost.
pub(crate) struct Halving {
    base: u32,
    bound: u32,
    found: Option<u32>,
    above: u32,
    losses: u8,
}

impl Halving {
    pub(crate) fn new(base: u32, bound: u32) -> Self {
        Self { base, bound, found: None, above: bound, losses: 0 }
    }
}

impl Strategy for Halving {
    fn next(&self) -> Option<u32> {
        let Some(found) = self.found else { return (self.losses < MAX_PROBES).then_some(self.base) };
        let step = (self.above - found) / 2;
        match step >= LEAST_STEP {
            true => Some(found + step),
            false => Some(self.bound).filter(|&bound| found < bound && self.above == bound),
        }
    }

    fn on_acked(&mut self) {
        (self.found, self.losses) = (self.next(), 0);
    }

    fn on_lost(&mut self) {
        self.losses += 1;
        if let Some(size) = self.next().filter(|_| self.losses == MAX_PROBES && self.found.is_some()) {
            (self.above, self.losses) = (size - 1, 0);
        }
    }

    fn found(&self) -> Option<u32> {
        self.found
    }
}

/// neqo: upwards through a table of sizes that the Internet is known to have, until one is lost three times.
pub(crate) struct Upwards {
    sizes: Vec<u32>,
    acked: usize,
    losses: u8,
}

impl Upwards {
    pub(crate) fn new(base: u32, bound: u32) -> Self {
        let above = TABLE.into_iter().filter(|&size| base < size && size <= bound);
        Self { sizes: std::iter::once(base).chain(above).collect(), acked: 0, losses: 0 }
    }
}

impl Strategy for Upwards {
    fn next(&self) -> Option<u32> {
        self.sizes.get(self.acked).copied().filter(|_| self.losses < MAX_PROBES)
    }

    fn on_acked(&mut self) {
        (self.acked, self.losses) = (self.acked + 1, 0);
    }

    fn on_lost(&mut self) {
        self.losses += 1;
    }

    fn found(&self) -> Option<u32> {
        self.sizes.get(self.acked.checked_sub(1)?).copied()
    }
}

const MAX_PROBES: u8 = 3;
const LEAST_STEP: u32 = 20;
/// Those up to Ethernet's, over IPv4.
const TABLE: [u32; 5] = [1280, 1380, 1420, 1472, 1500];
