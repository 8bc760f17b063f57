use super::SimError;
use crate::fault::Fate;

/// A limit to what a link may do, so that a test can promise success and still hurt.
///
/// Faults are losses, duplicates and damage; a delay is none. What would exceed the dose is delivered whole and once.
///
/// ```
/// use udp_retry::sim::Dose;
///
/// // Of any 10 datagrams in a row at most 6 meet a fault, and never more than 3 in a row are lost: the fourth of four
/// // transmissions arrives.
/// let dose = Dose::at_most(6, 10)?.drops_in_a_row(3);
/// # Ok::<(), udp_retry::sim::SimError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dose {
    faults: u32,
    /// Datagrams, from 1 to 64.
    window: u32,
    drops_in_a_row: u32,
    /// The latest datagrams, the newest in the lowest bit; set for a fault.
    history: u64,
    dropped: u32,
}

impl Dose {
    /// Allows `faults` faults among any `window` datagrams in a row. As many faults as datagrams are
    /// no limit.
    ///
    /// # Errors
    ///
    /// [`SimError::DoseWindow`] unless the window holds from 1 to 64 datagrams.
    pub const fn at_most(faults: u32, window: u32) -> Result<Self, SimError> {
        match window {
            0 => Err(SimError::DoseWindow { window, nearest: 1 }),
            1..=LONGEST_WINDOW => Ok(Self { faults, window, drops_in_a_row: u32::MAX, history: 0, dropped: 0 }),
            _ => Err(SimError::DoseWindow { window, nearest: LONGEST_WINDOW }),
        }
    }

    /// Allows this many losses in a row; without it, as many as there may be faults.
    #[must_use]
    pub const fn drops_in_a_row(self, drops: u32) -> Self {
        Self { drops_in_a_row: drops, ..self }
    }

    /// The fate, or the plain one if that would be too much.
    pub(super) fn moderate(&mut self, fate: Fate, plain: Fate) -> Fate {
        let dropped = !matches!(fate, Fate::Delivered(_));
        let harmed = !fate.is_harmless(&plain);
        // What counts together with this one.
        let others = self.history & low_bits(self.window - 1);
        let too_much = harmed && others.count_ones() >= self.faults || dropped && self.dropped >= self.drops_in_a_row;
        self.history = self.history << 1 | u64::from(harmed && !too_much);
        self.dropped = if dropped && !too_much { self.dropped + 1 } else { 0 };
        if too_much { fate.healed(&plain) } else { fate }
    }
}

/// The bits of the history.
const LONGEST_WINDOW: u32 = u64::BITS;

const fn low_bits(count: u32) -> u64 {
    match 1_u64.checked_shl(count) {
        Some(bit) => bit - 1,
        None => u64::MAX,
    }
}
