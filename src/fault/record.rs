use alloc::boxed::Box;
use core::fmt;

use crate::fault::direction::Direction;
use crate::fault::link::fate::{Deliveries, Fate};
use crate::time::Timestamp;

/// One line of a trace: a datagram, and what became of it.
///
/// Its `Display` is a line of JSON:
///
/// ```text
/// {"link":0,"direction":"to_server","n":1,"at_ns":0,"len":40,"delivered":[{"after_ns":25000000,"len":40,"flips":[]}]}
/// {"link":0,"direction":"to_server","n":2,"at_ns":1000,"len":40,"dropped":"loss"}
/// {"link":0,"direction":"to_client","n":1,"at_ns":2000,"len":1400,"too_big":1372}
/// ```
///
/// `n` is the number that a [`Script`](super::Script) knows the datagram by; `flips` are bits, 0 the highest of the
/// first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Record {
    /// Which peer's link, by the order of their first datagrams, from 0.
    pub link: u64,
    /// In which direction.
    pub direction: Direction,
    /// Which datagram of this link and direction, from 1.
    pub n: u64,
    /// When it went in.
    pub at: Timestamp,
    /// Its bytes.
    pub len: usize,
    /// What became of it.
    pub fate: Fate,
}

/// Called with every fate as it is decided, and with the peer or client whose link it is.
pub(crate) type FateObserver<P> = Box<dyn FnMut(P, &Record) + Send>;

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { link, direction, n, at, len, fate } = self;
        let (direction, at) = (direction.as_str(), at.as_nanos());
        write!(f, r#"{{"link":{link},"direction":"{direction}","n":{n},"at_ns":{at},"len":{len},"#)?;
        match fate {
            Fate::Delivered(deliveries) => write!(f, r#""delivered":[{}]}}"#, Copies { deliveries, sent: self.at }),
            Fate::Dropped(cause) => write!(f, r#""dropped":"{}"}}"#, cause.as_str()),
            Fate::TooBig { limit } => write!(f, r#""too_big":{}}}"#, limit.bytes()),
        }
    }
}

struct Copies<'a> {
    deliveries: &'a Deliveries,
    sent: Timestamp,
}

impl fmt::Display for Copies<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, copy) in self.deliveries.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            let (after, len) = (copy.at.since(self.sent).as_nanos(), copy.len);
            write!(f, r#"{comma}{{"after_ns":{after},"len":{len},"flips":["#)?;
            for (n, bit) in copy.flips.as_slice().iter().enumerate() {
                let comma = if n == 0 { "" } else { "," };
                write!(f, "{comma}{bit}")?;
            }
            f.write_str("]}")?;
        }
        Ok(())
    }
}
