//! A transport in virtual time, whose looks take as long as a test says, and which notes how it was asked.

use std::collections::VecDeque;
use std::time::Duration;

use udp_retry::size::Plpmtu;
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, NoEntropy, PathError, PathIndex, Received, Renewal, Renewed, Transport};

/// A call of `recv`: one that may not wait, begun then, or one that may, with its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Call {
    Look(Timestamp),
    Wait(Timestamp, Timestamp),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Met {
    /// Of this many bytes.
    Datagram(usize),
    Error,
    Cancel,
}

/// A transport in virtual time: every look takes the same, and sees what has arrived at its end; a wait ends at the
/// moment when something arrives.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) now: Timestamp,
    pub(super) each: Duration,
    pub(super) arriving: VecDeque<(Timestamp, Met)>,
    /// As a system that notes arrivals.
    pub(super) knows_arrivals: bool,
    /// The look that begins then takes this long.
    pub(super) stall: Option<(Timestamp, Duration)>,
    /// Every receive fails; of a wait it takes a hundredth of a second first.
    pub(super) broken: bool,
    pub(super) calls: Vec<Call>,
}

impl Stage {
    pub(super) fn new(each_ns: u64) -> Self {
        let (arriving, each) = (VecDeque::new(), Duration::from_nanos(each_ns));
        let (knows_arrivals, stall, broken) = (false, None, false);
        Self { now: Timestamp::ZERO, each, arriving, knows_arrivals, stall, broken, calls: Vec::new() }
    }

    pub(super) fn looks(&self) -> usize {
        self.calls.iter().filter(|call| matches!(call, Call::Look(_))).count()
    }

    pub(super) fn waits(&self) -> usize {
        self.calls.len() - self.looks()
    }
}

impl Transport for Stage {
    type Peer = PathIndex;

    fn now(&self) -> Timestamp {
        self.now
    }

    fn send(&mut self, to: PathIndex, datagram: &[u8]) -> Result<(), PathError> {
        Err(PathError::Other(to.number() as i32 + datagram.len() as i32))
    }

    fn recv(&mut self, _: &mut [u8], now: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
        assert!(now <= self.now, "{now:?} has not come yet");
        assert!(self.calls.len() < 1_000_000, "it spins");
        if until <= self.now {
            self.calls.push(Call::Look(until));
            let stall = self.stall.filter(|&(at, _)| at == self.now).map(|(_, stall)| stall);
            self.now = self.now.after(stall.unwrap_or(self.each));
        } else {
            self.calls.push(Call::Wait(now, until));
            let next = self.arriving.front().map_or(until, |&(at, _)| at.min(until));
            self.now = if self.broken { self.now.after(Duration::from_millis(10)) } else { self.now.max(next) };
        }
        if self.broken {
            return refusal();
        }
        let Some(&(arrived, met)) = self.arriving.front().filter(|(at, _)| *at <= self.now) else {
            return Incoming::TimeUp(self.now);
        };
        self.arriving.pop_front();
        match met {
            Met::Datagram(len) => {
                let at = if self.knows_arrivals { arrived } else { self.now.min(until) };
                Incoming::Datagram(Received::new(PathIndex::FIRST, 0, len, at))
            }
            Met::Error => refusal(),
            Met::Cancel => Incoming::Cancelled,
        }
    }

    fn renew(&mut self, path: PathIndex, _: Renewal) -> Result<Renewed, PathError> {
        Err(PathError::Other(path.number() as i32 * 10))
    }

    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        key.fill(5);
        Ok(())
    }

    fn max_plpmtu(&self, to: PathIndex) -> Option<Plpmtu> {
        Some(Plpmtu::new(1000 + to.number() as u16))
    }
}

/// What every error here is.
pub(super) const fn refusal() -> Incoming<PathIndex> {
    Incoming::PathError { path: Some(PathIndex::FIRST), error: PathError::Refused, quoted: 0 }
}
