use core::time::Duration;

use super::probability::Probability;
use crate::size::LARGEST_DATAGRAM;

/// Why an impairment is not possible, and the nearest one that is.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Infeasible {
    /// This loss does not fit into bursts this short, or a burst is shorter than one datagram.
    #[error("a loss of {loss} in bursts of {mean_burst} cannot be: they last {} datagrams at least", rounded_up(*least))]
    BurstTooShort {
        /// The loss asked for.
        loss: Probability,
        /// The mean burst asked for.
        mean_burst: f64,
        /// The shortest mean burst that has this loss.
        least: f64,
    },
    /// Bursts whose end no run would ever see.
    #[error("bursts of {mean_burst} are too long: {most} datagrams at most")]
    BurstTooLong {
        /// The mean burst asked for.
        mean_burst: f64,
        /// The longest mean burst.
        most: f64,
    },
    /// A certain loss never ends, so it has no bursts of finite length.
    #[error("a certain loss has no bursts of {mean_burst}: without a burst it is feasible")]
    CertainLossInBursts {
        /// The mean burst asked for.
        mean_burst: f64,
    },
    /// A chain that never leaves a state has no long-run loss: at least one transition must be possible.
    #[error("a chain that never changes its state has no long-run loss: r must be more than 0%, such as 100%")]
    FrozenChain,
    /// More losses than datagrams.
    #[error("{drops} of {of} cannot be lost: at most {of}")]
    MoreThanTheBlock {
        /// The losses asked for.
        drops: u32,
        /// The block asked for.
        of: u32,
    },
    /// A block of nothing.
    #[error("a block holds at least 1 datagram")]
    EmptyBlock,
    /// A pattern has from 1 to 64 places.
    #[error("a pattern has from 1 to 64 places, not {places}: the nearest has {nearest}")]
    PatternLength {
        /// The places asked for.
        places: usize,
        /// The nearest number of places.
        nearest: usize,
    },
    /// A delay would be negative.
    #[error("a delay of {mean:?} cannot vary by {jitter:?}: by {mean:?} at most")]
    JitterAboveDelay {
        /// The mean delay asked for, which is also the widest jitter.
        mean: Duration,
        /// The jitter asked for.
        jitter: Duration,
    },
    /// A duration past 584 years.
    #[error("{duration:?} is too long: {most:?} at most")]
    DurationTooLong {
        /// The duration asked for.
        duration: Duration,
        /// The longest one.
        most: Duration,
    },
    /// A table of quantiles has from 2 to 65,536 of them.
    #[error("a table has from 2 to 65536 quantiles, not {quantiles}: the nearest has {nearest}")]
    TableLength {
        /// The quantiles given.
        quantiles: usize,
        /// The nearest number of quantiles.
        nearest: usize,
    },
    /// A delay that never varies cannot resemble the one before.
    #[error("a delay that never varies has no correlation: 0% is feasible")]
    CorrelationOfAConstant,
    /// A delay that always equals the one before has no distribution.
    #[error("a correlation of 100% never changes: less than that is feasible, such as 99%")]
    CertainCorrelation,
    /// Nothing would ever pass.
    #[error("a rate is at least 1 bit per second; for nothing at all there are outages")]
    ZeroRate,
    /// The queue would need unbounded memory.
    #[error("a queue holds at most {most} datagrams, not {datagrams}")]
    QueueTooLong {
        /// The datagrams asked for.
        datagrams: u32,
        /// The longest queue.
        most: u32,
    },
    /// A corruption flips from 1 to 8 bits.
    #[error("a corruption flips from 1 to 8 bits, not {bits}: the nearest is {nearest}")]
    BitCount {
        /// The bits asked for.
        bits: u8,
        /// The nearest number of bits.
        nearest: u8,
    },
    /// What is held back for no time is not reordered.
    #[error("holding back for no time reorders nothing: 1ns at least")]
    HoldOfNothing,
    /// What is held back alike all the time is not reordered.
    #[error("holding back every datagram reorders none: less than 100% is feasible, such as 99%")]
    HoldOfAll,
    /// Not even an empty datagram would pass.
    #[error("an MTU of {mtu} carries no datagram: {least} at least, for the headers")]
    MtuBelowHeaders {
        /// The MTU asked for.
        mtu: u32,
        /// The least one: the headers.
        least: u32,
    },
    /// More headers than a packet has bytes.
    #[error("headers of {headers} bytes do not fit into a packet: {most} at most")]
    HeadersTooLong {
        /// The headers asked for.
        headers: u32,
        /// The longest ones.
        most: u32,
    },
    /// An outage of no length.
    #[error("an outage lasts 1ns at least")]
    EmptyOutage,
    /// An outage that begins anew before it ends.
    #[error("an outage of {lasting:?} cannot begin every {every:?}: it lasts {most:?} at most")]
    EndlessOutage {
        /// The length asked for.
        lasting: Duration,
        /// The period asked for.
        every: Duration,
        /// The longest outage in this period.
        most: Duration,
    },
    /// More outages than a link can have.
    #[error("at most {most} outages, not one more")]
    TooManyOutages {
        /// The most outages.
        most: usize,
    },
    /// A dose looks at 1 to 64 datagrams in a row.
    #[error("a dose looks at 1 to 64 datagrams in a row, not at {window}: the nearest is {nearest}")]
    DoseWindow {
        /// The datagrams asked for.
        window: u32,
        /// The nearest number of datagrams.
        nearest: u32,
    },
    /// A capacity for less than one datagram of the largest size.
    #[error(
        "a capacity of {datagrams} datagrams and {bytes} bytes is too small: 1 datagram and {LARGEST_DATAGRAM} bytes at \
         least"
    )]
    NoCapacity {
        /// The datagrams asked for.
        datagrams: usize,
        /// The bytes asked for.
        bytes: usize,
    },
    /// One setting cannot change twice at one time.
    #[error("two changes of one setting at {at:?}: one is feasible")]
    TwoChangesAtOnce {
        /// The time.
        at: Duration,
    },
    /// More changes than a specification can have.
    #[error("at most {most} changes, not one more; they can be repeated")]
    TooManyChanges {
        /// The most changes.
        most: usize,
    },
    /// A change that is set behind the end of what is repeated.
    #[error("a change at {at:?} never comes, as all begins anew at {end:?}: before that it is feasible")]
    ChangeNeverComes {
        /// The time of the change.
        at: Duration,
        /// The end of the first round.
        end: Duration,
    },
    /// A repetition of a time without changes.
    #[error("nothing changes in what is repeated: it takes a change after {from:?}, before the next round")]
    NothingToRepeat {
        /// Where the repetition begins.
        from: Duration,
    },
    /// A repetition that no datagram ever leaves.
    #[error("nothing ever leaves: what is repeated has no line of the trace of the rate in it")]
    NothingLeaves,
    /// Scripts count datagrams from 1.
    #[error("the first datagram is number 1")]
    NoDatagramZero,
    /// No datagram can meet all that a script says of this one.
    #[error("the script is at odds with itself on datagram {number}: one rule less is feasible")]
    RulesAtOdds {
        /// The datagram.
        number: u64,
    },
}

/// To nine decimals: a loss of 60 % needs 1.5 and not 1.4999999999999998, although that would do.
fn rounded_up(number: f64) -> f64 {
    libm::ceil(number * 1e9) / 1e9
}
