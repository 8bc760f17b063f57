use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt::{self, Write};

use super::SpecError;
use super::cursor::Cursor;
use crate::fault::impairment::rate_trace::{RateTrace, RateTraceError};

/// The milliseconds between braces, or the name of a file that has them.
pub(super) fn trace(cursor: &mut Cursor<'_>) -> Result<RateTrace, SpecError> {
    let at = cursor.at();
    if cursor.peek().text == "{" {
        let millis = cursor.braced(|cursor| cursor.list("`,` or `}`", |cursor| cursor.value(MILLIS)))?;
        return RateTrace::new(millis).map_err(|reason| cursor.trace_error(at, None, reason));
    }
    let file = cursor.file()?;
    match text_of(&file) {
        Ok(text) => {
            let trace: Result<RateTrace, RateTraceError> = text.parse();
            trace.map(|trace| trace.from_file(&file)).map_err(|reason| cursor.trace_error(at, Some(file), reason))
        }
        Err(reason) => Err(cursor.unreadable(at, file, reason)),
    }
}

/// The name of a file as it is read back: between quotes where it would end too early without.
pub(super) struct FileName<'a>(pub(super) &'a str);

impl fmt::Display for FileName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name) = *self;
        if !name.is_empty()
            && !name.starts_with(['"', '{'])
            && !name.contains([';', '}'])
            && !name.contains(char::is_whitespace)
        {
            return f.write_str(name);
        }
        f.write_char('"')?;
        for c in name.chars() {
            if c == '"' {
                f.write_char('"')?;
            }
            f.write_char(c)?;
        }
        f.write_char('"')
    }
}

/// The text of a file, no more of it than a trace can have.
#[cfg(feature = "std")]
fn text_of(file: &str) -> Result<String, String> {
    use std::io::Read;

    use alloc::string::ToString;

    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(|error| error.to_string())?;
    let read = opened.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if read as u64 > MOST_BYTES { Err("longer than any trace".to_owned()) } else { Ok(text) }
}

#[cfg(not(feature = "std"))]
fn text_of(_file: &str) -> Result<String, String> {
    Err("only the feature `std` reads files".to_owned())
}

const MILLIS: &str = "a whole number of milliseconds, 4294967295 at most";
/// A million lines of ten digits each, and as much again for blanks.
#[cfg(feature = "std")]
const MOST_BYTES: u64 = 32 << 20;
