use alloc::collections::BTreeMap;
use alloc::string::String;
use core::str::FromStr;

use super::{Direction, Impairments, Infeasible, Profile, Script};

/// A recorded run, to be repeated: the [`Record`](super::Record)s of all links as lines of JSON.
///
/// What it gives back are scripts, so that the same datagrams meet the same fates in a proxy, a
/// [`LossySink`](super::LossySink) or a simulation, without any chance. What was dropped by whatever cause is dropped
/// by the script; datagrams past the end of the recording pass unharmed.
///
/// ```
/// use udp_retry::fault::{Direction, Trace};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let trace: Trace = r#"
///     {"link":0,"direction":"to_server","n":1,"at_ns":0,"len":4,"dropped":"loss"}
///     {"link":0,"direction":"to_server","n":2,"at_ns":9,"len":4,"delivered":[{"after_ns":200000000,"len":4,"flips":[]}]}
/// "#.parse()?;
/// assert_eq!(trace.script(0, Direction::ToServer), "drop 1; delay 2 by 200ms".parse()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Trace {
    scripts: BTreeMap<(u64, Direction), Script>,
}

/// Why a text is no trace.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// A line is no record.
    #[error("line {line}: {reason}")]
    NotARecord {
        /// Which line, from 1.
        line: usize,
        /// What is missing or wrong.
        reason: String,
    },
    /// No script can do what the records of a link say.
    #[error("link {link}, {}: {reason}", direction.as_str())]
    Infeasible {
        /// Which link.
        link: u64,
        /// Which way.
        direction: Direction,
        /// Why.
        reason: Infeasible,
    },
}

impl Trace {
    /// What happened on one link, as a script.
    #[must_use]
    pub fn script(&self, link: u64, direction: Direction) -> Script {
        self.scripts.get(&(link, direction)).cloned().unwrap_or_default()
    }

    /// What happened on both links of one client, and nothing else.
    #[must_use]
    pub fn profile(&self, link: u64) -> Profile {
        let only = |direction| Impairments::NONE.with_script(self.script(link, direction));
        Profile { to_server: only(Direction::ToServer), to_client: only(Direction::ToClient) }
    }
}

impl FromStr for Trace {
    type Err = TraceError;

    fn from_str(text: &str) -> Result<Self, TraceError> {
        todo!("{text}")
    }
}
