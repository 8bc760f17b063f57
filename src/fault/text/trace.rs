use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::str::FromStr;
use core::time::Duration;

use serde_json::{Map, Value};

use crate::fault::direction::Direction;
use crate::fault::impairment::impairments::Impairments;
use crate::fault::impairment::infeasible::Infeasible;
use crate::fault::impairment::profile::Profile;
use crate::fault::impairment::script::{Rule, Script};

/// A recorded run, to be repeated: the [`Record`](crate::fault::Record)s of all links as lines of JSON.
///
/// It yields scripts, so that the same datagrams meet the same fates in a proxy, a [`LossySink`](crate::fault::LossySink) or a
/// simulation, without any chance. A datagram that was dropped is dropped by the script, whatever the cause was;
/// datagrams past the end of the recording pass unharmed.
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

/// Why a text is not a trace.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// A line is not a record.
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
        /// In which direction.
        direction: Direction,
        /// Why.
        reason: Infeasible,
    },
}

impl Trace {
    /// Reads a recording that may end within its last line, as it does where a full disk or the end of a program has torn
    /// what was written.
    ///
    /// Such a line, one without an end that is the beginning of a record and no more, is left out: beside the trace stands
    /// its number, from 1. All others are read as by [`FromStr`], which takes no such line. As a record that is left out
    /// passes unharmed, and with it all that follow, a caller says so.
    ///
    /// # Errors
    ///
    /// Those of [`FromStr`], for any line that is wrong in another way.
    ///
    /// ```
    /// use udp_retry::fault::{Direction, Trace};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let torn = "{\"link\":0,\"direction\":\"to_server\",\"n\":1,\"len\":4,\"dropped\":\"loss\"}\n{\"link\":0,\"dire";
    /// let (trace, left_out) = Trace::from_torn(torn)?;
    /// assert_eq!((trace.script(0, Direction::ToServer), left_out), ("drop 1".parse()?, Some(2)));
    /// assert!(torn.parse::<Trace>().is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_torn(text: &str) -> Result<(Self, Option<usize>), TraceError> {
        let (whole, last) = text.split_at(text.rfind('\n').map_or(0, |end| end + 1));
        let is_torn = !last.trim().is_empty() && serde_json::from_str::<Value>(last).is_err_and(|error| error.is_eof());
        let trace = if is_torn { whole } else { text }.parse()?;
        Ok((trace, is_torn.then(|| whole.lines().count() + 1)))
    }

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

/// Lines in any order. Blank lines and further members of a record are skipped; `at_ns` decides nothing and may be
/// missing.
impl FromStr for Trace {
    type Err = TraceError;

    fn from_str(text: &str) -> Result<Self, TraceError> {
        let mut links = BTreeMap::<_, Recorded>::new();
        for (line, record) in (1..).zip(text.lines()) {
            if !record.trim().is_empty() {
                read(record, &mut links).map_err(|reason| TraceError::NotARecord { line, reason })?;
            }
        }
        let script = |((link, direction), Recorded { rules, .. })| {
            let infeasible = |reason| TraceError::Infeasible { link, direction, reason };
            Script::new(rules).map(|script| ((link, direction), script)).map_err(infeasible)
        };
        links.into_iter().map(script).collect::<Result<_, _>>().map(|scripts| Self { scripts })
    }
}

/// What was read about one link.
#[derive(Default, Debug)]
struct Recorded {
    numbers: BTreeSet<u64>,
    rules: Vec<(u64, Rule)>,
}

fn read(line: &str, links: &mut BTreeMap<(u64, Direction), Recorded>) -> Result<(), String> {
    let record: Value = serde_json::from_str(line).map_err(|error| not_json(&error))?;
    let record = record.as_object().ok_or("a record is an object")?;
    let (link, direction, n) = (whole(record, "link")?, direction(record)?, whole(record, "n")?);
    if n == 0 {
        return Err("`n` counts from 1".to_owned());
    }
    let recorded = links.entry((link, direction)).or_default();
    if !recorded.numbers.insert(n) {
        return Err(format!("datagram {n} of link {link} {} was there before", direction.as_str()));
    }
    let mut add = |rule| recorded.rules.push((n, rule));
    match (record.get("delivered"), record.get("dropped"), record.get("too_big")) {
        (Some(copies), None, None) => delivered(list(copies, "delivered")?, whole(record, "len")?, add)?,
        (None, Some(Value::String(_)), None) => add(Rule::Drop),
        (None, Some(_), None) => return Err("`dropped` is not a cause".to_owned()),
        (None, None, Some(_)) => add(Rule::Refuse { limit: up_to_16_bits(whole(record, "too_big")?, "too_big")? }),
        (None, None, None) => return Err("lacks `delivered`, `dropped` or `too_big`".to_owned()),
        _ => return Err("has more than one of `delivered`, `dropped` and `too_big`".to_owned()),
    }
    Ok(())
}

