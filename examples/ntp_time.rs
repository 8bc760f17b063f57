//! Asks a time server how far this host's clock is off: SNTP (RFC 4330, RFC 5905). A reply counts if it repeats the
//! request's transmit timestamp, which is random.
//!
//! ```text
//! ntp_time                         asks a responder in this process
//! ntp_time SERVER [--deadline 2s]  SERVER is HOST, HOST:PORT or [IPV6]:PORT; port 123
//! ```
//!
//! Several servers stand between commas: the next one is asked where the one before does not answer. None is sent more than
//! one request in 2 s.
//!
//! With `--json`, one line:
//!
//! ```text
//! {"server":"127.0.0.1:123","time":"2026-03-01T17:05:09.123456Z","offset_ms":-0.012,"delay_ms":0.153,"stratum":2,
//!  "transmissions":1,"elapsed_ms":0.2}
//! {"server":"127.0.0.1:123","error":"kiss_of_death","code":"RATE","transmissions":1,"elapsed_ms":0.2}
//! {"server":"127.0.0.1:123","error":"impossible","code":"negative_delay","transmissions":1,"elapsed_ms":0.2}
//! {"error":"timed_out","execution":"unknown","transmissions":5,"sent_ms":[0.0,2000.1,...],"elapsed_ms":30000.1}
//! ```
//!
//! A failure (1) is a server that asks to be left alone, does not know the time itself (`unsynchronized`), or states times
//! that cannot be (`negative_delay`, `received_after_transmitted`).
#![expect(clippy::disallowed_methods, reason = "the time of day is what this is about")]

mod asking;
mod ntp_message;
mod support {
    pub(crate) mod json;
    pub(crate) mod outcome;
}

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use asking::{Manner, Record, Servers, responder};
use clap::Parser;
pub(crate) use ntp_message::{Answer, Clock, Measured, Verdict, answers, decode, ntp_now, utc};
use support::json::{self, ms};
use support::outcome::{Outcome, say};
use udp_retry::net::system_seed;
use udp_retry::servers::{ServerSettings, Spread};
use udp_retry::transaction::matching;
use udp_retry::{ReliableRequester, RetryPolicy};

/// Asks a time server how far this host's clock is off; without a server, a responder in this process
#[derive(Parser)]
struct Arguments {
    /// Whom to ask: HOST, HOST:PORT or [IPV6]:PORT, several between commas
    #[arg(value_name = "SERVER")]
    servers: Option<Servers>,
    #[command(flatten)]
    manner: Manner,
}

fn main() -> ExitCode {
    let Arguments { servers, manner } = Arguments::parse();
    manner.exit_code(match servers {
        Some(servers) => manner.addresses(&servers, 123).and_then(|servers| show(&servers, &manner)),
        None => responder(respond).map_err(Into::into).and_then(|here| {
            manner.tell(format_args!("Without a server I ask a responder of my own, at {here}."))?;
            show(&[here], &manner)
        }),
    })
}

fn connect(servers: &[SocketAddr], manner: &Manner) -> Outcome<(ReliableRequester, Record)> {
    // In their order: one request has nothing to spread. A dead one is not probed sooner than any is asked again.
    let settings = ServerSettings::new().with_spread(Spread::InOrder)?.with_probes(BTIME, 16 * BTIME, BTIME)?;
    let policy = RetryPolicy::default().starting_at(BTIME);
    Ok(manner.connect(ReliableRequester::builder(matching(answers)).policy(policy).servers(settings), servers)?)
}

