//! A client's end of a small network in virtual time: a server that is a closure, and the errors of a connected
//! Linux socket, of which one can be pending and which is reported by whatever call comes next.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use udp_retry::size::Plpmtu;
use udp_retry::time::Timestamp;
use udp_retry::transport::{PathError, Received, Transport};

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
    /// The process is suspended from then until then.
    suspended: Option<(Timestamp, Timestamp)>,
    /// Every receive finds another stray, and takes so long.
    flood: Option<Duration>,
    renewable: bool,
    /// A fresh port takes so long.
    renewal: Duration,
    /// Everything that left, unless `forgetful`.
    pub(crate) sent: Vec<Sent>,
    pub(crate) forgetful: bool,
    pub(crate) left: u64,
    /// Calls of `recv_until` since something left, to catch spinning.
    calls: u32,
}

impl Scripted {
    pub(crate) fn new(server: impl FnMut(Heard<'_>) -> Vec<Answer> + 'static) -> Self {
        Self {
            now: Timestamp::ZERO,
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
            suspended: None,
            flood: None,
            renewable: true,
            renewal: Duration::ZERO,
            sent: Vec::new(),
            forgetful: false,
            left: 0,
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

    /// Every wait in vain ends so much too late.
    pub(crate) fn with_lateness(self, lateness: Duration) -> Self {
        Self { lateness, ..self }
    }

    /// Whoever waits past `from` wakes at `to`, with everything queued that came in the meantime.
    pub(crate) fn suspended(self, from: Timestamp, to: Timestamp) -> Self {
        Self { suspended: Some((from, to)), ..self }
    }

    /// Every receive returns a stray at once, and takes so long.
    pub(crate) fn flooded(self, each: Duration) -> Self {
        Self { flood: Some(each), ..self }
    }

    pub(crate) fn not_renewable(self) -> Self {
        Self { renewable: false, ..self }
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

    /// When everything left, in milliseconds.
    pub(crate) fn sent_ms(&self) -> Vec<f64> {
        self.sent.iter().map(|sent| sent.at.as_nanos() as f64 / 1e6).collect()
    }

    fn schedule(&mut self, at: Timestamp, port: Option<u32>, back: Back) {
        self.coming.insert((at, self.scheduled), (port, back));
        self.scheduled += 1;
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
    type Peer = usize;

    fn now(&self) -> Timestamp {
        self.now
    }

    fn send(&mut self, to: usize, datagram: &[u8]) -> Result<(), PathError> {
        assert_eq!(to, 0, "a client has one path");
        self.arrive();
        if let Some(error) = self.pending.take() {
            return Err(error);
        }
        if self.send_faults.0 > 0 {
            self.send_faults.0 -= 1;
            return Err(self.send_faults.1);
        }
        if datagram.len() > self.limit {
            return Err(PathError::TooBig { limit: u16::try_from(self.limit).ok().map(Plpmtu::new) });
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

    fn recv_until(&mut self, buffer: &mut [u8], until: Timestamp) -> Result<Option<Received<usize>>, PathError> {
        self.calls += 1;
        assert!(self.calls < 2_000_000, "the driver spins at {:?}, waiting until {until:?}", self.now);
        if self.receive_faults.0 > 0 {
            self.receive_faults.0 -= 1;
            return Err(self.receive_faults.1);
        }
        if let Some(each) = self.flood {
            self.advance(each);
            return Ok(Some(Received { from: 0, len: 0, actual: 0, at: self.now }));
        }
        loop {
            self.arrive();
            if let Some(error) = self.pending.take() {
                return Err(error);
            }
            if let Some((at, payload)) = self.queue.pop_front() {
                let len = payload.len().min(buffer.len());
                buffer[..len].copy_from_slice(&payload[..len]);
                return Ok(Some(Received { from: 0, len, actual: payload.len(), at }));
            }
            if until <= self.now {
                return Ok(None);
            }
            let next = self.coming.first_key_value().map(|(&(at, _), _)| at).filter(|&at| at <= until);
            let wake = next.unwrap_or(until.after(self.lateness));
            match self.suspended.filter(|&(from, _)| from < wake) {
                Some((_, to)) => (self.now, self.suspended) = (to, None),
                None => self.now = wake,
            }
            if next.is_none() && self.now == wake {
                // What has come by `until` was looked for; what came after it, while late, is still to be found.
                return Ok(None);
            }
        }
    }

    fn renew(&mut self) -> Result<(), PathError> {
        if !self.renewable {
            return Err(PathError::Unsupported);
        }
        self.advance(self.renewal);
        // What has reached the old port by now arrived in vain; what is on its way will meet a closed port.
        self.arrive();
        self.port += 1;
        self.queue.clear();
        self.pending = None;
        Ok(())
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

pub(crate) fn at_ms(millis: u64) -> Timestamp {
    Timestamp::ZERO.after(ms(millis))
}
