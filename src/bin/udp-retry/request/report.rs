//! What came of a request: as a story, and as a line of JSON.

use std::io::{self, Write};
use std::time::Duration;

use udp_retry::transaction::{Execution, Failure, Strays};
use udp_retry::{Reply, RequestError};

use super::hex;

pub(crate) fn story(out: &mut impl Write, outcome: &Result<Reply<'_>, RequestError>, apart: bool) -> io::Result<()> {
    let gap = if apart { "\n" } else { "" };
    match outcome {
        Ok(reply) => {
            let payload = reply.payload();
            writeln!(out, "{gap}{}", reply.timeline())?;
            // As a literal, so that no reply can steer a terminal.
            writeln!(out, "{} bytes: {:?}", payload.len(), String::from_utf8_lossy(payload))?;
            writeln!(out, "{}{}", hex::Dump(payload), hex::Plain(payload))
        }
        Err(error) => {
            let execution = execution(error.execution());
            writeln!(out, "{gap}{}\nNo reply: {error}; execution: {execution}", error.timeline())
        }
    }
}

/// `before` is what it took until the request began.
pub(crate) fn json(
    out: &mut impl Write,
    outcome: &Result<Reply<'_>, RequestError>,
    before: Duration,
    sent: &[Duration],
) -> io::Result<()> {
    let sent = sent.iter().map(|&at| ms(at)).collect::<Vec<_>>().join(",");
    match outcome {
        Ok(reply) => {
            let round_trip = reply.round_trip().map_or_else(|| "null".to_owned(), ms);
            writeln!(
                out,
                "{{\"reply_hex\":\"{}\",\"transmissions\":{},\"elapsed_ms\":{},\"round_trip_ms\":{round_trip},\
                 \"sent_ms\":[{sent}],\"strays\":{}}}",
                hex::Plain(reply.payload()),
                reply.transmissions(),
                ms(before + reply.elapsed()),
                strays(reply),
            )
        }
        Err(error) => writeln!(
            out,
            "{{\"error\":\"{}\",\"execution\":\"{}\",\"transmissions\":{},\"sent_ms\":[{sent}],\"elapsed_ms\":{}}}",
            kind(error.failure()),
            execution(error.execution()),
            error.transmissions(),
            ms(before + error.elapsed()),
        ),
    }
}

pub(crate) fn unasked_story(out: &mut impl Write, error: &io::Error, apart: bool) -> io::Result<()> {
    let gap = if apart { "\n" } else { "" };
    writeln!(out, "{gap}No reply: {error}; execution: {}", execution(Execution::NotSent))
}

pub(crate) fn unasked_json(out: &mut impl Write, error: &io::Error, elapsed: Duration) -> io::Result<()> {
    let kind = match error.kind() {
        io::ErrorKind::TimedOut => "timed_out",
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => "unreachable",
        _ => "io",
    };
    let (execution, elapsed) = (execution(Execution::NotSent), ms(elapsed));
    writeln!(
        out,
        "{{\"error\":\"{kind}\",\"execution\":\"{execution}\",\"transmissions\":0,\"sent_ms\":[],\"elapsed_ms\":{elapsed}}}"
    )
}

/// To a microsecond; a float prints as JSON has it: never without a digit behind the point.
fn ms(time: Duration) -> String {
    format!("{:?}", time.as_micros() as f64 / 1e3)
}

fn strays(reply: &Reply<'_>) -> String {
    let Strays { stale, empty, truncated, foreign, .. } = reply.strays();
    format!("{{\"stale\":{stale},\"empty\":{empty},\"truncated\":{truncated},\"foreign\":{foreign}}}")
}

fn kind(failure: Failure) -> &'static str {
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
        _ => "io",
    }
}

fn execution(execution: Execution) -> &'static str {
    match execution {
        Execution::NotSent => "not_sent",
        Execution::Refused => "refused",
        Execution::Unknown => "unknown",
    }
}
