#[cfg(feature = "tokio")]
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{Ask, Endpoint, Waited};
use crate::net::classify::classify_received;
use crate::net::{swallowed, sys};
use crate::time::{Ns, Timestamp};

/// What a look came to.
#[derive(Debug)]
pub(in crate::net) struct Looked {
    /// Never that the time is up, nor a cancellation.
    pub(in crate::net) found: Option<Waited>,
    /// How long to leave the socket alone, as it has failed, or woken its reader for nothing, too often in a row.
    pub(in crate::net) rest: Option<Duration>,
}

/// 2⁶⁴ sockets take longer than any process runs; without atomics of that size, they are numbered again after 2³².
#[cfg(feature = "tokio")]
pub(super) fn next_number() -> u64 {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    MADE.fetch_add(1, Ordering::Relaxed) as u64
}

impl Looked {
    fn at(found: Option<Waited>) -> Self {
        Self { found, rest: None }
    }
}

/// For whoever waits for several sockets. None of them delays the others: how long to leave one alone is the caller's to
/// see to.
impl Endpoint {
    /// Takes what is there, without a wait, in a wait that began at `began`; `woken` if a poll reported something.
    pub(in crate::net) fn look(&mut self, buffer: &mut [u8], ask: Ask, began: Timestamp, woken: bool) -> Looked {
        match self.receiver.look(&self.socket, buffer, ask) {
            Ok(Some(arrival)) => Looked::at(Some(self.arrived(arrival, began))),
            Err(error) => match swallowed::queued(&self.socket, buffer) {
                Some((error, quoted)) => Looked::at(Some(Waited::Failed(error, quoted))),
                None => {
                    Looked { found: Some(Waited::Failed(classify_received(&error), 0)), rest: self.trouble.again() }
                }
            },
            Ok(None) if !woken || sys::queued_error(&self.socket, buffer).is_some() => Looked::at(None),
            Ok(None) => Looked { found: None, rest: self.trouble.again() },
        }
    }

    #[cfg(feature = "tokio")]
    pub(in crate::net) fn number(&self) -> u64 {
        self.number
    }

    /// The beginning of a wait like one of `most`, where it can be in `recv` itself. `None` says neither that there was a
    /// wait, nor how long it was.
    pub(in crate::net) fn begin(&mut self, buffer: &mut [u8], ask: Ask, now: Timestamp, most: Ns) -> Option<Waited> {
        if !self.may_block() {
            return None;
        }
        match self.receiver.block(&self.socket, buffer, ask, most) {
            Ok(Some(arrival)) => Some(self.arrived(arrival, now)),
            Ok(None) => None,
            Err(error) => Some(self.failed(&error, buffer, now)),
        }
    }
}
