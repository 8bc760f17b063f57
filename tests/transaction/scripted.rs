//! A client's end of a small network in virtual time: a server that is a closure, and the errors of a connected
//! Linux socket, of which one can be pending and which is reported by whatever call comes next.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use udp_retry::size::Plpmtu;
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, NoEntropy, PathError, PathIndex, Received, Renewal, Renewed, Transport};

/// What the server is shown of a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard<'d> {
    pub(crate) payload: &'d [u8],
    /// When it left; the way there takes no time, replies say how long they take.
    pub(crate) at: Timestamp,
    /// How many datagrams left before it.
    pub(crate) ordinal: u64,
}

/// What comes back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Back {
    Datagram(Vec<u8>),
    /// An ICMP message.
    Error(PathError),
}

/// So much later, this.
pub(crate) type Answer = (Duration, Back);

/// A datagram that left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Timestamp,
    pub(crate) port: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) struct Scripted {
    now: Timestamp,
    server: Box<dyn FnMut(Heard<'_>) -> Vec<Answer>>,
    port: u32,
    /// On its way, by time and order of sending; without a port it reaches whatever port is open then.
    coming: BTreeMap<(Timestamp, u64), (Option<u32>, Back)>,
    scheduled: u64,
    queue: VecDeque<(Timestamp, Vec<u8>)>,
    pending: Option<PathError>,
    /// So many of the next sends and receives fail by this host's fault.
    send_faults: (u32, PathError),
    receive_faults: (u32, PathError),
    limit: usize,
    lateness: Duration,
    nap: Duration,
    /// The process is suspended from then until then.
    suspended: Option<(Timestamp, Timestamp)>,
    /// Every receive finds another stray, and takes so long.
    flood: Option<Duration>,
    renewed: Result<Renewed, PathError>,
    /// A fresh port takes so long.
    renewal: Duration,
    /// Every receive fails with this, and for good.
    broken: Option<PathError>,
    /// Somebody cancels then, unless that was reported.
    cancel: Option<Timestamp>,
    /// Keys that were handed out.
    keys: u8,
    has_entropy: bool,
    /// Receives in a row that failed.
    failures: u32,
    /// Everything that left, unless `forgetful`.
    pub(crate) sent: Vec<Sent>,
    pub(crate) forgetful: bool,
    pub(crate) left: u64,
    /// Calls of `recv`.
    pub(crate) receives: u64,
    /// Those since something left, to catch spinning.
    calls: u32,
}

impl Scripted {
    pub(crate) fn new(server: impl FnMut(Heard<'_>) -> Vec<Answer> + 'static) -> Self {
        Self {
            now: START,
            server: Box::new(server),
            port: 0,
            coming: BTreeMap::new(),
            scheduled: 0,
            queue: VecDeque::new(),
            pending: None,
            send_faults: (0, PathError::Unsupported),
            receive_faults: (0, PathError::Unsupported),
            limit: 65_507,
            lateness: Duration::ZERO,
            nap: Duration::ZERO,
            suspended: None,
            flood: None,
            renewed: Ok(Renewed::FreshPort),
            renewal: Duration::ZERO,
            broken: None,
            cancel: None,
            keys: 0,
            has_entropy: true,
            failures: 0,
            sent: Vec::new(),
            forgetful: false,
            left: 0,
            receives: 0,
            calls: 0,
        }
    }

    /// Nothing ever comes back.
    pub(crate) fn silent() -> Self {
        Self::new(|_| Vec::new())
    }

    /// Every request comes back as it is.
    pub(crate) fn echo(delay: Duration) -> Self {
        Self::new(move |heard| vec![reply(delay, heard.payload)])
    }

    pub(crate) fn with_limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Every wait in vain ends so much too late, and finds what has come by then.
    pub(crate) fn with_lateness(self, lateness: Duration) -> Self {
        Self { lateness, ..self }
    }

    /// After every wait in vain the process is off its core for so long: what comes meanwhile meets its next call.
    pub(crate) fn napping(self, nap: Duration) -> Self {
        Self { nap, ..self }
    }

    /// Whoever waits past `from` wakes at `to`, with everything queued that came in the meantime.
    pub(crate) fn suspended(self, from: Timestamp, to: Timestamp) -> Self {
        Self { suspended: Some((from, to)), ..self }
    }

    /// Every receive returns a stray at once, and takes so long.
    pub(crate) fn flooded(self, each: Duration) -> Self {
        Self { flood: Some(each), ..self }
    }

    /// The system gives no entropy.
    pub(crate) fn without_entropy(self) -> Self {
        Self { has_entropy: false, ..self }
    }

    pub(crate) fn not_renewable(self) -> Self {
        Self { renewed: Err(PathError::Unsupported), ..self }
    }

    /// The port was the caller's choice.
    pub(crate) fn with_a_chosen_port(self) -> Self {
        Self { renewed: Ok(Renewed::SamePort), ..self }
    }

    pub(crate) fn cancelled_at(self, at: Timestamp) -> Self {
        Self { cancel: Some(at), ..self }
    }

    pub(crate) fn with_renewal(self, renewal: Duration) -> Self {
        Self { renewal, ..self }
    }

    pub(crate) fn fail_sends(&mut self, times: u32, error: PathError) {
        self.send_faults = (times, error);
    }

    pub(crate) fn fail_receives(&mut self, times: u32, error: PathError) {
        self.receive_faults = (times, error);
    }

    pub(crate) fn break_receives(&mut self, error: PathError) {
        self.broken = Some(error);
    }

    /// Something nobody asked for.
    pub(crate) fn inject(&mut self, at: Timestamp, back: Back) {
        self.schedule(at, None, back);
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.now = self.now.after(by);
    }

    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    /// When everything left, in milliseconds since the start.
    pub(crate) fn sent_ms(&self) -> Vec<f64> {
        self.sent.iter().map(|sent| sent.at.since(START).as_nanos() as f64 / 1e6).collect()
    }

    /// The port that each datagram left from.
    pub(crate) fn ports(&self) -> Vec<u32> {
        self.sent.iter().map(|sent| sent.port).collect()
    }

    fn schedule(&mut self, at: Timestamp, port: Option<u32>, back: Back) {
        self.coming.insert((at, self.scheduled), (port, back));
        self.scheduled += 1;
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.is_some_and(|at| at <= self.now)
    }

    /// A socket that reports nothing but errors is left alone until the end of the wait.
    fn fail(&mut self, error: PathError, until: Timestamp) -> Incoming<PathIndex> {
        if self.failures == MOST_FAILURES {
            self.failures = 0;
            self.now = self.now.max(until);
            return Incoming::TimeUp(self.now);
        }
        self.failures += 1;
        Incoming::PathError { path: Some(PathIndex::FIRST), error, quoted: 0 }
    }

    /// Takes in what has arrived by now. A later error replaces an earlier one that nobody has read.
    fn arrive(&mut self) {
        while let Some(entry) = self.coming.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let ((at, _), (port, back)) = entry.remove_entry();
            match back {
                _ if port.is_some_and(|port| port != self.port) => {}
                Back::Datagram(payload) => self.queue.push_back((at, payload)),
                Back::Error(error) => self.pending = Some(error),
            }
        }
    }
}

impl Transport for Scripted {
    type Peer = PathIndex;

    fn now(&self) -> Timestamp {
        self.now
    }

    fn send(&mut self, to: PathIndex, datagram: &[u8]) -> Result<(), PathError> {
        assert_eq!(to, PathIndex::FIRST, "a client has one path");
        if self.is_cancelled() {
            return Err(PathError::Cancelled);
        }
        self.arrive();
        if let Some(error) = self.pending.take() {
            return Err(error);
        }
        if self.send_faults.0 > 0 {
            self.send_faults.0 -= 1;
            return Err(self.send_faults.1);
        }
        if datagram.len() > self.limit {
            return Err(PathError::too_big(u16::try_from(self.limit).ok().map(Plpmtu::new)));
        }
        let (at, port, ordinal) = (self.now, self.port, self.left);
        for (delay, back) in (self.server)(Heard { payload: datagram, at, ordinal }) {
            self.schedule(at.after(delay), Some(port), back);
        }
        if !self.forgetful {
            self.sent.push(Sent { at, port, payload: datagram.to_vec() });
        }
        self.left += 1;
        self.calls = 0;
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8], _now: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
        self.receives += 1;
        self.calls += 1;
        assert!(self.calls < 2_000_000, "the driver spins at {:?}, waiting until {until:?}", self.now);
        if let Some(error) = self.broken {
            return self.fail(error, until);
        }
        if self.receive_faults.0 > 0 {
            self.receive_faults.0 -= 1;
            return Incoming::PathError { path: Some(PathIndex::FIRST), error: self.receive_faults.1, quoted: 0 };
        }
        if let Some(each) = self.flood {
            self.advance(each);
            return Incoming::Datagram(Received::new(PathIndex::FIRST, 0, 0, self.now));
        }
        let mut last_look = false;
        loop {
            if self.is_cancelled() {
                self.cancel = None;
                return Incoming::Cancelled;
            }
            self.arrive();
            if let Some(error) = self.pending.take() {
                return Incoming::PathError { path: Some(PathIndex::FIRST), error, quoted: 0 };
            }
            if let Some((at, payload)) = self.queue.pop_front() {
                let len = payload.len().min(buffer.len());
                buffer[..len].copy_from_slice(&payload[..len]);
                return Incoming::Datagram(Received::new(PathIndex::FIRST, len, payload.len(), at));
            }
            if last_look || until <= self.now {
                let looked = self.now;
                if last_look {
                    self.advance(self.nap);
                }
                return Incoming::TimeUp(looked);
            }
            let next = self.coming.first_key_value().map(|(&(at, _), _)| at);
            let woken = next.into_iter().chain(self.cancel).min().filter(|&at| at <= until);
            let wake = woken.unwrap_or(until.after(self.lateness));
            last_look = woken.is_none();
            match self.suspended.filter(|&(from, _)| from < wake) {
                Some((_, to)) => (self.now, self.suspended, last_look) = (to, None, false),
                None => self.now = wake,
            }
        }
    }

    fn renew(&mut self, path: PathIndex, _need: Renewal) -> Result<Renewed, PathError> {
        assert_eq!(path, PathIndex::FIRST, "a client has one path");
        let renewed = self.renewed?;
        self.advance(self.renewal);
        // What has come by now came in vain; on a fresh port what is on its way will meet a closed one.
        self.arrive();
        self.port += u32::from(renewed == Renewed::FreshPort);
        self.queue.clear();
        self.pending = None;
        Ok(renewed)
    }

    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        self.keys += 1;
        key.fill(self.keys);
        if self.has_entropy { Ok(()) } else { Err(NoEntropy::new()) }
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").field("now", &self.now).field("port", &self.port).finish_non_exhaustive()
    }
}

pub(crate) fn reply(delay: Duration, payload: &[u8]) -> Answer {
    (delay, Back::Datagram(payload.to_vec()))
}

pub(crate) fn refused(delay: Duration) -> Answer {
    (delay, Back::Error(PathError::Refused))
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// So long after the start.
pub(crate) fn at_ms(millis: u64) -> Timestamp {
    START.after(ms(millis))
}

/// An odd hour, 7:13:07, so that an age that is taken for a moment shows.
pub(crate) const START: Timestamp = Timestamp::from_nanos(25_987_000_000_000);

/// Of the receives of a socket, as `ConnectedUdp` bears them.
const MOST_FAILURES: u32 = 16;
