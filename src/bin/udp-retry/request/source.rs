//! The bytes to send, from the command line or a file.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;

use super::hex;
use super::lines::{Requests, Unreadable};
use crate::values::LARGEST_PAYLOAD;

/// What to send
#[derive(Args)]
#[group(id = "Source", multiple = false, requires = "target")]
pub(crate) struct Source {
    /// Bytes in hex; spaces, colons and 0x may stand before any of them
    #[arg(long)]
    hex: Option<String>,
    /// Text as it stands
    #[arg(long, allow_hyphen_values = true)]
    text: Option<String>,
    /// What the file holds, up to the largest datagram; "-" is standard input
    #[arg(long)]
    file: Option<PathBuf>,
    /// A request from each line in hex, in turn; "-" is standard input. All of the file, up to 64 MiB, is read before the first
    /// one is sent, and empty lines are left out
    #[arg(long, value_name = "FILE")]
    hex_lines: Option<PathBuf>,
}

/// Why there is nothing to send.
pub(crate) enum Unusable {
    Hex(hex::Wrong),
    Unreadable(PathBuf, io::Error),
    /// A line of it is no request.
    Lines(PathBuf, String),
    /// It does not fit into any datagram, and was read no further.
    TooLarge,
}

impl Source {
    /// `None` if nothing was named. Lines have so many bytes at least.
    pub(crate) fn requests(&self, least: usize) -> Result<Option<Requests>, Unusable> {
        if let Some(file) = &self.hex_lines {
            return lines(file, least).map(Some);
        }
        let bytes = match (&self.hex, &self.text, &self.file) {
            (Some(hex), ..) => hex::parse(hex).map_err(Unusable::Hex)?,
            (_, Some(text), _) => text.clone().into_bytes(),
            (.., Some(file)) => beginning(file).map_err(|error| Unusable::Unreadable(file.clone(), error))?,
            _ => return Ok(None),
        };
        if bytes.len() > LARGEST_PAYLOAD { Err(Unusable::TooLarge) } else { Ok(Some(Requests::single(bytes))) }
    }
}

fn lines(file: &Path, least: usize) -> Result<Requests, Unusable> {
    let requests = match file.to_str() {
        Some("-") => Requests::read(io::stdin().lock(), least),
        _ => match File::open(file) {
            Ok(opened) => Requests::read(BufReader::new(opened), least),
            Err(error) => Err(Unreadable::Io(error)),
        },
    };
    requests.map_err(|unreadable| match unreadable {
        Unreadable::Io(error) => Unusable::Unreadable(file.to_owned(), error),
        Unreadable::Line(wrong) => Unusable::Lines(file.to_owned(), wrong),
    })
}

/// One byte more than fits at most: a device or a pipe may have no end.
fn beginning(file: &Path) -> io::Result<Vec<u8>> {
    let (mut bytes, limit) = (Vec::new(), LARGEST_PAYLOAD as u64 + 1);
    match file.to_str() {
        Some("-") => io::stdin().lock().take(limit).read_to_end(&mut bytes)?,
        _ => File::open(file)?.take(limit).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hex(error) => write!(f, "invalid value for '--hex <HEX>': {error}"),
            Self::Unreadable(file, error) => write!(f, "cannot read {}: {error}", file.display()),
            Self::Lines(file, wrong) => write!(f, "{}: {wrong}", file.display()),
            Self::TooLarge => write!(f, "no datagram holds the request: more than {LARGEST_PAYLOAD} bytes"),
        }
    }
}
