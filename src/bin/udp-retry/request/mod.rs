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
//! Errors are `refused`, `timed_out`, `too_large`, `truncated`, `unreachable`, `cancelled`, `unmatchable` and `io`;
//! executions `not_sent`, `refused` and `unknown`. The round trip is null where the reply may belong to more than one
//! transmission. `sent_ms` counts from the first transmission and may lack some beyond the thirtieth. The exit code is
//! 0 if every request was answered, 1 if one was not, and 2 for wrong usage.
//!
//! Without `--id` any reply counts, and each request of `--repeat` leaves from a fresh port. With it a reply must
//! repeat these bytes of the request, and each request after the first gets an unpredictable id of its own there;
//! `--seed` gives the same ids every time. On anything but a terminal the output is buffered.
#![expect(clippy::disallowed_methods, reason = "a thread for the service of the demonstration")]

mod hex;
mod ids;
mod report;

use std::fs;
use std::io::{self, BufWriter, IsTerminal, Read, StdoutLock, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use clap::Args;
use ids::Ids;
use udp_retry::net::{UnconnectedUdp, system_seed};
use udp_retry::time::Timestamp;
use udp_retry::transaction::ReplyMatcher;
use udp_retry::transport::{Incoming, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, any_reply, transaction_id};

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
    /// Gives up after so long at the latest, such as 500ms or 5s
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

/// What to send
#[derive(Args)]
#[group(id = "Source", multiple = false, requires = "target")]
struct Source {
    /// Bytes in hex; spaces, colons and 0x may stand before any of them
    #[arg(long)]
    hex: Option<String>,
    /// Text as it stands
    #[arg(long, allow_hyphen_values = true)]
    text: Option<String>,
    /// What the file holds; "-" is standard input
    #[arg(long)]
    file: Option<PathBuf>,
}

impl Source {
    fn bytes(&self) -> Result<Vec<u8>, String> {
        match (&self.hex, &self.text, &self.file) {
            (Some(hex), ..) => hex::parse(hex).map_err(|error| format!("invalid value for '--hex <HEX>': {error}")),
            (_, Some(text), _) => Ok(text.clone().into_bytes()),
            (.., Some(file)) => read(file).map_err(|error| format!("cannot read {}: {error}", file.display())),
            _ => Ok(DEMONSTRATION.to_vec()),
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let request = arguments.source.bytes().map_err(Misuse)?;
    if let Some(Range { start, end }) = arguments.id.as_ref().map(|id| &id.range).filter(|id| id.end > request.len()) {
        let length = request.len();
        return Err(Misuse(format!("the id, bytes {start} to {end}, lies beyond the request of {length} bytes")).into());
    }
    match &arguments.target {
        Some(there) => {
            let policy = arguments.policy.unwrap_or_default();
            ask(&there.addresses()?, arguments, request, policy)
        }
        None => show(arguments, request),
    }
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match file.to_str() {
        Some("-") => io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes),
        _ => fs::read(file),
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
    ask(&[address], arguments, request, arguments.policy.unwrap_or(RetryPolicy::LAN))
}

fn ask(server: &[SocketAddr], arguments: &Arguments, mut request: Vec<u8>, policy: RetryPolicy) -> Outcome {
    let seed = arguments.seed.map_or_else(system_seed, |seed| Ok(Seed::new(seed)))?;
    let matcher: Box<dyn ReplyMatcher + Send + Sync> = match arguments.id.clone() {
        Some(Id { range, found_at }) => Box::new(transaction_id(range).found_at(found_at)),
        None => Box::new(any_reply()),
    };
    let builder = ReliableRequester::builder(matcher).policy(policy).seed(seed);
    let builder = if let Some(deadline) = arguments.deadline { builder.deadline(deadline) } else { builder };
    let mut requester = builder.connect(server).map_err(|error| format!("cannot ask {}: {error}", server[0]))?;

    let stamped = arguments.id.as_ref().filter(|_| !arguments.keep_id).map(|id| id.range.clone());
    let mut ids = stamped.map(|range| (Ids::new(seed, &request[range.clone()]), range));
    let mut output = Output::new(requester.transport().now());
    let mut failed = 0;
    for number in 0..arguments.repeat {
        if let (Some((ids, range)), 1..) = (&mut ids, number) {
            ids.stamp(&mut request[range.clone()]);
        }
        {
            let outcome = requester.request(&request);
            failed += u64::from(outcome.is_err());
            match arguments.json {
                true => report::json(&mut output.buffer, &outcome)?,
                false => report::story(&mut output.buffer, &outcome, number > 0)?,
            }
        }
        output.flush_when_due(requester.transport().now())?;
    }
    output.buffer.flush()?;
    match failed {
        0 => Ok(()),
        _ => Err(format!("{failed} of {} requests brought no reply", arguments.repeat).into()),
    }
}

/// One write for many lines. A terminal has every line at once, anything else what there is from time to time, so that
/// nobody waits for a slow server's last reply to read its first.
struct Output {
    buffer: BufWriter<StdoutLock<'static>>,
    pause: Duration,
    flushed: Timestamp,
}

impl Output {
    fn new(now: Timestamp) -> Self {
        let pause = if io::stdout().is_terminal() { Duration::ZERO } else { Duration::from_millis(200) };
        Self { buffer: BufWriter::with_capacity(1 << 16, io::stdout().lock()), pause, flushed: now }
    }

    fn flush_when_due(&mut self, now: Timestamp) -> io::Result<()> {
        if now.since(self.flushed) < self.pause {
            return Ok(());
        }
        self.flushed = now;
        self.buffer.flush()
    }
}

const DEMONSTRATION: &[u8] = b"id 1: does anybody hear me?";
