use std::fmt::{self, Write};
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
    /// Replies the id, the first 8 bytes of the request, and the time of day
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
            Self::Time => write!(text, "{}", Rfc3339(since_1970())),
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

/// A moment since 1970, as UTC with microseconds.
struct Rfc3339(Duration);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0.as_secs() / 86_400, self.0.as_secs() % 86_400);
        // From March 1st of the year 0 on, where the odd day of a leap year is the last one of a year.
        let days = days + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = era * 400 + year + next;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let micros = self.0.subsec_micros();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_the_calendar_has_them() {
        for (seconds, written) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (951_868_800, "2000-03-01T00:00:00.000000Z"),
            (1_000_000_000, "2001-09-09T01:46:40.000000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(Rfc3339(Duration::from_secs(seconds)).to_string(), written);
        }
        assert!(Rfc3339(Duration::from_micros(7)).to_string().ends_with("00.000007Z"));
    }
}
