//! The requests to send: a single one, or each line of a file.

use std::io::{self, BufRead};

use super::hex;
use crate::values::LARGEST_PAYLOAD;

/// All of them, one behind the other.
pub(crate) struct Requests {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// Why there are none.
pub(crate) enum Unreadable {
    Io(io::Error),
    /// What is wrong, with the line.
    Line(String),
}

impl Requests {
    pub(crate) fn single(bytes: Vec<u8>) -> Self {
        Self { ends: vec![bytes.len()], bytes }
    }

    /// One for each line in hex; lines without any are left out. All are read before the first one is sent, so that a wrong one
    /// is known by then: at most [`MOST`] bytes.
    ///
    /// # Errors
    ///
    /// The first line that is no request of `least` bytes at least, with what is wrong in it.
    pub(crate) fn read(lines: impl BufRead, least: usize) -> Result<Self, Unreadable> {
        let (mut requests, mut line) = (Self { bytes: Vec::new(), ends: Vec::new() }, Vec::new());
        let mut lines = lines.take(MOST + 1);
        for number in 1_u64.. {
            line.clear();
            if lines.read_until(b'\n', &mut line).map_err(Unreadable::Io)? == 0 {
                break;
            }
            if lines.limit() == 0 {
                return Err(Unreadable::Line(format!("line {number}: all lines together have more than {MOST} bytes")));
            }
            let request = hex::parse(&String::from_utf8_lossy(&line));
            let request = request.map_err(|wrong| format!(", column {}: {}", wrong.at, wrong.what));
            let request = request.and_then(|request| match request.len() {
                0 => Ok(request),
                len if len < least => Err(format!(": the id lies beyond the request of {len} bytes")),
                len if len > LARGEST_PAYLOAD => Err(format!(": no datagram holds the request of {len} bytes")),
                _ => Ok(request),
            });
            let request = request.map_err(|wrong| Unreadable::Line(format!("line {number}{wrong}")))?;
            if !request.is_empty() {
                requests.bytes.extend(request);
                requests.ends.push(requests.bytes.len());
            }
        }
        if requests.ends.is_empty() {
            return Err(Unreadable::Line("no line has a request".to_owned()));
        }
        Ok(requests)
    }

    pub(crate) fn count(&self) -> u64 {
        self.ends.len() as u64
    }

    /// They come in turn.
    pub(crate) fn get(&self, number: u64) -> &[u8] {
        let place = (number % self.count()) as usize;
        let begin = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[begin..self.ends[place]]
    }
}

/// Of text.
const MOST: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn read(text: &[u8], least: usize) -> Result<Vec<Vec<u8>>, String> {
        match Requests::read(text, least) {
            Ok(requests) => Ok((0..requests.count()).map(|number| requests.get(number).to_vec()).collect()),
            Err(Unreadable::Line(wrong)) => Err(wrong),
            Err(Unreadable::Io(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn each_line_is_a_request_and_they_come_in_turn() {
        assert_eq!(read(b"00\n\n0x01 02\r\n  \n03:04:05", 1), Ok(vec![vec![0], vec![1, 2], vec![3, 4, 5]]));
        let Ok(requests) = Requests::read(&b"0a\n0b0b\n"[..], 0) else { panic!() };
        let turns: Vec<_> = (0..5).map(|number| requests.get(number)).collect();
        assert_eq!(turns, [&[10][..], &[11, 11], &[10], &[11, 11], &[10]]);
        assert_eq!(Requests::single(vec![7]).get(u64::MAX), [7]);
        assert!(Requests::single(Vec::new()).get(3).is_empty());
    }

    #[test]
    fn a_wrong_line_is_named_with_what_is_wrong_in_it() {
        for (text, least, wrong) in [
            (&b"00\n01\n0g\n"[..], 0, "line 3, column 2: 'g' is no hexadecimal digit"),
            (b"00\n\n  012", 0, "line 3, column 6: a digit is missing, a byte has two"),
            (b"0001\n00\n", 2, "line 2: the id lies beyond the request of 1 bytes"),
            (b"\xff0", 0, "line 1, column 1: '\u{fffd}' is no hexadecimal digit"),
            (b"\n \n", 0, "no line has a request"),
            (b"", 0, "no line has a request"),
        ] {
            assert_eq!(read(text, least), Err(wrong.to_owned()));
        }
        let long = "00".repeat(LARGEST_PAYLOAD);
        assert!(read(long.as_bytes(), 0).is_ok());
        let longer = read(format!("{long}00").as_bytes(), 0);
        assert_eq!(longer, Err("line 1: no datagram holds the request of 65528 bytes".to_owned()));
    }

    /// A device or a pipe may have no end, nor a line.
    #[test]
    fn what_has_no_end_is_read_to_the_limit_and_no_further() {
        for byte in [b'0', b'\n'] {
            let (endless, limit) = (io::repeat(byte), MOST + 1);
            let mut counted = io::BufReader::new(endless.take(2 * MOST));
            let Err(Unreadable::Line(wrong)) = Requests::read(&mut counted, 0) else { panic!() };
            assert!(wrong.ends_with(": all lines together have more than 67108864 bytes"), "{wrong}");
            assert!(2 * MOST - counted.get_ref().limit() <= limit + 8192);
        }
    }
}
