use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::entropy::Seed;
use crate::fault::control::Control;
use crate::fault::direction::Direction;
use crate::fault::impairment::impairments::Impairments;
use crate::fault::impairment::profile::Profile;
use crate::fault::link::fate::{Delivery, DropCause, Fate};
use crate::fault::link::link_pair::LinkPair;
use crate::fault::link::stats::DirectionStats;
use crate::fault::link::transit::Transit;
use crate::fault::recent::Recent;
use crate::fault::record::{FateObserver, Record};
use crate::size::LARGEST_DATAGRAM;
use crate::time::Timestamp;
use crate::transport::{PathError, Received, Transport};

/// A bad network around any transport, and a transport itself, so it stacks.
///
/// A datagram that is dropped when it is sent is reported as sent, as in a real network; one that is dropped when it
/// arrives is never shown. Delayed datagrams are passed on while the caller sends or waits in `recv_until`, at their
/// own time and without a thread; [`flush`](Self::flush) sends off the rest. Links are per peer, for the 1,024 most
/// recently active peers. Which datagrams meet which fate follows from the seed, the peer's place in the order of first
/// appearance, and the datagram's number alone.
///
/// ```
/// use udp_retry::fault::LossySink;
/// use udp_retry::net::UnconnectedUdp;
/// use udp_retry::transport::Transport;
/// use udp_retry::{Impairments, Probability, Seed, ConnectedUdp};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = UnconnectedUdp::bind("127.0.0.1:0")?;
/// let client = ConnectedUdp::connect(server.local_addr())?;
/// let mut lossy = LossySink::new(client, Impairments::loss(Probability::ONE), Seed::new(7));
/// lossy.send(0, b"into the void")?;
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
    seed: Seed,
    control: Control,
    control_seen: u64,
    profile: Profile,
    peers: Recent<T::Peer, LinkPair>,
    /// How many peers there have been.
    ordinal: u64,
    outgoing: Transit<T::Peer>,
    incoming: Transit<Arrived<T::Peer>>,
    /// The latest error of a datagram that left late, until a call reports it.
    pending: Option<PathError>,
    observer: Option<FateObserver<T::Peer>>,
    /// For damaged copies, and for what arrives during a flush.
    scratch: Vec<u8>,
}

