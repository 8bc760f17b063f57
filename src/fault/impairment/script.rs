use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::damage::MOST_FLIPS;
use super::delay::ns;
use super::infeasible::Infeasible;

/// What happens to which datagram, by its number on the link; the first one is number 1.
///
/// As text:
/// `drop 1,3; duplicate 5 after 2s; delay 7 by 200ms; truncate 4 to 100; corrupt 9 bit 13; refuse 6 above 1372`.
/// The copies of a duplicated datagram are counted by time of arrival, from 0, the datagram itself:
/// `corrupt 5.1 bit 13` damages the first further copy.
///
/// What the script does to a datagram, chance does not do again; a delay by the script is added to the link's.
///
/// ```
/// use udp_retry::Impairments;
/// use udp_retry::fault::{Rule, Script};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lost = Script::new([(1, Rule::Drop), (3, Rule::Drop)])?;
/// assert_eq!(lost, "drop 1,3".parse()?);
/// let impairments = Impairments::NONE.with_script(lost);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Script {
    /// By number, then by what the rule says.
    rules: Option<Arc<[(u64, Rule)]>>,
}

/// What a [`Script`] does to one datagram.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(clippy::exhaustive_enums, reason = "scripts are written, and taken apart to be shrunk")]
pub enum Rule {
    /// It is lost.
    Drop,
    /// It is lost; a sender on this host is informed of the largest payload that would fit.
    Refuse {
        /// The largest payload.
        limit: u16,
    },
    /// It arrives later, overtaken by those behind it.
    Delay {
        /// By how much.
        by: Duration,
    },
    /// One more copy arrives, later than the datagram.
    Duplicate {
        /// By how much.
        after: Duration,
    },
    /// A copy is truncated to this length, if it is longer.
    Truncate {
        /// Which copy, 0 for the datagram itself.
        copy: u8,
        /// Bytes that are left.
        to: u16,
    },
    /// A bit of a copy flips; bit 0 is the highest of the first byte.
    Corrupt {
        /// Which copy, 0 for the datagram itself.
        copy: u8,
        /// The number of the bit; past the end it does nothing.
        bit: u32,
    },
}

impl Script {
    /// Does nothing.
    pub const EMPTY: Self = Self { rules: None };

    /// These rules, in any order, each with the number of its datagram.
    ///
    /// # Errors
    ///
    /// [`Infeasible::NoDatagramZero`], [`Infeasible::RulesAtOdds`] if no datagram can meet all rules of its number: one
    /// that is lost and more, two delays, two lengths of a copy, a copy that is not made, more than 3 copies or more
    /// than 8 flips.
    pub fn new(rules: impl IntoIterator<Item = (u64, Rule)>) -> Result<Self, Infeasible> {
        let mut rules: Vec<_> = rules.into_iter().collect();
        rules.sort_unstable();
        rules.dedup_by(|a, b| a == b && matches!(a.1, Rule::Drop));
        for of_one in rules.chunk_by(|a, b| a.0 == b.0) {
            check(of_one)?;
        }
        Ok(Self { rules: (!rules.is_empty()).then(|| rules.into()) })
    }

    /// All rules, by number.
    #[must_use]
    pub fn rules(&self) -> &[(u64, Rule)] {
        self.rules.as_deref().unwrap_or_default()
    }

    /// What happens to datagram `number`.
    pub(in crate::fault) fn of(&self, number: u64) -> &[(u64, Rule)] {
        let Some(rules) = &self.rules else { return &[] };
        let from = rules.partition_point(|(n, _)| *n < number);
        let rest = rules.get(from..).unwrap_or_default();
        let many = rest.iter().take_while(|(n, _)| *n == number).count();
        rest.get(..many).unwrap_or_default()
    }
}

/// Checks the rules of one datagram, which are in their order.
fn check(rules: &[(u64, Rule)]) -> Result<(), Infeasible> {
    let (mut copies, mut lengths, mut flips, mut delays) = (1, [0; MOST_COPIES], [0; MOST_COPIES], 0);
    for &(number, rule) in rules {
        let fits = match rule {
            _ if number == 0 => return Err(Infeasible::NoDatagramZero),
            Rule::Drop | Rule::Refuse { .. } => rules.len() == 1,
            Rule::Delay { by } => {
                ns(by)?;
                delays += 1;
                delays == 1
            }
            Rule::Duplicate { after } => {
                ns(after)?;
                copies += 1;
                copies <= MOST_COPIES
            }
            // Duplicates come before damage in the order of the rules, so all copies are counted by now.
            Rule::Truncate { copy, .. } => counted(&mut lengths, copy, copies).is_some_and(|count| count == 1),
            Rule::Corrupt { copy, .. } => counted(&mut flips, copy, copies).is_some_and(|count| count <= MOST_FLIPS),
        };
        if !fits {
            return Err(Infeasible::RulesAtOdds { number });
        }
    }
    Ok(())
}

fn counted(counts: &mut [usize; MOST_COPIES], copy: u8, copies: usize) -> Option<usize> {
    let count = counts.get_mut(..copies)?.get_mut(usize::from(copy))?;
    *count += 1;
    Some(*count)
}

/// A datagram and its duplicates.
pub(in crate::fault) const MOST_COPIES: usize = 3;
