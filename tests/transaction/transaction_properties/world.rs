//! A transaction with what it is told and what it said, and facts at random.

use std::time::Duration;

use proptest::prelude::*;
use udp_retry::RetryPolicy;
use udp_retry::Seed;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Failure, Hold, Match, Next, Stray, Transaction, matching};
use udp_retry::transport::{PathError, PathIndex, Renewed};

use super::{MS, Matcher, at, matcher};
use crate::seen::{Seen, seen};

/// A transaction, what time it is, and what a bystander would have noted.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) transaction: Transaction<Matcher>,
    pub(super) now: Timestamp,
    /// When each request left, and its id.
    pub(super) sent: Vec<(Timestamp, u32)>,
    /// Refusals that can have been of a transmission of this transaction.
    pub(super) refusals: u32,
    pub(super) answered: bool,
    /// The end was handed out: nothing counts any more.
    ended: bool,
    /// The id of the latest build.
    id: u32,
}

impl World {
    pub(super) fn new(now: Timestamp) -> Self {
        Self::of(Transaction::new(RetryPolicy::LAN, matching(matcher as fn(&[u8], &[u8]) -> Match)), now)
    }

    pub(super) fn of(transaction: Transaction<Matcher>, now: Timestamp) -> Self {
        Self { transaction, now, sent: Vec::new(), refusals: 0, answered: false, ended: false, id: 0 }
    }

    pub(super) fn start(seed: u64) -> Self {
        let mut world = Self::new(at(0));
        world.restart(seed);
        world
    }

    pub(super) fn restart(&mut self, seed: u64) {
        let now = self.now;
        self.transaction.start_building(now, Seed::new(seed));
        (self.sent, self.refusals, self.answered, self.ended, self.id) = (Vec::new(), 0, false, false, 0);
        self.build();
    }

    fn build(&mut self) {
        self.id += 1;
        self.build_again();
    }

    /// The same bytes as before.
    fn build_again(&mut self) {
        let id = self.id;
        self.transaction.build(|_, bytes| bytes.extend_from_slice(&id.to_be_bytes()));
    }

    pub(super) fn next(&mut self) -> Next {
        let next = self.transaction.next(self.now);
        self.ended |= matches!(next, Next::Done | Next::Failed(_));
        next
    }

    /// What is next, now that nothing is queued.
    pub(super) fn look(&mut self) -> Next {
        self.transaction.on_time_up(self.now);
        self.next()
    }

    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    pub(super) fn renew(&mut self) {
        self.transaction.on_renewed(self.now, PathIndex::FIRST, Ok(Renewed::FreshPort));
    }

    /// The id of the build so many before the latest.
    pub(super) fn id_of(&self, back: u32) -> u32 {
        self.id.saturating_sub(back)
    }

    /// Does one thing; returns what is next if a verdict was asked for.
    pub(super) fn apply(&mut self, op: Op) -> Option<Next> {
        let now = self.now;
        match op {
            Op::Advance(span) => self.now = now.after(Duration::from_nanos(span)),
            Op::Wait(late) => {
                if let Next::WaitUntil(until) = self.next() {
                    self.now = self.now.max(until.after(Duration::from_nanos(late)));
                }
            }
            Op::Drive(rebuild) => {
                match self.next() {
                    Next::WaitUntil(until) if until <= self.now => self.transaction.on_time_up(now),
                    _ => {}
                }
                match self.next() {
                    Next::Build(..) if rebuild => self.build(),
                    Next::Build(..) => self.build_again(),
                    _ => {}
                }
                if matches!(self.next(), Next::Renew(..)) {
                    self.renew();
                }
                if self.next() == Next::Transmit(PathIndex::FIRST) {
                    return self.apply(Op::Sent);
                }
            }
            Op::Sent => {
                self.transaction.on_transmitted(now);
                if !self.ended {
                    self.sent.push((now, self.id));
                }
            }
            Op::NotSent(error) => self.transaction.on_not_transmitted(now, error),
            Op::PathError(error) => {
                if !self.ended && matches!(error, PathError::Refused | PathError::Unreachable) {
                    self.refusals = (self.refusals + 1).min(self.sent.len() as u32);
                }
                self.transaction.on_path_error(now, Some(PathIndex::FIRST), error);
            }
            Op::Reply(back) => return self.datagram(b'R', self.id_of(back)),
            Op::Provisional(back, Hold::Stop) => return self.datagram(b'P', self.id_of(back)),
            Op::Provisional(back, Hold::Slow) => return self.datagram(b'S', self.id_of(back)),
            Op::Stranger => {
                self.stranger(0);
            }
            Op::Cancel => self.transaction.on_cancelled(),
            Op::Build => self.build(),
            Op::EndBy(span) => self.transaction.end_by(now.after(Duration::from_nanos(span))),
        }
        None
    }