/// Where a datagram came from, and how many of its bytes the caller's buffer did not hold.
#[derive(Clone, Copy, Debug)]
struct Arrived<P> {
    from: P,
    missing: usize,
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
        Self {
            inner,
            sending,
            seed,
            control: Control::new(profile.clone()),
            control_seen: 0,
            profile,
            peers: Recent::new(),
            ordinal: 0,
            outgoing: Transit::new(),
            incoming: Transit::new(),
            pending: None,
            observer: None,
            scratch: Vec::new(),
        }
    }

    /// Shows every fate as it is decided, with the peer that the datagram goes to or comes from.
    #[must_use]
    pub fn observed(self, observer: impl FnMut(T::Peer, &Record) + Send + 'static) -> Self {
        Self { observer: Some(Box::new(observer)), ..self }
    }

    /// A handle that changes the impairments from any thread. Needs the feature `std`.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// What became of the datagrams of one direction.
    #[must_use]
    pub fn stats(&self, direction: Direction) -> DirectionStats {
        let links = self.peers.values().map(|links| links.stats(direction));
        if direction == self.sending { self.outgoing.stats(links) } else { self.incoming.stats(links) }
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

    /// Waits until everything that was sent has left, or until the wait is cancelled. What arrives meanwhile is kept
    /// for `recv_until`.
    ///
    /// # Errors
    ///
    /// The latest error of a datagram that left late; the others have left all the same. An error of the inner
    /// transport's receive ends the wait at once.
    pub fn flush(&mut self) -> Result<(), PathError> {
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
            match self.inner.recv_until(buffer, due)? {
                Some(received) => {
                    let datagram = buffer.get(..received.len).unwrap_or_default();
                    self.take_in(&received, datagram, false);
                }
                // Only a cancellation ends a wait early.
                None if self.inner.now() < due => return Ok(()),
                None => {}
            }
        }
    }

    /// What becomes of a datagram.
    fn decide(&mut self, direction: Direction, peer: T::Peer, now: Timestamp, len: usize) -> Fate {
        if let Some(profile) = self.control.changed(&mut self.control_seen) {
            self.profile = profile;
            for links in self.peers.values_mut() {
                links.reconfigure(&self.profile);
            }
        }
        let place = self.place(peer);
        // A place that was just found is there.
        let Some(links) = self.peers.get_mut(place) else { return Fate::Dropped(DropCause::Loss) };
        let record = links.transmit(direction, now, len);
        if let Some(observer) = &mut self.observer {
            observer(peer, &record);
        }
        record.fate
    }

    /// Where the links of a peer are. A new peer beyond the limit replaces the least recently active one.
    fn place(&mut self, peer: T::Peer) -> usize {
        if let Some(place) = self.peers.find(peer) {
            self.peers.touch(place);
            return place;
        }
        if self.peers.len() >= MOST_PEERS {
            let oldest = self.peers.oldest().map(|(place, _)| place);
            if let Some(forgotten) = oldest.and_then(|place| self.peers.remove(place)) {
                self.outgoing.retire(forgotten.stats(self.sending));
                self.incoming.retire(forgotten.stats(self.sending.opposite()));
            }
        }
        let links = LinkPair::new(&self.profile, self.seed, self.ordinal);
        self.ordinal += 1;
        self.peers.insert(peer, links)
    }

    /// Sends what is due by now.
    fn release(&mut self) {
        if self.outgoing.line.len() == 0 {
            return;
        }
        let Self { inner, outgoing: Transit { line, passed, failed, .. }, pending, .. } = self;
        let now = inner.now();
        while let Some(sent) = line.pop_due(now, |to, _, datagram| inner.send_again(to, datagram)) {
            match sent {
                Ok(swallowed) => {
                    *passed += 1;
                    *pending = swallowed.or(*pending);
                }
                Err(error) => {
                    *failed += 1;
                    *pending = Some(error);
                }
            }
        }
    }

    /// Sends a datagram through its link. It meets one fate, however often the system has to be asked to take it.
    fn send_with(
        &mut self,
        to: T::Peer,
        datagram: &[u8],
        send: impl Fn(&mut T, T::Peer, &[u8]) -> Result<Option<PathError>, PathError>,
    ) -> Result<Option<PathError>, PathError> {
        self.release();
        let now = self.inner.now();
        let deliveries = match self.decide(self.sending, to, now, datagram.len()) {
            Fate::Delivered(deliveries) => deliveries,
            Fate::Dropped(_) => return Ok(None),
            Fate::TooBig { limit } => return Err(PathError::TooBig { limit: Some(limit) }),
        };
        let mut outcome = Ok(None);
        for delivery in &deliveries {
            if delivery.at > now {
                let kept = self.outgoing.line.push(to, delivery, datagram);
                self.outgoing.discarded += u64::from(!kept);
                continue;
            }
            let sent = send(&mut self.inner, to, as_it_leaves(delivery, datagram, &mut self.scratch));
            *if sent.is_ok() { &mut self.outgoing.passed } else { &mut self.outgoing.failed } += 1;
            // The first error is reported: that of the datagram itself comes before those of its copies.
            if matches!(outcome, Ok(None)) {
                outcome = sent;
            }
        }
        outcome
    }

    /// Decides over a datagram that has arrived at this host. Returns `true` if the caller can have it as it lies in
    /// the caller's buffer, which is possible only if `direct`; its other copies go into the line.
    fn take_in(&mut self, received: &Received<T::Peer>, datagram: &[u8], direct: bool) -> bool {
        let fate = self.decide(self.sending.opposite(), received.from, received.at, received.actual);
        // Lost, and never shown. `TooBig` concerns a sender on this host, and this one is elsewhere.
        let Fate::Delivered(deliveries) = fate else { return false };
        let mut passed = false;
        for delivery in &deliveries {
            // The buffer serves one copy, and holds it as it came.
            let buffer_serves = direct && !passed && delivery.is_whole(received.actual);
            let has_arrived = delivery.at <= received.at;
            // What is due by then and waits already was first.
            let is_next = self.incoming.line.next_due().is_none_or(|due| due > delivery.at);
            if buffer_serves && has_arrived && is_next {
                passed = true;
                self.incoming.passed += 1;
                continue;
            }
            // The line keeps what there is of the datagram; its true length must come out all the same.
            let missing = delivery.len.saturating_sub(datagram.len());
            let kept = self.incoming.line.push(Arrived { from: received.from, missing }, delivery, datagram);
            self.incoming.discarded += u64::from(!kept);
        }
        passed
    }

    /// The next datagram that has arrived by `now`.
    fn hand_out(&mut self, buffer: &mut [u8], now: Timestamp) -> Option<Received<T::Peer>> {
        let out = self.incoming.line.pop_due(now, |Arrived { from, missing }, at, datagram| {
            let len = datagram.len().min(buffer.len());
            if let (Some(to), Some(datagram)) = (buffer.get_mut(..len), datagram.get(..len)) {
                to.copy_from_slice(datagram);
            }
            Received { from, len, actual: datagram.len() + missing, at }
        })?;
        self.incoming.passed += 1;
        Some(out)
    }
}

