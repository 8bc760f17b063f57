//! A transaction that a test drives itself, step by step.

use std::time::Duration;

use udp_retry::time::Timestamp;
use udp_retry::transaction::{Next, ReplyMatcher, Transaction};
use udp_retry::transport::{PathError, PathIndex, Renewal, Renewed};

use crate::scripted::START;

/// What is next, now that nothing was queued at `now`.
pub(crate) fn looked<M: ReplyMatcher>(transaction: &mut Transaction<M>, now: Timestamp) -> Next {
    transaction.on_time_up(now);
    transaction.next(now)
}

/// The system did not send, neither at first nor when it was asked again.
#[track_caller]
pub(crate) fn fail_twice<M: ReplyMatcher>(transaction: &mut Transaction<M>, now: Timestamp, error: PathError) {
    transaction.on_not_transmitted(now, error);
    assert_eq!(transaction.next(now), TRANSMIT, "the first failure may be an earlier datagram's");
    transaction.on_not_transmitted(now, error);
}

/// Obeys until the transaction ends: nothing ever comes, and builds, renewals and waits take these times. Returns when
/// it transmitted, and when and how it ended, in milliseconds since the start.
pub(crate) fn in_silence<M: ReplyMatcher>(transaction: &mut Transaction<M>, takes: &Takes) -> (Vec<u64>, u64, Next) {
    let (mut now, mut sent) = (START, Vec::new());
    loop {
        match transaction.next(now) {
            Next::Build(_, number) => {
                transaction.build(|_, bytes| bytes.extend_from_slice(format!("id 1 attempt {number}").as_bytes()));
                now = now.after(takes.build);
            }
            Next::Renew(path, _) => {
                now = now.after(takes.renewal);
                transaction.on_renewed(now, path, Ok(Renewed::FreshPort));
            }
            Next::Transmit(_) => {
                transaction.on_transmitted(now);
                sent.push(since_start(now));
            }
            Next::WaitUntil(until) => {
                now = now.max(until);
                transaction.on_time_up(now);
            }
            end => return (sent, since_start(now), end),
        }
    }
}

/// How long it takes to get ready.
#[derive(Default)]
pub(crate) struct Takes {
    pub(crate) build: Duration,
    pub(crate) renewal: Duration,
}

fn since_start(now: Timestamp) -> u64 {
    u64::try_from(now.since(START).as_millis()).unwrap()
}

pub(crate) const TRANSMIT: Next = Next::Transmit(PathIndex::FIRST);
/// Nothing but the port tells its replies from others.
pub(crate) const RENEW: Next = Next::Renew(PathIndex::FIRST, Renewal::Required);
/// The request before got no answer.
pub(crate) const RENEW_IF_FREE: Next = Next::Renew(PathIndex::FIRST, Renewal::Advised);
