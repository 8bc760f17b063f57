mod arriving;
mod captured;
mod leaving;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
#[cfg(feature = "pcap")]
use core::net::SocketAddr;
#[cfg(feature = "pcap")]
use std::time::SystemTime;

use self::captured::Captured;
use crate::entropy::Seed;
use crate::fault::capacity::Capacity;
use crate::fault::capture::Tag;
#[cfg(feature = "pcap")]
use crate::fault::capture::{Capture, Tap};
#[cfg(feature = "std")]
use crate::fault::control::Control;
use crate::fault::direction::Direction;
use crate::fault::impairment::impairments::Impairments;
use crate::fault::impairment::profile::Profile;
use crate::fault::link::stats::DirectionStats;
use crate::fault::link::transit::Transit;
use crate::fault::offered::LastOffered;
use crate::fault::peer_links::PeerLinks;
use crate::fault::record::Record;
use crate::size::{IpFamily, LARGEST_DATAGRAM, Plpmtu};
use crate::time::Timestamp;
use crate::transport::{Incoming, NoEntropy, PathError, Renewal, Renewed, Transport};

/// A bad network around any transport, and a transport itself, so it stacks.
///
/// A datagram that is dropped when it is sent is reported as sent, as in a real network; one that is dropped when it
/// arrives is never shown. Delayed datagrams are passed on while the caller sends or waits in `recv`, at their
/// own time and without a thread; [`flush`](Self::flush) sends off the rest. A datagram that the transport inside is known
/// to refuse as too big is refused at once, however late it would leave. Of what is delayed the sink keeps what
/// [`Capacity`] says, of each peer. Links are per peer, for the 1,024 most recently active peers. Times in impairments count
/// from when the sink was made. Which datagrams meet which fate follows from the seed, the peer's place in the order of first
/// appearance, and the datagram's number alone.
///
/// ```
/// use udp_retry::fault::LossySink;
/// use udp_retry::net::UnconnectedUdp;
/// use udp_retry::transport::{PathIndex, Transport};
/// use udp_retry::{Impairments, Probability, Seed, ConnectedUdp};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = UnconnectedUdp::bind("127.0.0.1:0")?;
/// let client = ConnectedUdp::connect(server.local_addr())?;
/// let mut lossy = LossySink::new(client, Impairments::loss(Probability::ONE), Seed::new(7));
/// lossy.send(PathIndex::FIRST, b"into the void")?;
/// assert_eq!(lossy.stats(udp_retry::fault::Direction::ToServer).fates.dropped.loss, 1);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "netem")]
#[doc(alias = "fault injection")]
pub struct LossySink<T: Transport> {
    inner: T,
    /// The direction of what is sent here.
    sending: Direction,
    links: PeerLinks<T::Peer>,
    captured: Captured<T::Peer>,
    outgoing: Transit<T::Peer, Tag>,
    /// With the bytes of each datagram that the caller's buffer did not hold.
    incoming: Transit<T::Peer, (usize, Tag)>,
    /// The latest error of a datagram that left late, until a call reports it.
    pending: Option<PathError>,
    /// The datagram whose send failed last, until something else is done.
    offered: LastOffered<T::Peer>,
    /// `flush` met a cancellation, which belongs to the next `recv`.
    cancelled: bool,
    /// For damaged copies, and for what arrives during a flush.
    scratch: Vec<u8>,
}

impl<T: Transport> LossySink<T> {
    /// Wraps a client's end; the same impairments in both directions, each with draws of its own.
    #[must_use]
    pub fn new(inner: T, impairments: Impairments, seed: Seed) -> Self {
        Self::at_client(inner, Profile::both(impairments), seed)
    }

    /// Wraps a client's end: what it sends goes to the server.
    #[must_use]
    pub fn at_client(inner: T, profile: Profile, seed: Seed) -> Self {
        Self::around(inner, Direction::ToServer, profile, seed)
    }

    /// Wraps a server's end: what it sends goes to a client.
    #[must_use]
    pub fn at_server(inner: T, profile: Profile, seed: Seed) -> Self {
        Self::around(inner, Direction::ToClient, profile, seed)
    }

    fn around(inner: T, sending: Direction, profile: Profile, seed: Seed) -> Self {
        let links = PeerLinks::new(profile, seed, inner.now());
        Self {
            inner,
            sending,
            links,
            captured: Captured::NONE,
            outgoing: Transit::new(Capacity::DEFAULT),
            incoming: Transit::new(Capacity::DEFAULT),
            pending: None,
            offered: LastOffered::none(),
            cancelled: false,
            scratch: Vec::new(),
        }
    }

