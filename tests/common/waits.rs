//! What most tests want of a transport: the present moment read for them, and what came as a result.

use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, PathError, Received, Transport};

pub(crate) trait Waits: Transport {
    /// `None` when the time is up, or when the wait was cancelled.
    fn wait(&mut self, buffer: &mut [u8], until: Timestamp) -> Result<Option<Received<Self::Peer>>, PathError> {
        match self.recv(buffer, self.now(), until) {
            Incoming::Datagram(received) => Ok(Some(received)),
            Incoming::PathError { error, .. } => Err(error),
            Incoming::TimeUp(_) | Incoming::Cancelled => Ok(None),
        }
    }
}

impl<T: Transport> Waits for T {}
