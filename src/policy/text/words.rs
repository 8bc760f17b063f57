use super::PolicyTextError;
use crate::time::Ns;

/// A text that is read word by word, once; words lie between blanks. `const` throughout, so that the compiler can read a
/// policy: hence loops over bytes instead of iterators.
#[derive(Clone, Copy)]
pub(super) struct Words<'t> {
    text: &'t [u8],
    at: usize,
}

/// A part of the text; empty at its end.
#[derive(Clone, Copy)]
pub(super) struct Word<'t> {
    text: &'t [u8],
    from: usize,
    to: usize,
}

impl<'t> Words<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text: text.as_bytes(), at: 0 }
    }

    pub(super) const fn next(&mut self) -> Word<'t> {
        let from = self.end(self.at, true);
        self.at = self.end(from, false);
        Word { text: self.text, from, to: self.at }
    }

    /// Goes past a word that must stand here.
    pub(super) const fn expect(&mut self, word: &str, expected: &'static str) -> Result<(), PolicyTextError> {
        let next = self.next();
        if next.is(word) { Ok(()) } else { Err(next.unexpected(expected)) }
    }

    /// Where the blanks, or what is none, end.
    const fn end(&self, from: usize, blanks: bool) -> usize {
        let mut at = from;
        while at < self.text.len() && byte(self.text, at).is_ascii_whitespace() == blanks {
            at += 1;
        }
        at
    }
}

impl Word<'_> {
    pub(super) const fn is_empty(self) -> bool {
        self.from == self.to
    }

    pub(super) const fn is(self, word: &str) -> bool {
        self.to - self.from == word.len() && self.starts_with(word)
    }

    pub(super) const fn starts_with_digit(self) -> bool {
        !self.is_empty() && byte(self.text, self.from).is_ascii_digit()
    }

    /// What stands behind this prefix.
    pub(super) const fn behind(self, prefix: &str) -> Option<Self> {
        if self.starts_with(prefix) { Some(Self { from: self.from + prefix.len(), ..self }) } else { None }
    }

    /// What stands on either side of the first `..`.
    pub(super) const fn range(self) -> Option<(Self, Self)> {
        let mut at = self.from;
        while at + 1 < self.to {
            if byte(self.text, at) == b'.' && byte(self.text, at + 1) == b'.' {
                return Some((Self { to: at, ..self }, Self { from: at + 2, ..self }));
            }
            at += 1;
        }
        None
    }

    /// A decimal number in whole units of 1/`scale`; `None` if it is none, or past 64 bits.
    pub(super) const fn scaled(self, scale: u64) -> Option<u64> {
        let (mut digits, mut unit, mut at) = (0_u128, 1_u128, self.from);
        let mut behind_point = false;
        while at < self.to {
            let next = byte(self.text, at);
            if next == b'.' && !behind_point && at > self.from && at + 1 < self.to {
                behind_point = true;
            } else if next.is_ascii_digit() {
                digits = digits * 10 + (next - b'0') as u128;
                unit *= if behind_point { 10 } else { 1 };
                // So that neither product above overflows at the next digit.
                if digits > MOST_DIGITS || unit > MOST_DIGITS {
                    return None;
                }
            } else {
                return None;
            }
            at += 1;
        }
        let Some(scaled) = digits.checked_mul(scale as u128) else { return None };
        if self.is_empty() || scaled % unit != 0 || scaled / unit > u64::MAX as u128 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "compared with u64::MAX just above")]
        Some((scaled / unit) as u64)
    }

    /// A number with a unit of time.
    pub(super) const fn time(self) -> Result<Ns, PolicyTextError> {
        let mut at = self.from;
        while at < self.to && matches!(byte(self.text, at), b'0'..=b'9' | b'.') {
            at += 1;
        }
        let (number, unit) = (Self { to: at, ..self }, Self { from: at, ..self });
        if number.is_empty() {
            return Err(self.unexpected("a time such as 500ms"));
        }
        let Some(scale) = unit.nanoseconds() else {
            return Err(unit.unexpected("a unit of time: h, min, s, ms, us or ns"));
        };
        match number.scaled(scale) {
            Some(time) => Ok(time),
            None => Err(self.unexpected("a whole number of nanoseconds, 584 years at most")),
        }
    }

    pub(super) const fn unexpected(self, expected: &'static str) -> PolicyTextError {
        PolicyTextError::Unexpected { position: self.position(), expected }
    }

    /// Characters into the text, from 1.
    pub(super) const fn position(self) -> usize {
        let (mut position, mut at) = (1, 0);
        while at < self.from {
            // All but the bytes that continue a character.
            if byte(self.text, at) & 0b1100_0000 != 0b1000_0000 {
                position += 1;
            }
            at += 1;
        }
        position
    }

    /// In the unit that this word names.
    const fn nanoseconds(self) -> Option<u64> {
        Some(match () {
            () if self.is("h") => 3_600_000_000_000,
            () if self.is("min") => 60_000_000_000,
            () if self.is("s") => 1_000_000_000,
            () if self.is("ms") => 1_000_000,
            // The micro sign and the Greek letter look the same.
            () if self.is("us") || self.is("\u{b5}s") || self.is("\u{3bc}s") => 1_000,
            () if self.is("ns") => 1,
            () => return None,
        })
    }

    const fn starts_with(self, prefix: &str) -> bool {
        let prefix = prefix.as_bytes();
        if self.to - self.from < prefix.len() {
            return false;
        }
        let mut at = 0;
        while at < prefix.len() {
            if byte(self.text, self.from + at) != byte(prefix, at) {
                return false;
            }
            at += 1;
        }
        true
    }
}

/// 0 past the end.
const fn byte(text: &[u8], at: usize) -> u8 {
    #[expect(clippy::indexing_slicing, reason = "compared with the length; `get` is not const")]
    if at < text.len() { text[at] } else { 0 }
}

const MOST_DIGITS: u128 = u128::MAX / 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_exactly_or_refused() {
        let scaled = |text, scale| Words::new(text).next().scaled(scale);
        assert_eq!(scaled("1.5", 10), Some(15));
        assert_eq!(scaled("007.50", 2), Some(15));
        assert_eq!(scaled("18446744073709551615", 1), Some(u64::MAX));
        assert_eq!(scaled("18446744073.709551615", 1_000_000_000), Some(u64::MAX));
        for text in ["", ".", "5.", ".5", "-1", "+1", "1e3", "1.2.3", "1_0", "\u{663}", "nan", "18446744073709551616"] {
            assert_eq!(scaled(text, 1), None, "{text}");
        }
        assert_eq!(scaled("0.5", 1), None);
        let nines = "9".repeat(60);
        for text in [nines.clone(), format!("1.{nines}"), format!("0.{}1", "0".repeat(60))] {
            assert_eq!(Words::new(&text).next().scaled(1), None, "{text}");
        }
    }

    #[test]
    fn words_lie_between_blanks_and_know_their_place() {
        let mut words = Words::new("  \u{b5}s\t1..1.5\n");
        let (first, second, third) = (words.next(), words.next(), words.next());
        assert!(first.is("\u{b5}s") && !first.is("\u{b5}") && !first.is("\u{b5}s1"));
        assert!(second.starts_with_digit() && third.is_empty());
        assert_eq!([first, second, third].map(Word::position), [3, 6, 13]);
        let (lo, hi) = second.range().unwrap();
        assert!(lo.is("1") && hi.is("1.5"));
        assert!(first.range().is_none() && second.behind("1.").is_some_and(|it| it.is(".1.5")));
    }
}
