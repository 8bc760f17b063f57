use super::{Fate, Impairments, Link, LinkStats};
use crate::entropy::Seed;
use crate::time::Timestamp;
use crate::transport::{PathError, Received, Transport};

/// A bad network around any transport, and a transport itself, so it stacks.
///
/// What the sending link drops is reported as sent, as a real network would; what the receiving link drops is
/// never shown. Which datagrams those are follows from the seed and their number alone.
///
/// ```
/// use udp_retry::fault::LossySink;
/// use udp_retry::net::UdpServer;
/// use udp_retry::transport::Transport;
/// use udp_retry::{Impairments, Probability, Seed, UdpTransport};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = UdpServer::bind("127.0.0.1:0")?;
/// let client = UdpTransport::connect(server.local_addr())?;
/// let mut lossy = LossySink::new(client, Impairments::loss(Probability::ONE), Seed(7));
/// lossy.send(0, b"into the void")?;
/// assert_eq!(lossy.sending().lost, 1);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "netem")]
#[doc(alias = "fault injection")]
#[derive(Debug)]
pub struct LossySink<T> {
    inner: T,
    sending: Link,
    receiving: Link,
}

impl<T: Transport> LossySink<T> {
    /// The same impairments in both directions, each with draws of its own.
    #[must_use]
    pub fn new(inner: T, impairments: Impairments, seed: Seed) -> Self {
        Self::with_directions(inner, impairments, impairments, seed)
    }

    /// Impairs what the inner transport sends, and apart from that what it receives.
    #[must_use]
    pub fn with_directions(inner: T, sending: Impairments, receiving: Impairments, seed: Seed) -> Self {
        Self {
            inner,
            sending: Link::new(sending, seed.derive(SENDING)),
            receiving: Link::new(receiving, seed.derive(RECEIVING)),
        }
    }

    /// What became of the datagrams sent.
    #[must_use]
    pub fn sending(&self) -> &LinkStats {
        self.sending.stats()
    }

    /// What became of the datagrams received.
    #[must_use]
    pub fn receiving(&self) -> &LinkStats {
        self.receiving.stats()
    }

    /// The transport inside.
    #[must_use]
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The transport inside; what is sent or received on it directly goes past the links.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Takes the bad network away.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.inner
    }

    fn passes(&mut self, datagram: &[u8]) -> bool {
        let now = self.inner.now();
        matches!(self.sending.transmit(now, datagram), Fate::Delivered { .. })
    }
}

impl<T: Transport> Transport for LossySink<T> {
    type Peer = T::Peer;

    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn send(&mut self, to: T::Peer, datagram: &[u8]) -> Result<(), PathError> {
        if self.passes(datagram) { self.inner.send(to, datagram) } else { Ok(()) }
    }

    fn recv_until(&mut self, buffer: &mut [u8], until: Timestamp) -> Result<Option<Received<T::Peer>>, PathError> {
        let mut overdue = 0;
        while let Some(received) = self.inner.recv_until(buffer, until)? {
            let datagram = buffer.get(..received.len).unwrap_or_default();
            if let Fate::Delivered { .. } = self.receiving.transmit(received.at, datagram) {
                return Ok(Some(received));
            }
            // A flood that is dropped must not keep the caller past its time.
            overdue += u32::from(received.at > until);
            if overdue > MOST_OVERDUE {
                break;
            }
        }
        Ok(None)
    }

    fn renew(&mut self) -> Result<(), PathError> {
        self.inner.renew()
    }

    /// One datagram meets one fate, however often the system has to be asked to take it.
    fn send_again(&mut self, to: T::Peer, datagram: &[u8]) -> Result<Option<PathError>, PathError> {
        if self.passes(datagram) { self.inner.send_again(to, datagram) } else { Ok(None) }
    }
}

/// The labels of the directions among the draws of a sink.
const SENDING: u64 = 1;
const RECEIVING: u64 = 2;

/// So many datagrams are still looked at once the time is up, to find one that passes.
const MOST_OVERDUE: u32 = 64;
