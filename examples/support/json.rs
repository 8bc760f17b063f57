//! As much of JSON as a line of results needs.

use std::time::Duration;

use udp_retry::transaction::Failure;

/// A string literal of these bytes; what is not UTF-8 becomes U+FFFD.
pub(crate) fn string(bytes: &[u8]) -> String {
    let mut literal = String::from('"');
    for char in String::from_utf8_lossy(bytes).chars() {
        match char {
            '"' | '\\' => literal.extend(['\\', char]),
            // The newline characters of Unicode too, so that a line stays a line to every reader.
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                literal.push_str(&format!("\\u{:04x}", u32::from(char)));
            }
            char => literal.push(char),
        }
    }
    literal + "\""
}

/// To a microsecond; prints with `{:?}` as JSON has it, never without a digit behind the point.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}

/// When each transmission left, as an array of milliseconds.
pub(crate) fn sent_ms(sent: impl IntoIterator<Item = Duration>) -> String {
    format!("{:?}", sent.into_iter().map(ms).collect::<Vec<_>>()).replace(' ', "")
}

pub(crate) fn failure(failure: Failure) -> &'static str {
    match failure {
        Failure::Refused => "refused",
        Failure::TimedOut(_) => "timed_out",
        Failure::TooLarge { .. } => "too_large",
        Failure::Truncated { .. } => "truncated",
        Failure::Unreachable => "unreachable",
        _ => "io",
    }
}
