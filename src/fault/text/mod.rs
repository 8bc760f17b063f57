//! Impairments and scripts as text: read, and written so that they read back.

mod clauses;
mod cursor;
pub(super) mod quantity;
mod rules;
mod shown;
mod specification;
#[cfg(feature = "trace")]
pub(super) mod trace;
mod traces;

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use cursor::Cursor;

use crate::fault::impairment::impairments::Impairments;
use crate::fault::impairment::infeasible::Infeasible;
use crate::fault::impairment::rate_trace::RateTraceError;
use crate::fault::impairment::script::Script;

/// Why a text is not a specification, and where.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// Something other than what is expected stands here.
    #[error("at {position}: expected {expected}, found {}", Found(found))]
    Unexpected {
        /// Characters into the text, from 1.
        position: usize,
        /// What could stand here.
        expected: &'static str,
        /// What stands there, up to 40 characters of it; empty at the end of the text.
        found: String,
    },
    /// Every word is in its place, but no network can do this.
    #[error("at {position}: {reason}")]
    Infeasible {
        /// Characters into the text, from 1: where the value of the clause begins; in a script, the number of the
        /// datagram.
        position: usize,
        /// Why, and what is feasible.
        reason: Infeasible,
    },
    /// A recorded rate is not one.
    #[error("at {position}: {}{reason}", Of(file))]
    NotATrace {
        /// Characters into the text, from 1.
        position: usize,
        /// The file that it stands in, unless it stands in the text itself.
        file: Option<String>,
        /// What is wrong with it, and in which line.
        reason: RateTraceError,
    },
    /// A file cannot be read.
    #[error("at {position}: cannot read {file}: {reason}")]
    Unreadable {
        /// Characters into the text, from 1.
        position: usize,
        /// The file.
        file: String,
        /// What the system says.
        reason: String,
    },
}

impl SpecError {
    /// Where it goes wrong: characters into the text, from 1.
    #[must_use]
    pub const fn position(&self) -> usize {
        match self {
            Self::Unexpected { position, .. }
            | Self::Infeasible { position, .. }
            | Self::NotATrace { position, .. }
            | Self::Unreadable { position, .. } => *position,
        }
    }
}

struct Of<'a>(&'a Option<String>);

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |file| write!(f, "{file}: "))
    }
}

struct Found<'a>(&'a str);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => f.write_str("the end"),
            found => write!(f, "{found:?}"),
        }
    }
}

