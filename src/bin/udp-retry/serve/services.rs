use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use clap::ValueEnum;
use udp_retry::replies::{DuplicateKey, ReplyLimits, RequestKey, keyed_by};
use udp_retry::serving::{Handled, Request};

/// What a server does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Service {
    /// Replies what it was sent
    Echo,
    /// Counts: a request is an id of 8 bytes and "+1", the reply the id and the new number
    Counter,
    /// Replies the id, the first 8 bytes of the request, and the seconds since 1970 (UTC)
    Time,
}

impl Service {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Counter => "counter",
            Self::Time => "time",
        }
    }

    /// By what copies are recognised.
    pub(super) fn duplicates(self) -> impl DuplicateKey + Send {
        keyed_by(move |peer: SocketAddr, request| match self {
            Self::Echo => Some(RequestKey::new(peer, request)),
            Self::Counter | Self::Time => request.get(..ID).map(|id| RequestKey::new(peer, id)),
        })
    }

    pub(super) fn limits(self) -> ReplyLimits {
        let limits = ReplyLimits::default();
        match self {
            // Who has no id asks the same again and again.
            Self::Echo => limits.with_replays(u16::MAX),
            Self::Counter | Self::Time => limits,
        }
    }

    pub(super) fn handle(self, request: &Request<'_>, reply: &mut Vec<u8>, counter: &AtomicU64) -> Handled {
        let (id, rest) = request.bytes().split_at_checked(ID).unwrap_or((request.bytes(), &[]));
        let mut text = String::new();
        // A string takes whatever is written.
        let _ = match self {
            Self::Echo => {
                reply.extend_from_slice(request.bytes());
                return Handled::Reply;
            }
            Self::Counter if rest != b"+1" => return Handled::NotExecuted,
            Self::Counter => write!(text, "{}", counter.fetch_add(1, Ordering::Relaxed) + 1),
            Self::Time => {
                let now = since_1970();
                write!(text, "{}.{:06}", now.as_secs(), now.subsec_micros())
            }
        };
        reply.extend_from_slice(id);
        reply.extend_from_slice(text.as_bytes());
        Handled::Reply
    }
}

/// Bytes of an id, which a request begins with.
const ID: usize = 8;

#[expect(clippy::disallowed_methods, reason = "the time of day is what was asked for")]
fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