    /// Counts headers as between addresses of this family, as a transport does not report its own: 28 bytes for IPv4, the
    /// default, or 48 for IPv6. What the impairments say of headers has the last word.
    #[must_use]
    pub fn over(mut self, family: IpFamily) -> Self {
        self.links.family = family;
        self
    }

    /// Sets how much is kept of what is delayed, of each peer and in each direction; [`Capacity::DEFAULT`] by default.
    ///
    /// What exceeds it is dropped and counted, as [`Dropped::capacity`](crate::fault::Dropped::capacity).
    #[must_use]
    pub fn with_capacity(mut self, capacity: Capacity) -> Self {
        self.outgoing.line.set_capacity(capacity);
        self.incoming.line.set_capacity(capacity);
        self
    }

    /// Shows every fate as it is decided, with the peer that the datagram goes to or comes from.
    #[must_use]
    pub fn observed(mut self, observer: impl FnMut(T::Peer, &Record) + Send + 'static) -> Self {
        self.links.observer = Some(Box::new(observer));
        self
    }

    /// Writes every datagram and what became of it, as [`Capture`] says. Needs the feature `pcap`.
    ///
    /// What is sent enters its link when it is sent, and its copies leave when the transport inside takes them; what arrives
    /// enters when it has arrived, and its copies leave at the time of the datagram that the caller is shown. A datagram that is
    /// sent again because the first send failed is written once.
    ///
    /// A transport does not report its addresses, so those of documents are written, of the family that
    /// [`over`](Self::over) says: this end is 192.0.2.1:49152 or \[2001:db8::1\]:49152, the peer of
    /// [link](crate::fault::Record::link) 0 is 192.0.2.2:49153 or \[2001:db8::2\]:49153, that of link 1 has a 3 at the end, and
    /// so on. [`capture_between`](Self::capture_between) has the true ones.
    #[cfg(feature = "pcap")]
    #[must_use]
    pub fn capture(mut self, capture: Capture) -> Self {
        let tap = Tap::between_sides(capture, self.inner.now(), SystemTime::UNIX_EPOCH);
        self.captured = Captured { tap, addresses: None };
        self
    }

    /// As [`capture`](Self::capture), with the addresses of this end and of the peer from `addresses`. Needs the feature
    /// `pcap`.
    ///
    /// ```
    /// use udp_retry::fault::{Capture, LossySink, Profile};
    /// use udp_retry::net::UnconnectedUdp;
    /// use udp_retry::{ConnectedUdp, Seed};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let writer = Vec::new();
    /// let capture = Capture::new(writer);
    /// // Of a socket without a peer, each route has both.
    /// let server = UnconnectedUdp::bind("127.0.0.1:0")?;
    /// let at = server.local_addr();
    /// let server = LossySink::at_server(server, Profile::default(), Seed::new(7));
    /// let server = server.capture_between(capture.clone(), |route| (route.local, route.remote));
    ///
    /// let client = ConnectedUdp::connect(at)?;
    /// let ends = (client.local_addr(), at);
    /// let client = LossySink::at_client(client, Profile::default(), Seed::new(7));
    /// let client = client.capture_between(capture, move |_| ends);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "pcap")]
    #[must_use]
    pub fn capture_between(
        mut self,
        capture: Capture,
        addresses: impl FnMut(T::Peer) -> (SocketAddr, SocketAddr) + Send + 'static,
    ) -> Self {
        self = self.capture(capture);
        self.captured.addresses = Some(Box::new(addresses));
        self
    }