fn ask(servers: &[SocketAddr], manner: &Manner) -> Outcome<Asked> {
    let (mut requester, record) = connect(servers, manner)?;
    // Each transmission has a timestamp of its own, so that the reply tells which of them it measures. It is random:
    // a forger would have to guess it, and it gives nothing away. When it was sent is remembered here instead.
    let (seed, mut sent) = (system_seed()?, Vec::new());
    let reply = requester.request_with(|purpose, request| {
        let origin = seed.draw(purpose.transmission.into()).max(1).to_be_bytes();
        request.push(4 << 3 | 3); // version 4, from a client
        request.resize(40, 0);
        request.extend(origin);
        sent.push((origin, Instant::now()));
    });
    let reply = reply.map_err(|error| record.of(error))?;
    let (back, clock) = (Instant::now(), Clock::read());
    let answer = decode(reply.payload()).ok_or("the matcher lets only answers pass")?;
    let there = sent.iter().find(|(origin, _)| *origin == answer.origin).ok_or("so it does here")?.1;
    let (server, transmissions, elapsed) = (record.server(reply.path())?, reply.transmissions(), reply.elapsed());
    Ok(Asked { server, answer, there, back, clock, transmissions, elapsed })
}

/// An answer, and what it took.
struct Asked {
    server: SocketAddr,
    answer: Answer,
    /// When the transmission left that was answered, and when the answer came.
    there: Instant,
    back: Instant,
    clock: Clock,
    transmissions: u32,
    elapsed: Duration,
}

fn show(servers: &[SocketAddr], manner: &Manner) -> Outcome {
    let Asked { server, answer, there, back, clock, transmissions, elapsed } = ask(servers, manner)?;
    let cost = format!("\"transmissions\":{transmissions},\"elapsed_ms\":{:?}", ms(elapsed));
    let (kind, code, text) = match (&answer.verdict, clock.measure(there, back, &answer)) {
        (Verdict::Kiss(code), _) => {
            // Only letters: a terminal would obey others.
            let code = code.split(|&byte| byte == 0).next().unwrap_or_default().escape_ascii().to_string();
            ("kiss_of_death", code.clone(), format!("{server} wants to be left alone: {code}"))
        }
        (Verdict::Unsynchronized, _) => {
            ("unsynchronized", String::new(), format!("the clock of {server} is not synchronized"))
        }
        (Verdict::Usable, Err(why)) => {
            let text = format!("{server} states times that cannot be: {}", why.replace('_', " "));
            ("impossible", why.to_owned(), text)
        }
        (Verdict::Usable, Ok(measured)) => {
            let (stratum, time, Measured { offset, delay }) =
                (answer.stratum, utc(clock.corrected(measured)), measured);
            let [offset, delay] = [offset, delay].map(|fixed| fixed as f64 / 2_f64.powi(32) * 1e3);
            manner.tell(format_args!("{server} (stratum {stratum}) says that it is {time}"))?;
            let sent = format!("(transmissions: {transmissions})");
            manner.tell(format_args!("offset {offset:+.3} ms, delay {delay:.3} ms {sent}"))?;
            if manner.json {
                let facts = format!("\"time\":\"{time}\",\"offset_ms\":{offset:.6},\"delay_ms\":{delay:.6}");
                say(format_args!("{{\"server\":\"{server}\",{facts},\"stratum\":{stratum},{cost}}}"))?;
            }
            return Ok(());
        }
    };
    if manner.json {
        let code = json::string(code.as_bytes());
        say(format_args!("{{\"server\":\"{server}\",\"error\":\"{kind}\",\"code\":{code},{cost}}}"))?;
    }
    Err(text.into())
}

/// Tells the time of this host: of stratum 1, to a microsecond, by a local clock.
fn respond(request: &[u8], _: SocketAddr) -> Option<Vec<u8>> {
    let (version, origin, now) = (request.first()? >> 3 & 7, request.get(40..48)?, ntp_now().to_be_bytes());
    let head = [&[version << 3 | 4, 1, 6, 0xec][..], &[0; 8], b"LOCL"].concat();
    Some([&head[..], &now, origin, &now, &ntp_now().to_be_bytes()].concat())
}

/// Servers take requests that are less apart for abuse (RFC 5905).
const BTIME: Duration = Duration::from_secs(2);
