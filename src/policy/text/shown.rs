use core::fmt;

use super::clauses::default_max;
use crate::policy::fixed::Ppb;
use crate::policy::jitter::Drawn;
use crate::policy::{Backoff, Jitter, LastWait, RetryPolicy};
use crate::time::{Ns, saturating_ns};

/// The text that reads back as an equal policy: the backoff, the number of transmissions, and what is no default.
impl fmt::Display for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.backoff)?;
        match self.max_transmissions() {
            u32::MAX => write!(f, " endless")?,
            1 => write!(f, " 1 transmission")?,
            most => write!(f, " {most} transmissions")?,
        }
        if let LastWait::Initial(count) = self.last_wait() {
            write!(f, " last wait x{count}")?;
        }
        if let Some(deadline) = self.deadline_ns() {
            write!(f, " deadline {}", Time(deadline))?;
        }
        let (from, to) = self.start_delay();
        if !to.is_zero() {
            write!(f, " start delay {}..{}", Time(saturating_ns(from)), Time(saturating_ns(to)))?;
        }
        if self.patience_ns() != RetryPolicy::LAN.patience_ns() {
            write!(f, " patience {}", Time(self.patience_ns()))?;
        }
        Ok(())
    }
}

/// As in the text of a [`RetryPolicy`].
impl fmt::Display for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { initial, max, multiplier, floor, jitter, .. } = *self;
        write!(f, "{} x{}", Time(initial), Factor(multiplier))?;
        if max != default_max(initial, multiplier, jitter) {
            write!(f, " max {}", Time(max))?;
        }
        if floor > 1 {
            write!(f, " floor {}", Time(floor))?;
        }
        if jitter != Jitter::NONE {
            write!(f, " jitter {jitter}")?;
        }
        Ok(())
    }
}

/// As in the text of a [`RetryPolicy`], behind `jitter`.
impl fmt::Display for Jitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lo, hi, plus_minus, drawn } = *self;
        if plus_minus > 0 {
            return write!(f, "+-{}", Time(plus_minus));
        }
        let drawn = match drawn {
            Drawn::Each => "",
            Drawn::Once => "once ",
            Drawn::Compounding => "compounding ",
        };
        write!(f, "{drawn}{}..{}", Factor(lo), Factor(hi))
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RetryPolicy({self})")
    }
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backoff({self})")
    }
}

impl fmt::Debug for Jitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jitter({self})")
    }
}

/// In the largest unit of which there is one, seconds at most.
struct Time(Ns);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (decimals, unit) = match self.0 {
            0 | 1_000_000_000.. => (9, "s"),
            1_000_000.. => (6, "ms"),
            1_000.. => (3, "us"),
            _ => (0, "ns"),
        };
        decimal(f, self.0, decimals)?;
        f.write_str(unit)
    }
}

struct Factor(Ppb);

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal(f, self.0, 9)
    }
}

/// `count` / 10^`decimals`, without the zeros behind the last digit that counts.
fn decimal(f: &mut fmt::Formatter<'_>, count: u64, decimals: u32) -> fmt::Result {
    let unit = 10_u64.pow(decimals);
    write!(f, "{}", count / unit)?;
    let (mut rest, mut width) = (count % unit, decimals as usize);
    if rest == 0 {
        return Ok(());
    }
    while rest % 10 == 0 {
        (rest, width) = (rest / 10, width - 1);
    }
    write!(f, ".{rest:0width$}")
}
