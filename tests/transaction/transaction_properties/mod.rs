//! What to do in one transaction: which datagrams count, what an error means, and what the verdict says.

mod any_facts;
mod errors;
mod matching;
mod restarts;
mod verdicts;
mod world;

use std::time::Duration;

use proptest::prelude::*;
use udp_retry::RetryPolicy;
use udp_retry::Seed;
use udp_retry::policy::Backoff;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Hold, Match, Matching, ReplyMatcher, Transaction, TransactionId, transaction_id};

use crate::by_hand::{RENEW, RENEW_IF_FREE, TRANSMIT, fail_twice, looked};
use crate::scripted::START;

type Matcher = Matching<fn(&[u8], &[u8]) -> Match>;

/// A datagram is a letter and the id of the request it belongs to.
fn matcher(request: &[u8], datagram: &[u8]) -> Match {
    match datagram {
        [b'R', id @ ..] if id == request => Match::Reply,
        [b'P', id @ ..] if id == request => Match::Provisional(Hold::Stop),
        [b'S', id @ ..] if id == request => Match::Provisional(Hold::Slow),
        _ => Match::Foreign,
    }
}

fn sent_once() -> Transaction<TransactionId> {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction.start(b"id 1", at(0), Seed::new(0));
    transaction.on_transmitted(at(0));
    transaction
}

#[track_caller]
fn send_all<M: ReplyMatcher>(transaction: &mut Transaction<M>, until: u64) {
    for due in SLOTS.into_iter().filter(|&due| due < until) {
        if looked(transaction, at(due * MS)) == TRANSMIT {
            transaction.on_transmitted(at(due * MS));
        }
    }
}

/// A hundred transmissions, one every ten nanoseconds.
fn patient() -> RetryPolicy {
    let backoff = Backoff::constant(Duration::from_nanos(10)).unwrap();
    RetryPolicy::new(backoff).with_max_transmissions(1000).unwrap()
}

/// So long after an odd hour.
fn at(nanos: u64) -> Timestamp {
    START.after(Duration::from_nanos(nanos))
}

/// Raised by `UDP_RETRY_CASES`.
fn cases(usual: u32) -> ProptestConfig {
    let cases = std::env::var("UDP_RETRY_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual);
    ProptestConfig { cases, failure_persistence: None, max_global_rejects: u32::MAX, ..ProptestConfig::default() }
}

const MS: u64 = 1_000_000;

/// The slots of the schedule for the LAN, in milliseconds.
const SLOTS: [u64; 5] = [0, 100, 300, 700, 1500];
