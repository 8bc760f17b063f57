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
use crate::fault::record::Record;
use crate::size::LARGEST_DATAGRAM;
use crate::time::Timestamp;
use crate::transport::{PathError, Received, Transport};

/// A bad network around any transport, and a transport itself, so it stacks.
///
/// What is dropped on the way out is reported as sent, as a real network would; what is dropped on the way in is
/// never shown. What is delayed comes out while somebody waits in `recv_until` or sends, at its own time and without
/// a thread; [`flush`](Self::flush) sends off the rest. Each peer has links of its own, of the 1,024 that were heard
/// of last. Which datagrams meet which fate follows from the seed, the peer's place in the order of first
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
    /// The way that datagrams take which are sent here.
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
    /// What the system said of a datagram that left late.
    news: Option<PathError>,
    observer: Option<Observer<T::Peer>>,
    /// For damaged copies, and for what arrives while nobody asks.
    scratch: Vec<u8>,
}

type Observer<P> = Box<dyn FnMut(P, &Record) + Send>;

/// Whom a datagram came from, and how many bytes the caller's buffer cut off.
#[derive(Clone, Copy, Debug)]
struct Arrived<P> {
    from: P,
    cut_off: usize,
}

impl<T: Transport> LossySink<T> {
    /// The same impairments in both directions, each with draws of its own, around a client's end.
    #[must_use]
    pub fn new(inner: T, impairments: Impairments, seed: Seed) -> Self {
        Self::at_client(inner, Profile::both(impairments), seed)
    }

    /// Around a client's end: what it sends goes to the server.
    #[must_use]
    pub fn at_client(inner: T, profile: Profile, seed: Seed) -> Self {
        Self::around(inner, Direction::ToServer, profile, seed)
    }

    /// Around a server's end: what it sends goes to a client.
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
            news: None,
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

    /// The transport inside; what is sent or received on it directly goes past the links.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Takes the bad network away, with everything that is still on its way; see [`flush`](Self::flush).
    #[must_use]
    pub fn into_inner(self) -> T {
        self.inner
    }

    /// Waits until everything that was sent has left, or until it is cancelled. What arrives meanwhile is kept for
    /// `recv_until`.
    ///
    /// # Errors
    ///
    /// What the system said of a datagram that left, the rest having left too. An error of the inner transport's
    /// receiving ends the wait at once.
    pub fn flush(&mut self) -> Result<(), PathError> {
        let mut buffer = core::mem::take(&mut self.scratch);
        buffer.resize(LARGEST_DATAGRAM, 0);
        let flushed = self.flush_into(&mut buffer);
        self.scratch = buffer;
        flushed.and_then(|()| self.news.take().map_or(Ok(()), Err))
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
                None if self.inner.now() < due => return Ok(()),
                None => {}
            }
        }
    }

    /// What becomes of a datagram, in the direction in which it goes.
    fn decide(&mut self, direction: Direction, peer: T::Peer, now: Timestamp, len: usize) -> Fate {
        if let Some(profile) = self.control.news(&mut self.control_seen) {
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

    /// Where the links of a peer are; the peer that was not heard of for the longest time makes room for a new one.
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
        let Self { inner, outgoing: Transit { line, passed, failed, .. }, news, .. } = self;
        let now = inner.now();
        while let Some(sent) = line.pop_due(now, |to, _, datagram| inner.send_again(to, datagram)) {
            match sent {
                Ok(swallowed) => {
                    *passed += 1;
                    *news = swallowed.or(*news);
                }
                Err(error) => {
                    *failed += 1;
                    *news = Some(error);
                }
            }
        }
    }

    /// One datagram meets one fate, however often the system has to be asked to take it.
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
                let room = self.outgoing.line.push(to, delivery, datagram);
                self.outgoing.discarded += u64::from(!room);
                continue;
            }
            let sent = send(&mut self.inner, to, damaged(delivery, datagram, &mut self.scratch));
            *if sent.is_ok() { &mut self.outgoing.passed } else { &mut self.outgoing.failed } += 1;
            // The caller is told of the datagram itself before its copies.
            outcome = match (outcome, sent) {
                (Ok(None), sent) => sent,
                (outcome, _) => outcome,
            };
        }
        outcome
    }

    /// A datagram has arrived at this host: into the line with it, or straight to the caller, if `direct` and
    /// nothing holds it up or changes it.
    fn take_in(&mut self, received: &Received<T::Peer>, datagram: &[u8], direct: bool) -> bool {
        let fate = self.decide(self.sending.opposite(), received.from, received.at, received.actual);
        let Fate::Delivered(deliveries) = fate else { return false };
        let mut passed = false;
        for delivery in &deliveries {
            let unchanged = delivery.is_whole(received.actual);
            let next = self.incoming.line.next_due().is_none_or(|due| due > delivery.at);
            if direct && !passed && unchanged && next && delivery.at <= received.at {
                passed = true;
                self.incoming.passed += 1;
                continue;
            }
            let cut_off = delivery.len.saturating_sub(datagram.len());
            let room = self.incoming.line.push(Arrived { from: received.from, cut_off }, delivery, datagram);
            self.incoming.discarded += u64::from(!room);
        }
        passed
    }

    /// The next datagram that has come through by `now`.
    fn hand_out(&mut self, buffer: &mut [u8], now: Timestamp) -> Option<Received<T::Peer>> {
        let out = self.incoming.line.pop_due(now, |Arrived { from, cut_off }, at, datagram| {
            let len = datagram.len().min(buffer.len());
            if let (Some(to), Some(datagram)) = (buffer.get_mut(..len), datagram.get(..len)) {
                to.copy_from_slice(datagram);
            }
            Received { from, len, actual: datagram.len() + cut_off, at }
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
            self.release();
            if let Some(news) = self.news.take() {
                return Err(news);
            }
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
                // The time has come, or the wait was cancelled.
                None if wake == until || self.inner.now() < wake => {
                    self.release();
                    let now = self.inner.now();
                    return Ok(self.hand_out(buffer, now.min(until)));
                }
                None => {}
            }
        }
    }

    fn take_cancelled(&mut self) -> bool {
        self.inner.take_cancelled()
    }

    /// What is still on its way is dropped and counted, in both directions.
    fn renew(&mut self) -> Result<(), PathError> {
        self.inner.renew()?;
        self.outgoing.discarded += self.outgoing.line.clear() as u64;
        self.incoming.discarded += self.incoming.line.clear() as u64;
        self.news = None;
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
fn damaged<'d>(delivery: &Delivery, datagram: &'d [u8], scratch: &'d mut Vec<u8>) -> &'d [u8] {
    if delivery.is_whole(datagram.len()) {
        return datagram;
    }
    scratch.clear();
    scratch.extend_from_slice(datagram);
    delivery.damage(scratch)
}

const MOST_PEERS: usize = 1024;
/// So many datagrams are still looked at once the time is up, to find one that passes.
const MOST_OVERDUE: u32 = 64;
