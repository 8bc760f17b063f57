//! Bytes in hex: read from an argument, written in one line or as a dump.

use std::fmt;

/// Pairs of digits; before any of them spaces and colons, and 0x at the beginning and behind those.
///
/// # Errors
///
/// The first character that is wrong.
pub(crate) fn parse(text: &str) -> Result<Vec<u8>, Wrong> {
    let chars: Vec<char> = text.chars().collect();
    let digit = |at: usize| match chars.get(at) {
        Some(&char) if !separates(char) => {
            let wrong = || Wrong { at: at + 1, what: format!("{char:?} is no hexadecimal digit") };
            char.to_digit(16).ok_or_else(wrong)
        }
        _ => Err(Wrong { at: at + 1, what: "a digit is missing, a byte has two".to_owned() }),
    };
    let mut bytes = Vec::with_capacity(chars.len() / 2);
    let mut at = 0;
    let mut prefix_may_stand = true;
    while at < chars.len() {
        if separates(chars[at]) {
            (at, prefix_may_stand) = (at + 1, true);
            continue;
        }
        if let (['0', 'x' | 'X', ..], true) = (&chars[at..], prefix_may_stand) {
            at += 2;
        }
        bytes.push((digit(at)? << 4 | digit(at + 1)?) as u8);
        (at, prefix_may_stand) = (at + 2, false);
    }
    Ok(bytes)
}

/// A character that is wrong in hex.
pub(crate) struct Wrong {
    /// Counted from 1.
    pub(crate) at: usize,
    pub(crate) what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}: {}", self.at, self.what)
    }
}

fn separates(char: char) -> bool {
    char.is_whitespace() || char == ':'
}

/// All bytes in one word.
pub(crate) struct Plain<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A line for each sixteen bytes: where they stand, what they are, and what they are in ASCII.
pub(crate) struct Dump<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Dump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (row, bytes) in self.0.chunks(16).enumerate() {
            write!(f, "{:08x} ", row * 16)?;
            for column in 0..16 {
                let gap = if column == 8 { " " } else { "" };
                match bytes.get(column) {
                    Some(byte) => write!(f, "{gap} {byte:02x}")?,
                    None => write!(f, "{gap}   ")?,
                }
            }
            let printable = |byte: &u8| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '.' };
            writeln!(f, "  |{}|", bytes.iter().map(printable).collect::<String>())?;
        }
        Ok(())
    }
}
