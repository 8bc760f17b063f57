//! As much of JSON as one line of results needs.

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
    literal.push('"');
    literal
}
