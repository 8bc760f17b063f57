use core::time::Duration;

/// Why a policy cannot be built: the rule that is broken and the values that break it.
///
/// Nothing is clamped in silence; whatever was built keeps every promise of its documentation.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The initial interval is zero: such a schedule would spin.
    #[error("the initial interval must be longer than zero")]
    ZeroInitial,
    /// The longest interval is shorter than the initial one.
    #[error("the longest interval, {max:?}, is below the initial one, {initial:?}")]
    MaxBelowInitial {
        /// The initial interval asked for.
        initial: Duration,
        /// The longest interval asked for.
        max: Duration,
    },
    /// A duration exceeds the 584 years that 64 bits of nanoseconds hold.
    #[error("{duration:?} is longer than the 584 years that can be counted in nanoseconds")]
    TooLong {
        /// The duration asked for.
        duration: Duration,
    },
    /// The multiplier is not a number from 1 to 10⁹.
    #[error("the multiplier must be a number from 1 to 1,000,000,000, not {multiplier}")]
    MultiplierOutOfRange {
        /// The multiplier asked for.
        multiplier: f64,
    },
    /// A jitter factor is not a number from 0 to 10⁹, or both are zero.
    #[error("jitter factors must be numbers from 0 to 1,000,000,000, the higher above 0, not {lo} and {hi}")]
    JitterOutOfRange {
        /// The lower factor asked for.
        lo: f64,
        /// The higher factor asked for.
        hi: f64,
    },
    /// The lower jitter factor exceeds the higher one.
    #[error("the lower jitter factor, {lo}, exceeds the higher one, {hi}")]
    JitterInverted {
        /// The lower factor asked for.
        lo: f64,
        /// The higher factor asked for.
        hi: f64,
    },
    /// Not even the initial interval fits below the longest one with its jitter.
    #[error("with its jitter the initial interval reaches {reaches:?}, above the longest interval, {max:?}")]
    JitterTooWide {
        /// Where the initial interval reaches with the largest jitter.
        reaches: Duration,
        /// The longest interval asked for.
        max: Duration,
    },
    /// Compounding jitter has factors on both sides of 1: it lengthens and shortens.
    #[error("compounding jitter needs factors on both sides of 1, not {lo} and {hi}")]
    CompoundingOneSided {
        /// The lower factor asked for.
        lo: f64,
        /// The higher factor asked for.
        hi: f64,
    },
    /// Compounding jitter needs (multiplier − 1 + lo) · lo of at least 1.25, so that the intervals grow whatever
    /// is drawn.
    #[error(
        "compounding jitter down to {lo} needs a larger multiplier than {multiplier}: (multiplier - 1 + lo) * lo must reach 1.25"
    )]
    CompoundingTooSlow {
        /// The multiplier asked for.
        multiplier: f64,
        /// The lower jitter factor asked for.
        lo: f64,
    },
    /// The floor exceeds the initial interval.
    #[error("the floor, {floor:?}, exceeds the initial interval, {initial:?}")]
    FloorAboveInitial {
        /// The floor asked for.
        floor: Duration,
        /// The initial interval of the backoff.
        initial: Duration,
    },
    /// A policy without a single transmission.
    #[error("a policy needs at least one transmission")]
    ZeroTransmissions,
    /// The last wait is zero times the initial interval: no reply could come in time.
    #[error("the last wait must be at least one initial interval")]
    ZeroLastWait,
    /// A deadline of zero: not even the first transmission could leave.
    #[error("the deadline must be longer than zero")]
    ZeroDeadline,
    /// A patience of zero: a provisional answer would end the request.
    #[error("the patience must be longer than zero")]
    ZeroPatience,
    /// The start delay ends before it begins.
    #[error("the start delay ends at {to:?}, before it begins at {from:?}")]
    StartDelayInverted {
        /// The shortest delay asked for.
        from: Duration,
        /// The longest delay asked for.
        to: Duration,
    },
    /// The bounds of an estimator are out of order.
    #[error("an estimator needs 0 < floor <= initial <= cap, not {floor:?}, {initial:?} and {cap:?}")]
    EstimatorBounds {
        /// The floor asked for.
        floor: Duration,
        /// The initial timeout asked for.
        initial: Duration,
        /// The cap asked for.
        cap: Duration,
    },
    /// A budget's ratio is not a number from 0 to 10⁹.
    #[error("the ratio of a budget must be a number from 0 to 1,000,000,000, not {ratio}")]
    BudgetRatioOutOfRange {
        /// The ratio asked for.
        ratio: f64,
    },
    /// A budget starts with more tokens than it can hold.
    #[error("a budget that holds {burst} tokens cannot start with {start}")]
    BudgetStartAboveBurst {
        /// The tokens at the start.
        start: u32,
        /// The tokens that it holds.
        burst: u32,
    },
}
