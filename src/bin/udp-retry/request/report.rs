//! What came of a request: as a story, and as a line of JSON.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use udp_retry::transaction::{Execution, Failure, Strays};
use udp_retry::transport::PathError;
use udp_retry::{Reply, RequestError};

use super::hex;
use super::record::{Seen, Shown};
use crate::json;
use crate::values::Hosts;

/// What came of a request, and what else is known of it.
pub(crate) struct Report<'r> {
    pub(crate) outcome: Result<Reply<'r>, RequestError>,
    /// What it took until the request began.
    pub(crate) before: Duration,
    pub(crate) seen: Seen,
    /// Where the paths lead.
    pub(crate) addresses: &'r [SocketAddr],
    /// Whether the reply is not what was expected, if anything was.
    pub(crate) is_wrong: Option<bool>,
}

/// What is known of a request before it is asked.
#[derive(Clone, Copy)]
pub(crate) struct About<'r> {
    pub(crate) is_first: bool,
    /// Whom it goes to, where there are several.
    pub(crate) target: Option<&'r Hosts>,
}

impl About<'_> {
    /// What stands before its story.
    fn heading(&self) -> String {
        let gap = if self.is_first { "" } else { "\n" };
        self.target.map_or_else(|| gap.to_owned(), |target| format!("{gap}{target}:\n"))
    }

    fn json(&self) -> String {
        self.target
            .map_or_else(String::new, |target| format!(",\"target\":{}", json::string(target.to_string().as_bytes())))
    }
}

impl Report<'_> {
    pub(crate) fn story(&self, out: &mut impl Write, about: About<'_>) -> io::Result<()> {
        let heading = about.heading();
        match &self.outcome {
            Ok(reply) => {
                let payload = reply.payload();
                writeln!(out, "{heading}{}{}", reply.timeline(), self.paths())?;
                if self.is_wrong == Some(true) {
                    writeln!(out, "It is not the reply that was expected.")?;
                }
                // As a literal, so that no reply can steer a terminal.
                writeln!(out, "{} bytes: {:?}", payload.len(), String::from_utf8_lossy(payload))?;
                writeln!(out, "{}{}", hex::Dump(payload), hex::Plain(payload))
            }
            Err(error) => {
                let (execution, paths) = (execution(error.execution()), self.paths());
                writeln!(out, "{heading}{}{paths}\nNo reply: {error}; execution: {execution}", error.timeline())
            }
        }
    }

    pub(crate) fn json(&self, out: &mut impl Write, about: About<'_>) -> io::Result<()> {
        let target = about.json();
        let sent = self.seen.sent().map(ms).collect::<Vec<_>>().join(",");
        match &self.outcome {
            Ok(reply) => {
                let round_trip = reply.round_trip().map_or_else(|| "null".to_owned(), ms);
                let server = self.addresses.get(reply.path().number() as usize).filter(|_| self.are_several());
                let wrong = self.is_wrong.map_or_else(String::new, |wrong| format!(",\"wrong\":{wrong}"));
                let server = server.map_or_else(String::new, |server| format!(",\"server\":\"{server}\""));
                writeln!(
                    out,
                    "{{\"reply_hex\":\"{}\",\"transmissions\":{},\"elapsed_ms\":{},\"round_trip_ms\":{round_trip},\
                     \"sent_ms\":[{sent}],\"strays\":{}{wrong}{target}{server}{}}}",
                    hex::Plain(reply.payload()),
                    reply.transmissions(),
                    ms(self.before + reply.elapsed()),
                    strays(reply),
                    self.paths_json(),
                )
            }
            Err(error) => writeln!(
                out,
                "{{\"error\":\"{}\",\"execution\":\"{}\",\"transmissions\":{},\"sent_ms\":[{sent}],\
                 \"elapsed_ms\":{}{target}{}}}",
                kind(error.failure()),
                execution(error.execution()),
                error.transmissions(),
                ms(self.before + error.elapsed()),
                self.paths_json(),
            ),
        }
    }

    /// A line for each of several servers.
    fn paths(&self) -> String {
        self.servers().map(|(number, server, shown)| format!("path {number}: {server}, {}\n", Words(shown))).collect()
    }

    fn paths_json(&self) -> String {
        if !self.are_several() {
            return String::new();
        }
        let path = |(_, server, shown): (_, _, Shown)| {
            let Shown { transmissions, last_error, answered } = shown;
            let error = last_error.map_or_else(|| "null".to_owned(), |error| format!("\"{}\"", path_error(error)));
            format!(
                "{{\"address\":\"{server}\",\"transmissions\":{transmissions},\"error\":{error},\"answered\":{answered}}}"
            )
        };
        format!(",\"paths\":[{}]", self.servers().map(path).collect::<Vec<_>>().join(","))
    }

    /// What each of several has shown, by its number.
    fn servers(&self) -> impl Iterator<Item = (usize, SocketAddr, Shown)> {
        let all = self.addresses.iter().enumerate().filter(|_| self.are_several());
        all.map(|(number, &server)| (number, server, self.seen.path(number)))
    }

    fn are_several(&self) -> bool {
        self.addresses.len() > 1
    }
}

