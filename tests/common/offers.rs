//! Sending as drivers do it: a send that fails is repeated once.

use udp_retry::transport::{PathError, Transport};

pub(crate) trait Offers: Transport {
    /// Offers a datagram once more if the first send fails; gives back the error that was an earlier datagram's.
    fn offer(&mut self, to: Self::Peer, datagram: &[u8]) -> Result<Option<PathError>, PathError> {
        match self.send(to, datagram) {
            Ok(()) => Ok(None),
            Err(swallowed) => self.send(to, datagram).map(|()| Some(swallowed)),
        }
    }
}

impl<T: Transport> Offers for T {}
