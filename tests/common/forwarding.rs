//! A wrapper as a program may write one: it forwards the methods of a transport.

use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, NoEntropy, PathError, Renewal, Renewed, Transport};

#[derive(Debug)]
pub(crate) struct Forwarding<T> {
    pub(crate) inner: T,
    pub(crate) receives: u32,
}

impl<T> Forwarding<T> {
    pub(crate) fn around(inner: T) -> Self {
        Self { inner, receives: 0 }
    }
}

impl<T: Transport> Transport for Forwarding<T> {
    type Peer = T::Peer;

    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn send(&mut self, to: T::Peer, datagram: &[u8]) -> Result<(), PathError> {
        self.inner.send(to, datagram)
    }

    fn recv(&mut self, buffer: &mut [u8], now: Timestamp, until: Timestamp) -> Incoming<T::Peer> {
        self.receives += 1;
        assert!(self.receives < 1000, "it spins");
        self.inner.recv(buffer, now, until)
    }

    fn renew(&mut self, path: T::Peer, need: Renewal) -> Result<Renewed, PathError> {
        self.inner.renew(path, need)
    }

    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        self.inner.entropy(key)
    }
}
