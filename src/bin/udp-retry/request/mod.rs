//! A "curl for UDP": sends a request of any bytes until its reply is there, and prints what happened and the reply.
//!
//! ```text
//! udp-retry request HOST:PORT[,HOST:PORT...]... (--hex HEX | --text TEXT | --file FILE | --hex-lines FILE)
//!         [--id OFFSET:LEN[:REPLY_OFFSET]] [--policy POLICY] [--spread ORDER] [--deadline 5s]
//!         [--repeat N [--every 1s] [--keep-id | --stamp]] [--in-flight W] [--qps Q] [--expect echo]
//!         [--envelope] [--seed N] [--summary] [--json]
//! udp-retry request 9.9.9.9:53 --id 0:2 --policy dns \
//!         --hex "1d0c 0100 0001 0000 0000 0000 076578616d706c65 03636f6d 00 0001 0001"
//! ```
//!
//! Prints the timeline, the reply as text and as a hex dump, and as the last line of standard output the reply in plain
//! hex: for an empty reply an empty line. With `--json`, one line for each request and nothing else on standard output:
//!
//! ```text
//! {"reply_hex":"706f6e67","transmissions":2,"elapsed_ms":100.4,"round_trip_ms":null,"sent_ms":[0.0,100.1],
//!  "strays":{"stale":0,"empty":0,"truncated":0,"envelope":0,"foreign":0}}
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
//! `no_fresh_port`, `ids_resting`, `server_restarted` and `io`; executions `not_sent`, `refused` and `unknown`. A request that could not even
//! be asked has its line too: of names of which one has no address, or a socket that the system refuses (`io`). `elapsed_ms` and
//! the deadline include finding the address of a name, which the first request waits for. The round trip is null where the
//! reply may belong to more than one transmission. `sent_ms` counts from the first transmission, and has all of them. The
//! exit code is 0 if every request was answered, 1 if one was not, and 2 for wrong usage; a request that fits into no
//! datagram is wrong usage.
//!
//! Several targets, between spaces, are asked one after the other: each is a service of its own. Each line and each story names
//! its target then. With `--expect echo` the reply has to be the request, byte for byte as it was sent; a line says whether it was
//! (`"wrong":false`), and the exit code is 1 if one was not.
//!
//! With `--envelope` a header of 16 bytes goes before each request and is expected before each reply, as `udp-retry serve
//! --envelope` and every server with the envelope of this crate have it. Every reply has a round trip then, also after
//! retransmissions, and a request that the server may have executed before a restart ends as `server_restarted`. Ids and replies
//! count and are printed without the header; `envelope` among the strays are replies in which it is missing or wrong.
//!
//! # Load
//!
//! `--in-flight` and `--qps` generate load: many requests at a time from one thread, by a `ConcurrentRequester`, which tells their
//! replies apart by the id. Its memory grows with `--in-flight`, and not with `--repeat`. Each request gets an id, the first one
//! too. Their lines come as they end, and have what is known of one among many:
//!
//! ```text
//! {"request":17,"reply_hex":"706f6e67","round_trip_ms":0.041,"transmissions":1,"elapsed_ms":0.041}
//! {"request":18,"error":"timed_out","execution":"unknown","transmissions":5,"elapsed_ms":31000.1}
//! ```
//!
//! With `--summary` there is one line at the end instead, or a few with a histogram for people, and on a terminal meanwhile once a
//! second how far it is. It goes with one request at a time, too.
//!
//! ```text
//! {"sent":50000,"answered":49998,"failed":{"timed_out":2},"wrong":0,"retransmissions":41,
//!  "strays":{"stale":3,"empty":0,"truncated":0,"envelope":0,"foreign":0},"rate":61234.5,
//!  "p50_ms":0.051,"p99_ms":0.089,"p999_ms":0.312,"elapsed_s":0.816507}
//! ```
//!
//! Of those that were sent each was answered, or wrong, or has failed by its kind. `rate` is replies that were expected, a second;
//! percentiles are of the latency of all replies, to 0.4 %, and null without any.
//!
//! Without `--qps` the loop is closed: a request begins when another has ended, so a server that stalls is asked less meanwhile, and
//! the latencies, from the first transmission to the reply, show the stall once for each request in flight. With it the loop is open:
//! each request is due at a time, whatever became of those before, and **its latency counts from then**, also where it had to
//! wait for space in flight ("coordinated omission" is what leaves that out). None is skipped; `behind_ms`, one more member, is
//! how long after it was due one was begun at the latest.
//!
//! Ctrl-C ends it, with the summary of what was: what is in flight then has failed as `cancelled`, and the exit code is 1. The names
//! of all targets are looked up at the beginning; if that fails, nothing is sent, and there is no line.
//!
//! # Ids
//!
//! Without `--id` any reply counts, and each request of `--repeat` leaves from a fresh port. With it a reply must
//! repeat these bytes of the request, and each request after the first gets an unpredictable id of its own there, with
//! `--stamp` the first one too; `--seed` gives the same ids every time. On anything but a terminal the output is buffered.
#![expect(
    clippy::disallowed_methods,
    reason = "a thread for the demonstration's service; deadlines that begin before a transport"
)]

mod client;
mod ended;
mod hex;
mod ids;
mod latencies;
mod lines;
mod load;
mod one_by_one;
mod output;
mod record;
mod report;
mod resolver;
mod source;
mod summary;
mod targets;

use std::io::{self, Write};
use std::ops::Range;
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use client::Preference;
use lines::Requests;
use source::Source;
use udp_retry::RetryPolicy;
use udp_retry::envelope::HEADER_LEN;
use udp_retry::net::UnconnectedUdp;
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, Transport};

