//! A transport that tells what passes through it, as it happens.

use std::io::Write;
use std::time::Duration;

use udp_retry::time::Timestamp;
use udp_retry::transport::{PathError, Received, Transport};

/// Works like the transport inside, and writes a line for each transmission, wait, datagram and error.
pub(crate) struct Narrator<T, W> {
    inner: T,
    out: W,
    /// When the present request was sent first.
    start: Option<Timestamp>,
    transmissions: u32,
    /// The end of the wait that was told last: it goes on behind every stray and every error.
    waiting: Option<Timestamp>,
}

impl<T: Transport, W: Write> Narrator<T, W> {
    pub(crate) fn new(inner: T, out: W) -> Self {
        Self { inner, out, start: None, transmissions: 0, waiting: None }
    }

    /// Told before it is done, so that whatever the other end says of it comes after.
    fn transmission(&mut self, datagram: &[u8]) {
        self.transmissions += 1;
        self.tell(&format!("transmission {}, {} bytes", self.transmissions, datagram.len()));
    }

    fn error(&mut self, error: PathError) {
        self.tell(&format!("told of an earlier transmission: {error}"));
    }

    fn tell(&mut self, what: &str) {
        let now = self.inner.now();
        let at = now.since(*self.start.get_or_insert(now));
        // A story that nobody reads must not stop the request.
        let _ = writeln!(self.out, "{:>8.1} ms  {what}", ms(at));
    }
}

impl<T: Transport, W: Write> Transport for Narrator<T, W> {
    type Peer = T::Peer;

    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn send(&mut self, to: T::Peer, datagram: &[u8]) -> Result<(), PathError> {
        self.transmission(datagram);
        self.inner.send(to, datagram).inspect_err(|error| self.tell(&format!("not sent: {error}")))
    }

    /// Delegated, because the transport inside may know better than to send twice: it is one transmission.
    fn send_again(&mut self, to: T::Peer, datagram: &[u8]) -> Result<Option<PathError>, PathError> {
        self.transmission(datagram);
        let sent = self.inner.send_again(to, datagram);
        match sent {
            Ok(None) => {}
            Ok(Some(earlier)) => self.error(earlier),
            Err(error) => self.tell(&format!("not sent: {error}")),
        }
        sent
    }

    fn recv_until(&mut self, buffer: &mut [u8], until: Timestamp) -> Result<Option<Received<T::Peer>>, PathError> {
        if self.waiting.replace(until) != Some(until) {
            let wait = until.since(self.inner.now());
            self.tell(&format!("waiting {:.0} ms for a reply", ms(wait)));
        }
        let heard = self.inner.recv_until(buffer, until);
        match heard {
            Ok(Some(heard)) => self.tell(&format!("heard {} bytes", heard.actual)),
            Ok(None) => {}
            Err(error) => self.error(error),
        }
        heard
    }

    /// A fresh port is a fresh request.
    fn renew(&mut self) -> Result<(), PathError> {
        (self.start, self.transmissions, self.waiting) = (None, 0, None);
        self.inner.renew()
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