impl<T: Transport> Transport for LossySink<T> {
    type Peer = T::Peer;

    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn send(&mut self, to: T::Peer, datagram: &[u8]) -> Result<(), PathError> {
        self.send_with(to, datagram, |inner, to, datagram| inner.send(to, datagram).map(|()| None)).map(|_| ())
    }

    fn recv_until(&mut self, buffer: &mut [u8], until: Timestamp) -> Result<Option<Received<T::Peer>>, PathError> {
        let mut overdue = 0;
        loop {
            // What is due leaves before anything is awaited: it may be the request whose reply the caller waits for.
            self.release();
            if let Some(error) = self.pending.take() {
                return Err(error);
            }
            // The clock is read only if something waits.
            if self.incoming.line.len() > 0 {
                let now = self.inner.now();
                if let Some(received) = self.hand_out(buffer, now) {
                    return Ok(Some(received));
                }
            }
            let wake = [self.outgoing.line.next_due(), self.incoming.line.next_due()];
            let wake = wake.into_iter().flatten().fold(until, Timestamp::min);
            match self.inner.recv_until(buffer, wake)? {
                Some(received) => {
                    let datagram = buffer.get(..received.len).unwrap_or_default();
                    if self.take_in(&received, datagram, true) {
                        return Ok(Some(received));
                    }
                    // A flood that is dropped or delayed must not keep the caller past its time.
                    overdue += u32::from(received.at > until);
                    if overdue > MOST_OVERDUE {
                        return Ok(None);
                    }
                }
                // The caller's time has come, or the wait ended early, which only a cancellation does. What came due
                // during it counts, but nothing past `until`, however late it is by now.
                None if wake == until || self.inner.now() < wake => {
                    self.release();
                    let now = self.inner.now();
                    return Ok(self.hand_out(buffer, now.min(until)));
                }
                // Something in a line is due.
                None => {}
            }
        }
    }

    fn take_cancelled(&mut self) -> bool {
        self.inner.take_cancelled()
    }

    /// Drops and counts what is still in flight, in both directions.
    fn renew(&mut self) -> Result<(), PathError> {
        self.inner.renew()?;
        self.outgoing.discarded += self.outgoing.line.clear() as u64;
        self.incoming.discarded += self.incoming.line.clear() as u64;
        self.pending = None;
        Ok(())
    }

    fn send_again(&mut self, to: T::Peer, datagram: &[u8]) -> Result<Option<PathError>, PathError> {
        self.send_with(to, datagram, T::send_again)
    }
}

impl<T: Transport + fmt::Debug> fmt::Debug for LossySink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LossySink")
            .field("inner", &self.inner)
            .field("profile", &self.profile)
            .field("seed", &self.seed)
            .field("to_server", &self.stats(Direction::ToServer))
            .field("to_client", &self.stats(Direction::ToClient))
            .finish_non_exhaustive()
    }
}

/// The datagram as it leaves: itself where nothing happened to it, else a copy.
fn as_it_leaves<'d>(delivery: &Delivery, datagram: &'d [u8], scratch: &'d mut Vec<u8>) -> &'d [u8] {
    if delivery.is_whole(datagram.len()) {
        return datagram;
    }
    scratch.clear();
    scratch.extend_from_slice(datagram);
    delivery.apply_to(scratch)
}

const MOST_PEERS: usize = 1024;
/// Datagrams that are still looked at once the time is up, to find one that passes.
const MOST_OVERDUE: u32 = 64;