    /// A handle that changes the impairments from any thread. Needs the feature `std`.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn control(&self) -> Control {
        self.links.control()
    }

    /// What became of the datagrams of one direction.
    #[must_use]
    pub fn stats(&self, direction: Direction) -> DirectionStats {
        let fates = self.links.stats(direction);
        if direction == self.sending { self.outgoing.stats([&fates]) } else { self.incoming.stats([&fates]) }
    }

    /// The transport inside.
    #[must_use]
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The transport inside; what is sent or received on it directly bypasses the links.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Takes the bad network away, with everything that is still in flight; see [`flush`](Self::flush).
    #[must_use]
    pub fn into_inner(self) -> T {
        self.inner
    }

    /// Waits until everything that was sent has left, or until it is cancelled; the cancellation then ends the next
    /// `recv` as well. What arrives meanwhile is kept for `recv`.
    ///
    /// # Errors
    ///
    /// What the system reported of a datagram that left, the rest having left too. An error of the inner transport's
    /// receiving ends the wait at once.
    pub fn flush(&mut self) -> Result<(), PathError> {
        self.offered.forget();
        let mut buffer = core::mem::take(&mut self.scratch);
        buffer.resize(LARGEST_DATAGRAM, 0);
        let flushed = self.flush_into(&mut buffer);
        self.scratch = buffer;
        flushed.and_then(|()| self.pending.take().map_or(Ok(()), Err))
    }

    fn flush_into(&mut self, buffer: &mut [u8]) -> Result<(), PathError> {
        loop {
            self.release();
            let Some(due) = self.outgoing.line.next_due() else { return Ok(()) };
            match self.inner.recv(buffer, self.inner.now(), due) {
                Incoming::Datagram(received) => {
                    let datagram = buffer.get(..received.len).unwrap_or_default();
                    self.take_in(&received, datagram, false);
                }
                Incoming::PathError { error, .. } => return Err(error),
                Incoming::TimeUp(_) => {}
                Incoming::Cancelled => {
                    self.cancelled = true;
                    return Ok(());
                }
            }
        }
    }

    #[inline]
    fn follow_control(&mut self) {
        for direction in self.links.follow_control().into_iter().flatten() {
            let now = self.inner.now();
            if direction == self.sending {
                self.outgoing.line.hasten(now, |_| true);
            } else {
                self.incoming.line.hasten(now, |_| true);
            }
        }
    }
}

impl<T: Transport> Transport for LossySink<T> {
    type Peer = T::Peer;

    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn send(&mut self, to: T::Peer, datagram: &[u8]) -> Result<(), PathError> {
        if self.cancelled {
            return Err(PathError::Cancelled);
        }
        self.release();
        self.offer(to, datagram)
    }

    fn recv(&mut self, buffer: &mut [u8], now: Timestamp, until: Timestamp) -> Incoming<T::Peer> {
        self.offered.forget();
        if core::mem::take(&mut self.cancelled) {
            return Incoming::Cancelled;
        }
        let (mut overdue, mut now) = (0, now);
        loop {
            self.release();
            if let Some(error) = self.pending.take() {
                return Incoming::PathError { path: None, error, quoted: 0 };
            }
            if self.incoming.line.len() > 0 {
                now = self.inner.now();
                if let Some(received) = self.hand_out(buffer, now) {
                    return Incoming::Datagram(received);
                }
            }
            let due = [self.outgoing.line.next_due(), self.incoming.line.next_due()];
            let wake = due.into_iter().flatten().fold(until, Timestamp::min);
            match self.inner.recv(buffer, now, wake) {
                Incoming::Datagram(received) => {
                    let datagram = buffer.get(..received.len).unwrap_or_default();
                    if self.take_in(&received, datagram, true) {
                        return Incoming::Datagram(received);
                    }
                    now = self.inner.now();
                    // A flood that is dropped or delayed must not keep the caller past its time.
                    overdue += u32::from(now > until);
                    if overdue > MOST_OVERDUE {
                        return Incoming::TimeUp(now);
                    }
                }
                // Something of ours is due before the caller's time has come.
                Incoming::TimeUp(at) if wake < until => now = at,
                Incoming::TimeUp(at) => {
                    self.release();
                    return self.hand_out(buffer, at.min(until)).map_or(Incoming::TimeUp(at), Incoming::Datagram);
                }
                other => return other,
            }
        }
    }

    /// What is still on its way is dropped and counted, in both directions: it could leave only from the new port.
    fn renew(&mut self, path: T::Peer, need: Renewal) -> Result<Renewed, PathError> {
        let renewed = self.inner.renew(path, need)?;
        self.outgoing.discarded += self.outgoing.line.clear() as u64;
        self.incoming.discarded += self.incoming.line.clear() as u64;
        self.offered.forget();
        self.pending = None;
        Ok(renewed)
    }

    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        self.inner.entropy(key)
    }

    fn max_plpmtu(&self, to: T::Peer) -> Option<Plpmtu> {
        self.inner.max_plpmtu(to)
    }
}

impl<T: Transport + fmt::Debug> fmt::Debug for LossySink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LossySink")
            .field("inner", &self.inner)
            .field("links", &self.links)
            .field("to_server", &self.stats(Direction::ToServer))
            .field("to_client", &self.stats(Direction::ToClient))
            .finish_non_exhaustive()
    }
}

/// Datagrams that are still looked at once the time is up, to find one that passes.
const MOST_OVERDUE: u32 = 64;