struct Words(Shown);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Shown { transmissions, last_error, answered }) = self;
        let answered = match (answered, transmissions) {
            (true, _) => "answered",
            (false, 0) => "not asked",
            (false, _) => "unanswered",
        };
        write!(f, "transmissions: {transmissions}, {answered}")?;
        last_error.map_or(Ok(()), |error| write!(f, ", last error: {error}"))
    }
}

pub(crate) fn unasked_story(out: &mut impl Write, error: &io::Error, about: About<'_>) -> io::Result<()> {
    writeln!(out, "{}No reply: {error}; execution: {}", about.heading(), execution(Execution::NotSent))
}

pub(crate) fn unasked_json(
    out: &mut impl Write,
    error: &io::Error,
    elapsed: Duration,
    about: About<'_>,
) -> io::Result<()> {
    let (kind, target) = (unasked_kind(error), about.json());
    let (execution, elapsed) = (execution(Execution::NotSent), ms(elapsed));
    writeln!(
        out,
        "{{\"error\":\"{kind}\",\"execution\":\"{execution}\",\"transmissions\":0,\"sent_ms\":[],\"elapsed_ms\":{elapsed}{target}}}"
    )
}

pub(crate) fn unasked_kind(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::TimedOut => "timed_out",
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => "unreachable",
        _ => "io",
    }
}

/// To a microsecond; a float prints as JSON has it: never without a digit behind the point.
pub(crate) fn ms(time: Duration) -> String {
    format!("{:?}", time.as_micros() as f64 / 1e3)
}

fn strays(reply: &Reply<'_>) -> String {
    let Strays { stale, empty, truncated, envelope, foreign, .. } = reply.strays();
    format!(
        "{{\"stale\":{stale},\"empty\":{empty},\"truncated\":{truncated},\"envelope\":{envelope},\"foreign\":{foreign}}}"
    )
}

pub(crate) fn kind(failure: Failure) -> &'static str {
    match failure {
        Failure::Refused => "refused",
        Failure::TimedOut(_) => "timed_out",
        Failure::TooLarge { .. } => "too_large",
        Failure::Truncated { .. } => "truncated",
        Failure::Unreachable => "unreachable",
        Failure::Cancelled => "cancelled",
        Failure::Unmatchable => "unmatchable",
        Failure::NoFreshPort => "no_fresh_port",
        Failure::IdsResting { .. } => "ids_resting",
        Failure::ServerRestarted => "server_restarted",
        _ => "io",
    }
}

fn path_error(error: PathError) -> &'static str {
    match error {
        PathError::Refused => "refused",
        PathError::Unreachable => "unreachable",
        PathError::TooBig { .. } => "too_large",
        PathError::Denied => "denied",
        PathError::NoBuffers => "no_buffers",
        PathError::Unsupported => "unsupported",
        PathError::Cancelled => "cancelled",
        _ => "io",
    }
}

pub(crate) fn execution(execution: Execution) -> &'static str {
    match execution {
        Execution::NotSent => "not_sent",
        Execution::Refused => "refused",
        Execution::Unknown => "unknown",
    }
}
