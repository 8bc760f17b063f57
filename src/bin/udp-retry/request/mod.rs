//! A "curl for UDP": sends a request of any bytes until its reply is there, and prints what happened and the reply.
//!
//! ```text
//! udp-retry request HOST:PORT (--hex HEX | --text TEXT | --file FILE) [--id OFFSET:LEN[:REPLY_OFFSET]] [--policy POLICY]
//!         [--deadline 5s] [--repeat N [--keep-id]] [--seed N] [--json]
//! udp-retry request 9.9.9.9:53 --id 0:2 --policy dns \
//!         --hex "1d0c 0100 0001 0000 0000 0000 076578616d706c65 03636f6d 00 0001 0001"
//! ```
//!
//! Prints the timeline, the reply as text and as a hex dump, and as the last line of standard output the reply in plain
//! hex: for an empty reply an empty line. With `--json`, one line for each request and nothing else on standard output:
//!
//! ```text
//! {"reply_hex":"706f6e67","transmissions":2,"elapsed_ms":100.4,"round_trip_ms":null,"sent_ms":[0.0,100.1],
//!  "strays":{"stale":0,"empty":0,"truncated":0,"foreign":0}}
//! {"error":"timed_out","execution":"unknown","transmissions":2,"sent_ms":[0.0,100.1],"elapsed_ms":300.1}
//! ```
//!
//! Errors are `refused`, `timed_out`, `too_large`, `truncated`, `unreachable`, `cancelled`, `unmatchable`,
//! `no_fresh_port`, `ids_resting` and `io`; executions `not_sent`, `refused` and `unknown`. A request that could not even
//! be asked has its line too: of a name without an address, or a socket that the system refuses (`io`). `elapsed_ms` and
//! the deadline include finding the address of a name, which the first request waits for. The round trip is null where the
//! reply may belong to more than one transmission. `sent_ms` counts from the first transmission, and has all of them. The
//! exit code is 0 if every request was answered, 1 if one was not, and 2 for wrong usage; a request that fits into no
//! datagram is wrong usage.
//!
//! Without `--id` any reply counts, and each request of `--repeat` leaves from a fresh port. With it a reply must
//! repeat these bytes of the request, and each request after the first gets an unpredictable id of its own there;
//! `--seed` gives the same ids every time. On anything but a terminal the output is buffered.
#![expect(
    clippy::disallowed_methods,
    reason = "a thread for the demonstration's service; deadlines that begin before a transport"
)]

mod client;
mod hex;
mod ids;
mod report;
mod resolver;
mod sent;
mod source;

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use client::Client;
use ids::Ids;
use sent::Sent;
use source::Source;
use udp_retry::RetryPolicy;
use udp_retry::net::UnconnectedUdp;
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, Transport};

use crate::terminal::{Misuse, Outcome};
use crate::values::{Host, Id, at_least_one, duration, host, id, policy};

/// Sends a request until its reply is there; without HOST:PORT, to a service of its own
#[derive(Args)]
pub(crate) struct Arguments {
    /// Whom to ask: a name or an address and a port; IPv6 as [::1]:53
    #[arg(value_name = "HOST:PORT", value_parser = host, requires = "Source")]
    target: Option<Host>,
    #[command(flatten)]
    source: Source,
    /// Where the request holds an id, and where the reply repeats it if elsewhere [default: any reply counts]
    #[arg(long, value_name = "OFFSET:LEN[:REPLY_OFFSET]", value_parser = id)]
    id: Option<Id>,
    /// When to send again, and when to give up: a published schedule by name, or a text such as "500ms x2 max 8s 4
    /// transmissions" [default: "default"]
    #[arg(long, value_name = "POLICY", value_parser = policy)]
    policy: Option<RetryPolicy>,
    /// Gives up after so long at the latest, such as 500ms or 5s; finding the address of a name counts
    #[arg(long, value_name = "D", value_parser = duration, allow_hyphen_values = true)]
    deadline: Option<Duration>,
    /// Asks so often, without pause
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    repeat: u64,
    /// Repeats the id too: then a late reply to one request counts for the next one
    #[arg(long, requires = "id")]
    keep_id: bool,
    /// Makes the jitter and the ids repeatable [default: any]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Print one line of JSON for each request, and no story
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let request = arguments.source.bytes().map_err(|unusable| Misuse(unusable.to_string()))?;
    let request = request.unwrap_or_else(|| DEMONSTRATION.to_vec());
    if let Some(Range { start, end }) = arguments.id.as_ref().map(|id| &id.range).filter(|id| id.end > request.len()) {
        let length = request.len();
        return Err(Misuse(format!("the id, bytes {start} to {end}, lies beyond the request of {length} bytes")).into());
    }
    match &arguments.target {
        Some(there) => ask(there.clone(), arguments, request, arguments.policy.unwrap_or_default()),
        None => show(arguments, request),
    }
}