/// Reads clauses between `;`, in any order, each at most once except `outage` and `at`; or `none`. Blanks and line ends
/// may stand between any two words, and a `;` may follow the last clause.
///
/// | clause | meaning |
/// |---|---|
/// | `script { drop 1,3; delay 7 by 200ms }` | a [`Script`] |
/// | `outage from 10s for 200ms every 15s` | [`Outage`](super::Outage); once, without `every` |
/// | `headers 48` | bytes of headers; by default 28, and 48 between IPv6 addresses |
/// | `mtu 1400` | [`MtuClamp`](super::MtuClamp): larger packets vanish; `error`, `report` or `truncate` may follow |
/// | `rate 10mbit queue 100ms` | [`Bottleneck`](super::Bottleneck); `queue 64kB`, `queue 25 datagrams`; 100 ms by default |
/// | `rate trace FILE queue 64kB` | the rate of a mahimahi file ([`RateTrace`](super::RateTrace)); `trace { 3,3,10 }` has it here |
/// | `loss 5%` | each datagram by itself |
/// | `loss 5% burst 3` | [`LossModel::bursts`](super::LossModel::bursts) |
/// | `loss 5% correlation 25%` | [`GilbertElliott::with_correlation`](super::GilbertElliott::with_correlation) |
/// | `loss p 1% r 20% good 0.1% bad 90%` | [`GilbertElliott::new`](super::GilbertElliott::new); 0% in `good` and 100% in `bad` by default |
/// | `loss exactly 3 of 10` | [`LossModel::exactly`](super::LossModel::exactly) |
/// | `loss pattern 0100` | [`LossModel::pattern`](super::LossModel::pattern), 1 is lost |
/// | `duplicate 1% late 2s` | [`Duplicate`](super::Duplicate); `late` and a distribution are optional |
/// | `truncate 0.5% to 100` | [`Truncate`](super::Truncate); to any shorter length without `to` |
/// | `corrupt 0.1% bits 3` | [`Corrupt`](super::Corrupt); 1 bit by default |
/// | `delay 50ms ~10ms` | [`DelayModel`](super::DelayModel) with a distribution; `correlation 25%` and `unordered` may follow |
/// | `reorder 2% by 30ms` | [`Reorder`](super::Reorder) |
/// | `dose 6 of 10 drops 3` | [`Dose`](super::Dose): at most 6 of any 10 are harmed, 3 in a row lost; any without `drops` |
/// | `at 5s loss 30%` | [`Impairments::with_change`]: from then on this clause instead; `at 5s loss none` takes it away, `at 5s none` all of them |
/// | `repeat from 5s every 200ms` | [`Impairments::repeating`]: the changes from then on, over and over; from the beginning without `from` |
///
/// | distribution | meaning |
/// |---|---|
/// | `50ms` | always this |
/// | `50ms ~10ms` | uniform, from 40 to 60 ms |
/// | `50ms normal 10ms` | the mean and the standard deviation |
/// | `50ms exponential 20ms` | the least, and the mean of what is added |
/// | `quantiles 10ms,12ms,80ms` | [`DelayLaw::measured`](super::DelayLaw::measured) |
///
/// An `at` replaces a whole clause: what it leaves out is as by default, not as before. So 1 and 9 Mbit/s by turns are
/// `rate 1mbit queue 64kB; at 100ms rate 9mbit queue 64kB; repeat every 200ms`. Times count from the beginning of the sink,
/// the proxy or the simulated network.
///
/// A `FILE` is read while the text is (feature `std`), by its path from the working directory; a name with blanks, `;` or
/// `}` stands between double quotes. What is written names the file again.
///
/// Units of time are `ns`, `us`, `ms`, `s`, `min` and `h`; of rate `bit`, `kbit`, `mbit` and `gbit`, per second; of
/// the bytes in a queue `B`, `kB`, `MB`, `GB`, `KiB`, `MiB` and `GiB`. A kB has 1,000 bytes, a KiB 1,024.
impl FromStr for Impairments {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        specification::impairments(&mut Cursor::new(text))
    }
}

/// Writes the clauses in the order of the stages. What is written reads back as an equal value.
impl fmt::Display for Impairments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown::impairments(self, f)
    }
}

/// Reads rules between `;`, in any order, or `none`.
///
/// | rule | meaning |
/// |---|---|
/// | `drop 1,3` | [`Rule::Drop`](super::Rule::Drop) of datagrams 1 and 3; every rule takes a list |
/// | `refuse 6 above 1372` | [`Rule::Refuse`](super::Rule::Refuse) |
/// | `delay 7 by 200ms` | [`Rule::Delay`](super::Rule::Delay) |
/// | `duplicate 5 after 2s` | [`Rule::Duplicate`](super::Rule::Duplicate); the copies are counted by time of arrival |
/// | `truncate 4 to 100` | [`Rule::Truncate`](super::Rule::Truncate); `4.1` is the first copy of datagram 4 |
/// | `corrupt 9 bit 13` | [`Rule::Corrupt`](super::Rule::Corrupt); `9.1` is the first copy of datagram 9 |
impl FromStr for Script {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut cursor = Cursor::new(text);
        let script = rules::script(&mut cursor)?;
        cursor.end()?;
        Ok(script)
    }
}

/// Writes the rules by datagram. What is written reads back as an equal value.
impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown::script(self, f)
    }
}
