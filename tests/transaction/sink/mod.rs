//! A sink deals out the fates of its links around any transport, in both directions, and loses count of nothing.

mod capacity;
mod control;
mod damage;
mod delay;
mod loss;
mod one_fate;
mod over_time;
mod peers;
mod size;

use std::collections::VecDeque;
use std::time::Duration;

use udp_retry::fault::{
    Bottleneck, Corrupt, DelayLaw, DelayModel, Direction, DirectionStats, Duplicate, LossModel, MtuClamp, Oversize,
    Profile, QueueLimit, Reorder, Rule, Script, Truncate,
};
use udp_retry::size::Pmtu;
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, NoEntropy, PathError, Received, Renewal, Renewed, Transport};
use udp_retry::{Impairments, LossySink, Probability};

use crate::scripted::{START, Scripted, ms, reply};

/// A server's end in virtual time: what it sends is kept, what it hears is put there by the test.
#[derive(Debug)]
struct Room {
    now: Timestamp,
    /// Whoever waits finds what came up to so much later.
    late: Duration,
    inbox: VecDeque<(Timestamp, u32, Vec<u8>)>,
    outbox: Vec<(Timestamp, u32, Vec<u8>)>,
}

impl Default for Room {
    fn default() -> Self {
        Self { now: START, late: Duration::ZERO, inbox: VecDeque::new(), outbox: Vec::new() }
    }
}

impl Transport for Room {
    type Peer = u32;

    fn now(&self) -> Timestamp {
        self.now
    }

    fn send(&mut self, to: u32, datagram: &[u8]) -> Result<(), PathError> {
        self.outbox.push((self.now, to, datagram.to_vec()));
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8], _now: Timestamp, until: Timestamp) -> Incoming<u32> {
        let limit = until.max(self.now).after(self.late);
        let due = self.inbox.front().is_some_and(|(at, ..)| *at <= limit);
        let Some((at, from, datagram)) = due.then(|| self.inbox.pop_front()).flatten() else {
            self.now = limit;
            return Incoming::TimeUp(self.now);
        };
        self.now = self.now.max(at);
        let len = datagram.len().min(buffer.len());
        buffer[..len].copy_from_slice(&datagram[..len]);
        Incoming::Datagram(Received::new(from, len, datagram.len(), at))
    }

    fn renew(&mut self, _path: u32, _need: Renewal) -> Result<Renewed, PathError> {
        Err(PathError::Unsupported)
    }

    fn entropy(&mut self, _key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        Err(NoEntropy::new())
    }
}

/// Every stage, none of them rare.
fn everything() -> Impairments {
    let often = |percent| Probability::ratio(percent, 100).unwrap();
    Impairments::loss(Probability::ZERO)
        .with_mtu(MtuClamp::new(Pmtu::new(1400), Oversize::Error))
        .unwrap()
        .with_bottleneck(Bottleneck::new(1_000_000, QueueLimit::Time(ms(20))).unwrap())
        .with_loss(LossModel::bursts(often(20), 2.5).unwrap())
        .with_duplicate(Duplicate::new(often(25)).late(DelayLaw::exponential(ms(0), ms(10)).unwrap()))
        .with_truncate(Truncate::new(often(10)))
        .with_corrupt(Corrupt::new(often(20)))
        .with_delay(DelayModel::new(DelayLaw::uniform(ms(10), ms(10)).unwrap()))
        .with_reorder(Reorder::new(often(10), ms(15)).unwrap())
}

/// Of a client's end.
fn sent<T: Transport>(sink: &LossySink<T>) -> DirectionStats {
    sink.stats(Direction::ToServer)
}

fn heard<T: Transport>(sink: &LossySink<T>) -> DirectionStats {
    sink.stats(Direction::ToClient)
}

/// Every datagram and every copy is accounted for.
#[track_caller]
fn assert_balanced(stats: &DirectionStats) {
    let fates = &stats.fates;
    assert_eq!(fates.received + fates.duplicates, fates.delivered + fates.dropped.total(), "{stats:?}");
    assert_eq!(fates.delivered, stats.passed + stats.in_flight + stats.discarded + stats.failed, "{stats:?}");
}

fn requests(to_server: Impairments) -> Profile {
    Profile { to_server, ..Profile::default() }
}

fn replies(to_client: Impairments) -> Profile {
    Profile { to_client, ..Profile::default() }
}

fn delay(by: Duration) -> Impairments {
    Impairments::NONE.with_delay(DelayModel::new(DelayLaw::fixed(by).unwrap()))
}

fn script(rules: impl IntoIterator<Item = (u64, Rule)>) -> Impairments {
    Impairments::NONE.with_script(Script::new(rules).unwrap())
}

fn echo() -> Scripted {
    let mut echo = Scripted::new(|heard| if heard.ordinal < 1000 { vec![reply(ms(1), heard.payload)] } else { vec![] });
    echo.forgetful = true;
    echo
}

fn always() -> Impairments {
    Impairments::loss(Probability::ONE)
}

fn probability(p: f64) -> Probability {
    Probability::new(p).unwrap()
}