/// The rules that deliver these copies of a datagram of `len` bytes.
fn delivered(copies: &[Value], len: u64, mut add: impl FnMut(Rule)) -> Result<(), String> {
    let copies = copies.iter().map(Copy::read).collect::<Result<Vec<_>, _>>()?;
    let (first, more) = copies.split_first().ok_or("`delivered` is empty")?;
    if first.after > 0 {
        add(Rule::Delay { by: Duration::from_nanos(first.after) });
    }
    // A script counts copies by their times of arrival.
    let mut more: Vec<_> = more.iter().collect();
    more.sort_by_key(|copy| copy.after);
    for copy in &more {
        let after = copy.after.checked_sub(first.after).ok_or("a copy comes before the datagram itself")?;
        add(Rule::Duplicate { after: Duration::from_nanos(after) });
    }
    // Numbers of copies end at 255: the script refuses far fewer.
    for (n, copy) in (0..=u8::MAX).zip([first].into_iter().chain(more)) {
        copy.add_damage(n, len, &mut add)?;
    }
    Ok(())
}

/// One copy of a datagram, as recorded.
#[derive(Debug)]
struct Copy {
    after: u64,
    len: u64,
    flips: Vec<u64>,
}

impl Copy {
    fn read(copy: &Value) -> Result<Self, String> {
        let copy = copy.as_object().ok_or("a copy is an object")?;
        let flips = list(copy.get("flips").ok_or_else(|| lacks("flips"))?, "flips")?;
        let flips = flips.iter().map(|bit| bit.as_u64().ok_or_else(|| not_whole("flips")));
        Ok(Self { after: whole(copy, "after_ns")?, len: whole(copy, "len")?, flips: flips.collect::<Result<_, _>>()? })
    }

    /// The rules that do to copy number `copy` of a datagram of `sent` bytes what was recorded.
    fn add_damage(&self, copy: u8, sent: u64, mut add: impl FnMut(Rule)) -> Result<(), String> {
        if self.len > sent {
            return Err(format!("a copy of {} bytes is longer than the datagram of {sent}", self.len));
        }
        if self.len < sent {
            add(Rule::Truncate { copy, to: up_to_16_bits(self.len, "len")? });
        }
        for &flip in &self.flips {
            let past_the_end = || format!("bit {flip} is past the end of a copy of {} bytes", self.len);
            let within = flip / 8 < self.len;
            let bit = u32::try_from(flip).ok().filter(|_| within).ok_or_else(past_the_end)?;
            add(Rule::Corrupt { copy, bit });
        }
        Ok(())
    }
}

fn direction(record: &Map<String, Value>) -> Result<Direction, String> {
    let name = record.get("direction").ok_or_else(|| lacks("direction"))?.as_str();
    let found = [Direction::ToServer, Direction::ToClient].into_iter().find(|it| name == Some(it.as_str()));
    found.ok_or_else(|| "`direction` is neither `to_server` nor `to_client`".to_owned())
}

fn whole(object: &Map<String, Value>, key: &str) -> Result<u64, String> {
    object.get(key).ok_or_else(|| lacks(key))?.as_u64().ok_or_else(|| not_whole(key))
}

fn list<'v>(value: &'v Value, key: &str) -> Result<&'v [Value], String> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| format!("`{key}` is not a list"))
}

fn up_to_16_bits(number: u64, key: &str) -> Result<u16, String> {
    u16::try_from(number).map_err(|_| format!("`{key}` is {number}, above 65535"))
}

fn lacks(key: &str) -> String {
    format!("lacks `{key}`")
}

fn not_whole(key: &str) -> String {
    format!("`{key}` is not a whole number")
}

/// Without the number of the line, which is always 1: each line is read by itself.
fn not_json(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    format!("not JSON at {}: {what}", error.column())
}
