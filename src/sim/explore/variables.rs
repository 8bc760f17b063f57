use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::{Range, RangeInclusive};
use core::time::Duration;
use std::env::{VarError, var};

use crate::sim::Choice;
use crate::sim::plan::duration;

/// What the environment asks of a search.
#[derive(Clone, Default, Debug)]
pub(super) struct Variables {
    pub(super) seed: Option<String>,
    pub(super) seeds: Option<String>,
    pub(super) choices: Option<String>,
    pub(super) shrink: Option<String>,
}

impl Variables {
    /// Those of the process.
    ///
    /// # Errors
    ///
    /// One that is no text, as a message.
    pub(super) fn of_process() -> Result<Self, String> {
        let read = |name: &str| match var(name) {
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(value)) => Err(format!("{name}={}: not a text", value.to_string_lossy())),
        };
        Ok(Self { seed: read(SEED)?, seeds: read(SEEDS)?, choices: read(CHOICES)?, shrink: read(SHRINK)? })
    }

    /// The seeds to run, where the caller asks for these: at least one.
    pub(super) fn seeds(&self, asked: &Range<u64>) -> Result<RangeInclusive<u64>, String> {
        if let Some(text) = &self.seed {
            let seed = number(text).ok_or_else(|| format!("{SEED}={text}: {A_NUMBER}"))?;
            return Ok(seed..=seed);
        }
        let Some(text) = &self.seeds else {
            return inclusive(asked).ok_or_else(|| format!("{}..{}: no seed to run", asked.start, asked.end));
        };
        let seeds = match text.split_once("..") {
            Some((start, end)) => {
                let ends = number(start).zip(number(end));
                let (start, end) = ends.ok_or_else(|| format!("{SEEDS}={text}: {A_NUMBER}, or two as in 100..200"))?;
                start..end
            }
            None => {
                let many = number(text).ok_or_else(|| format!("{SEEDS}={text}: {A_NUMBER}, or two as in 100..200"))?;
                let end = asked.start.checked_add(many);
                asked.start..end.ok_or_else(|| {
                    let left = u64::MAX - asked.start;
                    format!("{SEEDS}={text}: from {} on there are no more than {left}", asked.start)
                })?
            }
        };
        inclusive(&seeds).ok_or_else(|| format!("{SEEDS}={text}: no seed to run"))
    }

    /// The one world to try instead of all.
    pub(super) fn choices(&self) -> Result<Option<Vec<Choice>>, String> {
        let Some(text) = &self.choices else { return Ok(None) };
        let read = |word| {
            let example = "`deliver`, `drop`, `duplicate(15ms)` and `late(115ms)` are choices";
            Choice::read(word).ok_or_else(|| format!("{CHOICES}={text}: {word}: {example}"))
        };
        let choices = text.split_whitespace().map(read).collect::<Result<Vec<_>, _>>()?;
        if choices.is_empty() { Err(format!("{CHOICES}={text}: no choice")) } else { Ok(Some(choices)) }
    }

    /// How long a failure may be shrunk.
    pub(super) fn shrink(&self) -> Result<Duration, String> {
        let Some(text) = &self.shrink else { return Ok(SHRINK_FOR) };
        duration(text).ok_or_else(|| format!("{SHRINK}={text}: not a time such as 10s or 500ms"))
    }
}

fn inclusive(seeds: &Range<u64>) -> Option<RangeInclusive<u64>> {
    (!seeds.is_empty()).then(|| seeds.start..=seeds.end - 1)
}

/// In decimal, or in hexadecimal behind `0x`.
fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // The parser would take a sign.
    let plain = digits.chars().all(|digit| digit.is_digit(radix));
    u64::from_str_radix(digits, radix).ok().filter(|_| plain)
}

