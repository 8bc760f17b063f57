//! A server that takes one request after the other, and what may befall it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use clap::ValueEnum;
use udp_retry::envelope::{HEADER_LEN, Incarnation, ReplyHeader, ReplyKind, RequestHeader};
use udp_retry::sim::{Endpoint, Outbox};
use udp_retry::time::Timestamp;

use super::ledger::Ledger;
use super::message::Message;

/// What happens to it for a while.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cause {
    /// It stops working; its queue keeps filling
    Stall,
    /// It is gone, and its queue with it
    Crash,
    /// It works at a tenth of its speed
    Slow,
    /// Half of all datagrams are lost, each way
    Loss,
}

impl Cause {
    /// What happens, before the words "for so many seconds".
    pub(crate) fn phrase(self) -> &'static str {
        match self {
            Self::Stall => "A server that stalls",
            Self::Crash => "A server that is gone",
            Self::Slow => "A server at a tenth of its speed",
            Self::Loss => "Half of the datagrams lost each way",
        }
    }

    /// In a word that is short.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Stall => "stall",
            Self::Crash => "crash",
            Self::Slow => "slow",
            Self::Loss => "loss",
        }
    }
}

/// When that begins, and when it is over.
#[derive(Clone, Copy)]
pub(crate) struct Trouble {
    pub(crate) cause: Cause,
    pub(crate) begin: Timestamp,
    pub(crate) end: Timestamp,
}

/// First in, first out: a thousand requests a second, two thousand in its queue. What was asked twice is answered
/// twice, as it keeps no record.
pub(crate) struct Server {
    trouble: Option<Trouble>,
    drops_expired: bool,
    /// When each request that is here now will have left the queue.
    queue: VecDeque<Timestamp>,
    ledger: Rc<RefCell<Ledger>>,
}

pub(crate) const CAPACITY: u64 = 1000;
const QUEUE: usize = 2000;
const SERVICE: Duration = Duration::from_millis(1);
/// How many times longer everything takes while the server is slow.
const SLOWNESS: u32 = 10;

impl Server {
    pub(crate) fn new(trouble: Option<Trouble>, drops_expired: bool, ledger: Rc<RefCell<Ledger>>) -> Self {
        Self { trouble, drops_expired, queue: VecDeque::new(), ledger }
    }

    /// When a request that is the first in the queue from then on is looked at.
    fn turn(&self, first: Timestamp) -> Timestamp {
        match self.trouble {
            Some(Trouble { cause: Cause::Stall, begin, end }) if first >= begin && first < end => end,
            _ => first,
        }
    }

    /// When it will have been answered.
    fn end_of(&self, turn: Timestamp) -> Timestamp {
        let undisturbed = turn.after(SERVICE);
        let Some(Trouble { cause, begin, end }) = self.trouble else { return undisturbed };
        if undisturbed <= begin || turn >= end {
            return undisturbed;
        }
        // What was begun before the trouble is finished in it, or after it.
        let left = SERVICE.saturating_sub(begin.since(turn));
        match cause {
            Cause::Stall => end.after(left),
            Cause::Slow => {
                let from = turn.max(begin);
                let done = from.after(left * SLOWNESS);
                if done <= end { done } else { end.after(left.saturating_sub(end.since(from) / SLOWNESS)) }
            }
            Cause::Crash | Cause::Loss => undisturbed,
        }
    }

    fn is_lost_in_crash(&self, now: Timestamp, done: Timestamp) -> bool {
        self.trouble.is_some_and(|Trouble { cause, begin, end }| cause == Cause::Crash && now < end && done > begin)
    }
}

impl Endpoint for Server {
    fn on_datagram(&mut self, now: Timestamp, from: SocketAddr, datagram: &[u8], out: &mut Outbox) {
        let enveloped = RequestHeader::decode(datagram).ok();
        let (header, request) = enveloped.map_or((None, datagram), |(header, request)| (Some(header), request));
        let Some(message) = Message::read(request) else { return };
        self.ledger.borrow_mut().on_heard(now);
        while self.queue.front().is_some_and(|&left| left <= now) {
            self.queue.pop_front();
        }
        if self.queue.len() >= QUEUE {
            return;
        }
        let turn = self.turn(self.queue.back().copied().unwrap_or(now).max(now));
        let is_expired = header.is_some_and(|header| header.is_expired(turn.since(now)));
        if is_expired || self.drops_expired && message.deadline < turn {
            // No work, but until then it has its place in the queue.
            self.queue.push_back(turn);
            return;
        }
        let done = self.end_of(turn);
        if self.is_lost_in_crash(now, done) {
            return;
        }
        self.queue.push_back(done);
        self.ledger.borrow_mut().on_served(done);
        let after = done.since(now);
        match header.and_then(|asked| answer(asked, done)) {
            Some(header) => out.send_after(after, from, &[&header, request].concat()),
            None => out.send_after(after, from, request),
        }
    }
}

/// What stands before a reply. A client here asks each thing anew, so that none names an incarnation.
fn answer(asked: RequestHeader, at: Timestamp) -> Option<[u8; HEADER_LEN]> {
    let uptime = at.since(Timestamp::ZERO);
    Some(ReplyHeader::new(ReplyKind::Reply, asked.transmission(), uptime, Incarnation::new(1)?).encode())
}