/// Asks a service that repeats what it hears, but for the first datagram.
fn show(arguments: &Arguments, request: Vec<u8>) -> Outcome {
    let mut service = UnconnectedUdp::bind("127.0.0.1:0")?;
    let address = service.local_addr();
    thread::spawn(move || {
        let mut buffer = [0; 65_535];
        let mut deaf = true;
        loop {
            if let Incoming::Datagram(heard) = service.recv(&mut buffer, service.now(), Timestamp::MAX) {
                if !std::mem::take(&mut deaf) {
                    let _ = service.send(heard.from, &buffer[..heard.len]);
                }
            }
        }
    });
    let _ = writeln!(io::stderr(), "{address} repeats what it hears, but for the first datagram");
    ask(Host::at(address), arguments, request, arguments.policy.unwrap_or(RetryPolicy::LAN))
}

fn ask(server: Host, arguments: &Arguments, mut request: Vec<u8>, policy: RetryPolicy) -> Outcome {
    let (mut client, sent) = (Client::new(arguments, server, policy), Sent::default());
    let stamped = arguments.id.as_ref().filter(|_| !arguments.keep_id).map(|id| id.range.clone());
    let mut ids = None;
    let mut output = Output::new();
    let (mut failed, mut reason) = (0_u64, None);
    for number in 0..arguments.repeat {
        let begun = Instant::now();
        sent.clear();
        if let Some(range) = stamped.clone() {
            let id = &mut request[range];
            match (&mut ids, client.seed()) {
                (Some(ids), _) => Ids::stamp(ids, id),
                (None, Ok(seed)) => ids = Some(Ids::new(seed, id)),
                // Then there is no requester either, and the story of it is told below.
                (None, Err(_)) => {}
            }
        }
        match client.requester(begun, &sent) {
            Ok(requester) => {
                let prepared = begun.elapsed();
                let outcome = requester.request(&request);
                failed += u64::from(outcome.is_err());
                match arguments.json {
                    true => report::json(&mut output.buffer, &outcome, prepared, &sent.times())?,
                    false => report::story(&mut output.buffer, &outcome, number > 0)?,
                }
            }
            Err(error) => {
                failed += 1;
                match arguments.json {
                    true => report::unasked_json(&mut output.buffer, &error, begun.elapsed())?,
                    false => report::unasked_story(&mut output.buffer, &error, number > 0)?,
                }
                reason = Some(error);
            }
        }
        output.flush_when_due()?;
    }
    output.buffer.flush()?;
    let count = format!("{failed} of {} requests brought no reply", arguments.repeat);
    match (failed, reason) {
        (0, _) => Ok(()),
        (1, Some(reason)) => Err(reason.to_string().into()),
        (_, Some(reason)) => Err(format!("{count}; the last one that could not be asked: {reason}").into()),
        (_, None) => Err(count.into()),
    }
}

/// One write for many lines. A terminal has every line at once, anything else what there is from time to time, so that
/// nobody waits for a slow server's last reply to read its first.
struct Output {
    buffer: BufWriter<StdoutLock<'static>>,
    pause: Duration,
    flushed: Instant,
}

impl Output {
    fn new() -> Self {
        let pause = if io::stdout().is_terminal() { Duration::ZERO } else { Duration::from_millis(200) };
        let buffer = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        Self { buffer, pause, flushed: Instant::now() }
    }

    fn flush_when_due(&mut self) -> io::Result<()> {
        if self.flushed.elapsed() < self.pause {
            return Ok(());
        }
        self.flushed = Instant::now();
        self.buffer.flush()
    }
}

const DEMONSTRATION: &[u8] = b"id 1: does anybody hear me?";