use crate::seeds::seed;
use crate::terminal::{Misuse, Outcome};
use crate::values::{Hosts, Id, LARGEST_PAYLOAD, at_least_one, duration, hosts, id, policy, rate};

/// Sends a request until its reply is there; without HOST:PORT, to a service of its own
#[derive(Args)]
pub(crate) struct Arguments {
    /// Whom to ask: a name or an address and a port, several servers of one service between commas; IPv6 as [::1]:53. Several
    /// targets are asked one after the other
    #[arg(value_name = "HOST:PORT", value_parser = hosts, requires = "Source")]
    target: Vec<Hosts>,
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
    /// Asks so often, without pause but for --every [default: 1, with --hex-lines as often as there are lines]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    repeat: Option<u64>,
    /// Begins each request this long after the one before, or when that has ended, if it took longer [default: at once]
    #[arg(long, value_name = "D", value_parser = duration, allow_hyphen_values = true, conflicts_with_all = ["in_flight", "qps"])]
    every: Option<Duration>,
    /// Has so many requests in flight at a time, which takes --id [default: 1, with --qps 64]
    #[arg(long, value_name = "W", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    in_flight: Option<u32>,
    /// Begins so many a second, however long they take, unless --in-flight are under way. Latencies count from the time at which
    /// a request was due: so a stall of the server, or of this program, counts for all that were due meanwhile ("coordinated
    /// omission" would be to leave them out)
    #[arg(long, value_name = "Q", value_parser = rate)]
    qps: Option<f64>,
    /// What a reply has to be; any other counts as wrong, and ends with 1
    #[arg(long, value_name = "WHAT", value_enum)]
    expect: Option<Expectation>,
    /// Puts the header of the envelope before each request, and expects one before each reply: for servers that do the same, such
    /// as "udp-retry serve --envelope"
    #[arg(long, requires = "target")]
    envelope: bool,
    /// Repeats the id too: then a late reply to one request counts for the next one
    #[arg(long, requires = "id")]
    keep_id: bool,
    /// Replaces the id of the first request, too
    #[arg(long, requires = "id", conflicts_with = "keep_id")]
    stamp: bool,
    /// Makes the jitter and the ids repeatable [default: any]
    #[arg(long, value_name = "N", value_parser = seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Print what came of all of them, and nothing of each: counts, the rate, percentiles to 0.4 % and a histogram
    #[arg(long)]
    summary: bool,
    /// Print one line of JSON for each request, or for the summary, and no story
    #[arg(long)]
    json: bool,
}

/// What a reply has to be
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Expectation {
    /// The request as it was sent
    Echo,
}

impl Arguments {
    fn count(&self, requests: &Requests) -> u64 {
        self.repeat.unwrap_or(requests.count())
    }

    /// The most in flight.
    fn width(&self) -> u32 {
        self.in_flight.unwrap_or(if self.qps.is_some() { 64 } else { 1 })
    }

    fn is_load(&self) -> bool {
        self.width() > 1 || self.qps.is_some()
    }

    fn is_wrong(&self, request: &[u8], reply: &[u8]) -> bool {
        self.expect.is_some_and(|Expectation::Echo| request != reply)
    }

    /// That each request fits into a datagram, with the header of its envelope.
    fn check_sizes(&self, requests: &Requests) -> Result<(), Misuse> {
        let most = LARGEST_PAYLOAD - HEADER_LEN;
        let lengths = (0..requests.count()).map(|number| requests.get(number).len());
        match lengths.max().filter(|&len| self.envelope && len > most) {
            Some(len) => {
                Err(Misuse(format!("no datagram holds a request of {len} bytes in an envelope: {most} are the most")))
            }
            None => Ok(()),
        }
    }

    /// The bytes of the id, as far as they can be one's.
    fn check_id(&self, requests: &Requests) -> Result<(), Misuse> {
        let length = requests.get(0).len();
        let wrong = match self.id.as_ref().map(|id| &id.range) {
            Some(Range { start, end }) if *end > length => {
                format!("the id, bytes {start} to {end}, lies beyond the request of {length} bytes")
            }
            Some(range) if self.is_load() && range.len() > 16 => {
                format!("an id of {} bytes cannot tell requests in flight apart: 16 are the most", range.len())
            }
            None if self.is_load() => "requests in flight need '--id': it tells their replies apart".to_owned(),
            _ => return Ok(()),
        };
        Err(Misuse(wrong))
    }
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let id_end = arguments.id.as_ref().map_or(0, |id| id.range.end);
    let requests = arguments.source.requests(id_end).map_err(|unusable| Misuse(unusable.to_string()))?;
    let requests = requests.unwrap_or_else(|| Requests::single(DEMONSTRATION.to_vec()));
    arguments.check_id(&requests)?;
    arguments.check_sizes(&requests)?;
    match &arguments.target[..] {
        [] => show(arguments, &requests),
        targets => ask(arguments, targets, &requests, arguments.policy.unwrap_or_default()),
    }
}

/// Asks a service that repeats what it hears, but for the first datagram.
fn show(arguments: &Arguments, requests: &Requests) -> Outcome {
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
    ask(arguments, &[Hosts::at(address)], requests, arguments.policy.unwrap_or(RetryPolicy::LAN))
}

fn ask(arguments: &Arguments, targets: &[Hosts], requests: &Requests, policy: RetryPolicy) -> Outcome {
    match arguments.is_load() {
        true => load::ask(arguments, targets, requests, policy),
        false => one_by_one::ask(arguments, targets, requests, policy),
    }
}

const DEMONSTRATION: &[u8] = b"id 1: does anybody hear me?";