pub(super) const SEED: &str = "UDP_RETRY_SEED";
pub(super) const SEEDS: &str = "UDP_RETRY_SEEDS";
pub(super) const CHOICES: &str = "UDP_RETRY_CHOICES";
pub(super) const SHRINK: &str = "UDP_RETRY_SHRINK";
const SHRINK_FOR: Duration = Duration::from_secs(3);
const A_NUMBER: &str = "not a number of 64 bits, such as 42 or 0x2a";

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn seeds(seed: Option<&str>, many: Option<&str>, asked: Range<u64>) -> Result<RangeInclusive<u64>, String> {
        let text = |value: Option<&str>| value.map(ToString::to_string);
        Variables { seed: text(seed), seeds: text(many), ..Variables::default() }.seeds(&asked)
    }

    #[test]
    fn every_seed_can_be_named_in_decimal_and_hexadecimal() {
        for number in [0, 1, 42, u64::from(u32::MAX), 1 << 53, u64::MAX - 1, u64::MAX] {
            for text in [format!("{number}"), format!("{number:#x}"), format!("0x{number:X}"), format!("0X{number:x}")]
            {
                assert_eq!(seeds(Some(&text), None, 0..10), Ok(number..=number), "{text}");
            }
        }
    }

    #[test]
    fn one_seed_goes_before_a_number_of_them_and_that_before_what_the_caller_asks_for() {
        assert_eq!(seeds(Some("7"), Some("5"), 100..103), Ok(7..=7));
        assert_eq!(seeds(None, Some("5"), 100..103), Ok(100..=104));
        assert_eq!(seeds(None, Some("0x10"), 0..1), Ok(0..=15));
        assert_eq!(seeds(None, Some("100..200"), 0..1), Ok(100..=199));
        assert_eq!(seeds(None, None, 100..103), Ok(100..=102));
        assert_eq!(seeds(None, Some("18446744073709551615"), 0..1), Ok(0..=u64::MAX - 1));
    }

    #[test]
    fn what_cannot_be_read_and_what_runs_nothing_is_refused_with_its_value() {
        for text in ["", " ", "abc", "-1", "+1", "0x", "0x+1", "1.5", "1e3", "18446744073709551616", "0x1g", "٣", "7 "]
        {
            let refused = seeds(Some(text), None, 0..10).unwrap_err();
            assert!(refused.starts_with(&format!("UDP_RETRY_SEED={text}: ")), "{refused}");
            let refused = seeds(None, Some(text), 0..10).unwrap_err();
            assert!(refused.starts_with(&format!("UDP_RETRY_SEEDS={text}: ")), "{refused}");
        }
        for text in ["0", "0..0", "5..5", "6..5", "..", "1..", "..5", "1..2..3", "1..=3"] {
            let refused = seeds(None, Some(text), 0..10).unwrap_err();
            assert!(refused.starts_with(&format!("UDP_RETRY_SEEDS={text}: ")), "{refused}");
        }
        let refused = seeds(None, Some("5"), u64::MAX - 4..u64::MAX).unwrap_err();
        assert_eq!(refused, "UDP_RETRY_SEEDS=5: from 18446744073709551611 on there are no more than 4");
        assert_eq!(seeds(None, None, 7..7), Err("7..7: no seed to run".to_string()));
        #[expect(clippy::reversed_empty_ranges, reason = "a caller may ask for it")]
        let reversed = 7..6;
        assert_eq!(seeds(None, None, reversed), Err("7..6: no seed to run".to_string()));
    }

    #[test]
    fn choices_read_back_as_they_are_shown() {
        let (after, by) = (Duration::from_millis(15), Duration::new(1, 500_000_001));
        let choices = [Choice::Drop, Choice::Duplicate { after }, Choice::Deliver, Choice::Late { by }];
        let text = choices.map(|choice| choice.to_string()).join(" ");
        assert_eq!(text, "drop duplicate(15ms) deliver late(1.500000001s)");
        let read = |text: &str| Variables { choices: Some(text.to_string()), ..Variables::default() }.choices();
        assert_eq!(read(&text), Ok(Some(choices.to_vec())));
        assert_eq!(read(" drop\tdrop "), Ok(Some(alloc::vec![Choice::Drop; 2])));
        assert_eq!(Variables::default().choices(), Ok(None));
        for text in
            ["", " ", "lost", "late", "late()", "late(1)", "late(1s", "late(1s; drop 2)", "drop(1s)", "drop,drop"]
        {
            let refused = read(text).unwrap_err();
            assert!(refused.starts_with(&format!("UDP_RETRY_CHOICES={text}: ")), "{refused}");
        }
    }

    #[test]
    fn the_time_for_shrinking_is_a_time() {
        let read = |text: &str| Variables { shrink: Some(text.to_string()), ..Variables::default() }.shrink();
        assert_eq!(Variables::default().shrink(), Ok(Duration::from_secs(3)));
        assert_eq!((read("0s"), read("1500ms")), (Ok(Duration::ZERO), Ok(Duration::from_millis(1500))));
        for text in ["", "3", "-1s", "soon", "1s 2s"] {
            assert!(read(text).unwrap_err().starts_with(&format!("UDP_RETRY_SHRINK={text}: ")));
        }
    }
}