    fn datagram(&mut self, kind: u8, id: u32) -> Option<Next> {
        let bytes = [&[kind][..], &id.to_be_bytes()].concat();
        let verdict = self.transaction.on_datagram(self.now, PathIndex::FIRST, &bytes, bytes.len());
        self.answered |= verdict != Match::Foreign;
        Some(self.next())
    }

    /// Somebody else's reply, a forgery, half a datagram, or none at all.
    pub(super) fn stranger(&mut self, kind: usize) -> Match {
        let forged = [b'R', 0xff, 0xff, 0xff, 0xff];
        let datagram: &[u8] = [&forged[..], b"", b"R", b"\0\0\0\x01", &[b'x'; 20]][kind % 5];
        self.transaction.on_datagram(self.now, PathIndex::FIRST, datagram, datagram.len())
    }

    /// All that may be seen, but for what kind of stray a datagram was: that takes the requests before into account.
    pub(super) fn shown(&mut self) -> impl PartialEq + std::fmt::Debug + use<> {
        let next = self.next();
        let transaction = &self.transaction;
        (
            (next, transaction.transmissions(), transaction.round_trip(), transaction.execution()),
            (transaction.last_error(), transaction.elapsed(self.now), transaction.identity()),
            (transaction.datagram().to_vec(), transaction.timeline().omitted()),
            seen(transaction.timeline()).into_iter().map(|(at, event)| (at, kept(event))).collect::<Vec<_>>(),
            self.sent.clone(),
        )
    }
}

fn kept(event: Seen) -> Seen {
    match event {
        Seen::Stray(_, len) => Seen::Stray(Stray::Foreign, len),
        event => event,
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Advance(u64),
    /// Until the machine wants to be asked again, and so much longer.
    Wait(u64),
    /// Looks, builds, renews and sends, as far as that is due; a new request if asked to.
    Drive(bool),
    Sent,
    NotSent(PathError),
    PathError(PathError),
    /// To the request so many builds before the latest.
    Reply(u32),
    Provisional(u32, Hold),
    Stranger,
    Cancel,
    Build,
    EndBy(u64),
}

/// What a driver in its right mind meets.
pub(super) fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        40 => prop_oneof![Just(0), 0..=200_u64, 0..=500 * MS].prop_map(Op::Wait),
        10 => (0..=50 * MS).prop_map(Op::Advance),
        40 => any::<bool>().prop_map(Op::Drive),
        8 => packet_borne().prop_map(Op::PathError),
        2 => (0..=20_u32).prop_map(Op::Reply),
        2 => (0..=3_u32, holds()).prop_map(|(back, hold)| Op::Provisional(back, hold)),
        1 => (0..=1000 * MS).prop_map(Op::EndBy),
    ]
}

/// And what only a mad one reports.
pub(super) fn wild_ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => ops(),
        2 => Just(Op::Sent),
        2 => errors().prop_map(Op::NotSent),
        3 => errors().prop_map(Op::PathError),
        1 => Just(Op::Stranger),
        1 => Just(Op::Build),
        1 => Just(Op::Cancel),
        1 => any::<u64>().prop_map(Op::Advance),
    ]
}

/// What ends a transaction whatever the time, if a request was built that has not left yet, and this is reported often
/// enough.
pub(super) fn ends() -> impl Strategy<Value = Op> {
    prop_oneof![Just(Op::Cancel), Just(Op::NotSent(PathError::too_big(None)))]
}

fn holds() -> impl Strategy<Value = Hold> {
    prop_oneof![Just(Hold::Stop), Just(Hold::Slow)]
}

fn packet_borne() -> impl Strategy<Value = PathError> {
    prop_oneof![3 => Just(PathError::Refused), 1 => Just(PathError::Unreachable), 1 => Just(PathError::too_big(None))]
}

fn errors() -> impl Strategy<Value = PathError> {
    prop_oneof![
        packet_borne(),
        Just(PathError::Denied),
        Just(PathError::NoBuffers),
        Just(PathError::Unsupported),
        Just(PathError::Other(5)),
    ]
}

/// A failure says "refused" only if nothing but refusals came back, so a stray may turn that into "timed out".
pub(super) fn without_kind(next: Next) -> Next {
    match next {
        Next::Failed(Failure::Refused | Failure::Unreachable | Failure::Local(_) | Failure::TimedOut(_)) => {
            Next::Failed(Failure::Unmatchable)
        }
        next => next,
    }
}
