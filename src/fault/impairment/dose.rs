use super::infeasible::Infeasible;

/// A limit to what a link may do to its datagrams, so that a test can promise success and still hurt.
///
/// A fault is a loss, an error, a further copy, a truncation or a flipped bit; a delay is none. What would exceed the
/// dose is delivered whole and once, at the time at which it would have arrived unharmed.
///
/// It holds for *every* window of consecutive datagrams of the link, numbered as a [`Script`](crate::fault::Script) numbers
/// them, whatever harms them: chance, scripts, outages, the MTU and the queue, or the choices of
/// `sim::exhaust`. When the dose changes, the datagrams before the change still count. Two things are
/// outside of it: what never enters the link, as in a partition, and what finds no [`Capacity`](crate::fault::Capacity); the
/// latter counts as a fault, so that others wait for it.
///
/// As text it is the clause `dose 6 of 10 drops 3` of [`Impairments`](crate::fault::Impairments).
///
/// ```
/// use udp_retry::Impairments;
/// use udp_retry::fault::Dose;
///
/// // Of any 10 datagrams in a row at most 6 meet a fault, and never more than 3 in a row are lost: the fourth of four
/// // transmissions arrives.
/// let dose = Dose::at_most(6, 10)?.drops_in_a_row(3);
/// let harsh: Impairments = "loss 90%; dose 6 of 10 drops 3".parse()?;
/// assert_eq!(harsh.dose(), Some(&dose));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Dose {
    faults: u32,
    /// Datagrams, from 1 to 64.
    window: u32,
    drops_in_a_row: Option<u32>,
}

impl Dose {
    /// Allows `faults` faults among any `window` datagrams in a row. As many faults as datagrams are no limit.
    ///
    /// # Errors
    ///
    /// [`Infeasible::DoseWindow`] unless the window holds from 1 to 64 datagrams.
    pub const fn at_most(faults: u32, window: u32) -> Result<Self, Infeasible> {
        match window {
            0 => Err(Infeasible::DoseWindow { window, nearest: 1 }),
            1..=LONGEST_WINDOW => Ok(Self { faults, window, drops_in_a_row: None }),
            _ => Err(Infeasible::DoseWindow { window, nearest: LONGEST_WINDOW }),
        }
    }

    /// Allows this many losses in a row; without it, as many as there may be faults.
    #[must_use]
    pub const fn drops_in_a_row(self, drops: u32) -> Self {
        Self { drops_in_a_row: Some(drops), ..self }
    }

    /// The faults that it allows in a window.
    #[must_use]
    pub const fn faults(&self) -> u32 {
        self.faults
    }

    /// The datagrams of a window.
    #[must_use]
    pub const fn window(&self) -> u32 {
        self.window
    }

    /// The losses that it allows in a row, where they have a limit of their own.
    #[must_use]
    pub const fn most_in_a_row(&self) -> Option<u32> {
        self.drops_in_a_row
    }
}

/// What the latest datagrams of a link met, whatever the dose was then.
#[derive(Clone, Copy, Default, Debug)]
pub(in crate::fault) struct DoseState {
    /// The newest in the lowest bit; set for a fault.
    harmed: u64,
    dropped: u32,
}

impl DoseState {
    /// Whether the next datagram may be harmed, and lost, within the dose.
    #[inline]
    pub(in crate::fault) fn allows(&self, dose: &Dose, dropped: bool) -> bool {
        // What counts together with this one.
        let others = self.harmed & low_bits(dose.window - 1);
        let in_a_row = dropped && dose.drops_in_a_row.is_some_and(|most| self.dropped >= most);
        others.count_ones() < dose.faults && !in_a_row
    }

    #[inline]
    pub(in crate::fault) fn note(&mut self, harmed: bool, dropped: bool) {
        self.harmed = self.harmed << 1 | u64::from(harmed);
        self.dropped = if dropped { self.dropped.saturating_add(1) } else { 0 };
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
