//! A "curl for UDP": sends a request of any bytes until its reply is there, and prints what happened and the reply.
//!
//! ```text
//! udp-retry request HOST:PORT[,HOST:PORT...] (--hex HEX | --text TEXT | --file FILE) [--id OFFSET:LEN[:REPLY_OFFSET]]
//!         [--policy POLICY] [--spread ORDER] [--deadline 5s] [--repeat N [--every 1s] [--keep-id]] [--seed N] [--json]
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
//! Several servers between commas, and all addresses of a name, are servers of one service: where the one that is asked does
//! not answer, another is. `--spread` is which one is asked. The timeline numbers them as paths, and below it stands what each
//! has shown. The lines of `--json` have two members more then: who answered, if any did, and for each server, in the order of
//! the paths, what this request was to it. Its `error` is what the system reported last: `refused`, `unreachable`,
//! `too_large`, `denied`, `no_buffers`, `unsupported`, `cancelled`, `io`, or null.
//!
//! ```text
//! {"reply_hex":"706f6e67",...,"server":"127.0.0.1:1061","paths":[
//!  {"address":"127.0.0.1:1060","transmissions":1,"error":"refused","answered":false},
//!  {"address":"127.0.0.1:1061","transmissions":1,"error":null,"answered":true}]}
//! ```
//!
//! Errors are `refused`, `timed_out`, `too_large`, `truncated`, `unreachable`, `cancelled`, `unmatchable`,
//! `no_fresh_port`, `ids_resting` and `io`; executions `not_sent`, `refused` and `unknown`. A request that could not even
//! be asked has its line too: of names of which one has no address, or a socket that the system refuses (`io`). `elapsed_ms` and
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
mod record;
mod report;
mod resolver;
mod source;

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use client::{Client, Preference, Ready};
use ids::Ids;
use record::Record;
use report::Report;
use source::Source;
use udp_retry::RetryPolicy;
use udp_retry::net::UnconnectedUdp;
use udp_retry::time::Timestamp;
use udp_retry::transaction::Request;
use udp_retry::transport::{Incoming, Transport};

use crate::terminal::{Misuse, Outcome};
use crate::values::{Hosts, Id, at_least_one, duration, hosts, id, policy};

/// Sends a request until its reply is there; without HOST:PORT, to a service of its own
#[derive(Args)]
pub(crate) struct Arguments {
    /// Whom to ask: a name or an address and a port, several between commas; IPv6 as [::1]:53
    #[arg(value_name = "HOST:PORT", value_parser = hosts, requires = "Source")]
    target: Option<Hosts>,
    #[command(flatten)]
    source: Source,
    /// Where the request holds an id, and where the reply repeats it if elsewhere [default: any reply counts]
    #[arg(long, value_name = "OFFSET:LEN[:REPLY_OFFSET]", value_parser = id)]
    id: Option<Id>,
    /// When to send again, and when to give up: a published schedule by name, or a text such as "500ms x2 max 8s 4
    /// transmissions" [default: "default"]
    #[arg(long, value_name = "POLICY", value_parser = policy)]
    policy: Option<RetryPolicy>,
    /// Which of several servers a request goes to first
    #[arg(long, value_name = "ORDER", value_enum, default_value = "band")]
    spread: Preference,
    /// Gives up after so long at the latest, such as 500ms or 5s; finding the address of a name counts
    #[arg(long, value_name = "D", value_parser = duration, allow_hyphen_values = true)]
    deadline: Option<Duration>,
    /// Asks so often, without pause but for --every
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    repeat: u64,
    /// Begins each request this long after the one before, or when that has ended, if it took longer [default: at once]
    #[arg(long, value_name = "D", value_parser = duration, allow_hyphen_values = true)]
    every: Option<Duration>,
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
    ask(Hosts::at(address), arguments, request, arguments.policy.unwrap_or(RetryPolicy::LAN))
}

fn ask(servers: Hosts, arguments: &Arguments, mut request: Vec<u8>, policy: RetryPolicy) -> Outcome {
    let (mut client, record) = (Client::new(arguments, servers, policy), Record::default());
    let stamped = arguments.id.as_ref().filter(|_| !arguments.keep_id).map(|id| id.range.clone());
    let mut ids = None;
    let mut output = Output::new();
    let (mut failed, mut reason) = (0_u64, None);
    for number in 0..arguments.repeat {
        let begun = Instant::now();
        if let Some(range) = stamped.clone() {
            let id = &mut request[range];
            match (&mut ids, client.seed()) {
                (Some(ids), _) => Ids::stamp(ids, id),
                (None, Ok(seed)) => ids = Some(Ids::new(seed, id)),
                // Then there is no requester either, and the story of it is told below.
                (None, Err(_)) => {}
            }
        }
        match client.ready(begun, &record) {
            Ok(Ready { requester, addresses, left }) => {
                let before = begun.elapsed();
                let request = Request::new(&request);
                let outcome = requester.request(if let Some(left) = left { request.deadline(left) } else { request });
                failed += u64::from(outcome.is_err());
                let report = Report { outcome, before, seen: record.take(), addresses };
                match arguments.json {
                    true => report.json(&mut output.buffer)?,
                    false => report.story(&mut output.buffer, number > 0)?,
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
        let pause = arguments.every.filter(|_| number + 1 < arguments.repeat).unwrap_or_default();
        output.pause_until(begun.checked_add(pause))?;
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

    /// `None` is never.
    fn pause_until(&mut self, due: Option<Instant>) -> io::Result<()> {
        let now = Instant::now();
        let wait = due.map_or(Duration::MAX, |due| due.saturating_duration_since(now));
        if now.duration_since(self.flushed).saturating_add(wait) >= self.pause {
            self.flushed = now;
            self.buffer.flush()?;
        }
        thread::sleep(wait);
        Ok(())
    }
}

const DEMONSTRATION: &[u8] = b"id 1: does anybody hear me?";
