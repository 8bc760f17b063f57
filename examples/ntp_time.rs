//! Asks a time server how far this host's clock is off: SNTP (RFC 4330, RFC 5905). A reply counts if it repeats the
//! request's transmit timestamp, which is random.
//!
//! ```text
//! ntp_time                         asks a responder in this process
//! ntp_time SERVER [--deadline 2s]  SERVER is HOST, HOST:PORT or [IPV6]:PORT; port 123
//! ```
//!
//! With `--json`, one line:
//!
//! ```text
//! {"server":"127.0.0.1:123","time":"2026-03-01T17:05:09.123456Z","offset_ms":-0.012,"delay_ms":0.153,"stratum":2,
//!  "transmissions":1,"elapsed_ms":0.2}
//! {"server":"127.0.0.1:123","error":"kiss_of_death","code":"RATE","transmissions":1,"elapsed_ms":0.2}
//! {"error":"timed_out","execution":"unknown","transmissions":5,"sent_ms":[0.0,2000.1,...],"elapsed_ms":30000.1}
//! ```
//!
//! A server that asks to be left alone, or does not know the time itself (`unsynchronized`), is a failure (1).
#![expect(clippy::disallowed_methods, reason = "the time of day is what this is about")]

mod asking;
mod support {
    pub(crate) mod json;
    pub(crate) mod outcome;
}

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use asking::{Manner, Server, responder};
use clap::Parser;
use support::json::{self, ms};
use support::outcome::{Outcome, say};
use udp_retry::net::system_seed;
use udp_retry::transaction::{Match, OnUnreachable, ReplyMatcher};
use udp_retry::{ReliableRequester, RetryPolicy, transaction_id};

/// Asks a time server how far this host's clock is off; without a server, a responder in this process
#[derive(Parser)]
struct Arguments {
    /// Whom to ask: HOST, HOST:PORT or [IPV6]:PORT
    server: Option<Server>,
    #[command(flatten)]
    manner: Manner,
}

fn main() -> ExitCode {
    let Arguments { server, manner } = Arguments::parse();
    manner.exit_code(match server {
        Some(server) => server.addresses(123).map_err(Into::into).and_then(|servers| show(&servers, &manner)),
        None => responder(respond).map_err(Into::into).and_then(|here| {
            manner.tell(format_args!("Without a server I ask a responder of my own, at {here}."))?;
            show(&[here], &manner)
        }),
    })
}

fn ask(server: SocketAddr, deadline: Duration, on_unreachable: OnUnreachable) -> Outcome<Asked> {
    // Servers take requests less than 2 s apart for abuse (RFC 5905, BTIME).
    let policy = RetryPolicy::default().starting_at(Duration::from_secs(2));
    let builder = ReliableRequester::builder(answers).policy(policy).deadline(deadline).on_unreachable(on_unreachable);
    let mut requester = builder.connect(server)?;

    // Each transmission has a timestamp of its own, so that the reply tells which of them it measures. It is random:
    // a forger would have to guess it, and it gives nothing away. When it was sent is remembered here instead.
    let (seed, mut sent) = (system_seed()?, Vec::new());
    let reply = requester.request_with(|transmission, request| {
        let origin = seed.draw(transmission.into()).max(1).to_be_bytes();
        request.push(4 << 3 | 3); // version 4, from a client
        request.resize(40, 0);
        request.extend(origin);
        sent.push((origin, ntp_now()));
    })?;
    let back = ntp_now();
    let answer = decode(reply.payload()).ok_or("the matcher lets only answers pass")?;
    let there = sent.iter().find(|(origin, _)| *origin == answer.origin).ok_or("so it does here")?.1;

    // Differences wrap, so that it does not matter in which era of 136 years either clock is.
    let minus = |a: u64, b: u64| i128::from(a.wrapping_sub(b) as i64);
    let Answer { received, transmitted, .. } = answer;
    let offset = ((minus(received, there) + minus(transmitted, back)) / 2) as i64;
    let delay = (minus(back, there) - minus(transmitted, received)) as i64;
    let (time, transmissions, elapsed) = (back.wrapping_add_signed(offset), reply.transmissions(), reply.elapsed());
    Ok(Asked { server, answer, time, offset, delay, transmissions, elapsed })
}

/// An answer repeats the request's transmit timestamp. One that cannot be read is none: a good one may follow.
pub(crate) fn answers(request: &[u8], datagram: &[u8]) -> bool {
    let origin = transaction_id(40..48).found_at(24);
    origin.judge(request, datagram) == Match::Reply && decode(datagram).is_some()
}

/// What a server says.
#[derive(PartialEq, Debug)]
pub(crate) struct Answer {
    verdict: Verdict,
    stratum: u8,
    origin: [u8; 8],
    received: u64,
    transmitted: u64,
}

#[derive(PartialEq, Debug)]
enum Verdict {
    Usable,
    /// Stratum 0: the server wants to be left alone, and says why in four letters.
    Kiss([u8; 4]),
    Unsynchronized,
}

pub(crate) fn decode(datagram: &[u8]) -> Option<Answer> {
    let &[first, stratum, ..] = datagram else { return None };
    let (leap, version, mode) = (first >> 6, first >> 3 & 7, first & 7);
    let eight = |at: usize| <[u8; 8]>::try_from(datagram.get(at..at + 8)?).ok();
    let (received, transmitted) = (u64::from_be_bytes(eight(32)?), u64::from_be_bytes(eight(40)?));
    let verdict = match stratum {
        0 => Verdict::Kiss(datagram.get(12..16)?.try_into().ok()?),
        1..=15 if leap != 3 && transmitted != 0 => Verdict::Usable,
        _ => Verdict::Unsynchronized,
    };
    let from_a_server = mode == 4 && (1..=4).contains(&version);
    from_a_server.then_some(Answer { verdict, stratum, origin: eight(24)?, received, transmitted })
}

/// An answer, and what it took.
struct Asked {
    server: SocketAddr,
    answer: Answer,
    time: u64,
    /// How far this host's clock is behind, and how long the path took, both ways together.
    offset: i64,
    delay: i64,
    transmissions: u32,
    elapsed: Duration,
}

fn show(servers: &[SocketAddr], manner: &Manner) -> Outcome {
    let Asked { server, answer, time, offset, delay, transmissions, elapsed } = manner.first_reply(servers, ask)?;
    let Answer { verdict, stratum, .. } = answer;
    let cost = format!("\"transmissions\":{transmissions},\"elapsed_ms\":{:?}", ms(elapsed));
    let (kind, text, code) = match verdict {
        Verdict::Kiss(code) => {
            // Only letters: a terminal would obey others.
            let code = code.split(|&byte| byte == 0).next().unwrap_or_default().escape_ascii().to_string();
            ("kiss_of_death", format!("{server} wants to be left alone: {code}"), code)
        }
        Verdict::Unsynchronized => {
            ("unsynchronized", format!("the clock of {server} is not synchronized"), String::new())
        }
        Verdict::Usable => {
            let (time, [offset, delay]) = (utc(time), [offset, delay].map(|fixed| fixed as f64 / 2_f64.powi(32) * 1e3));
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

/// Seconds since 1900 in the upper 32 bits, their fraction in the lower.
fn ntp_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    since.as_secs().wrapping_add(FROM_1900_TO_1970) << 32 | fraction
}

/// As `2026-03-01T17:05:09.123456Z`, from 1970 to 2106.
pub(crate) fn utc(time: u64) -> String {
    let second = (time >> 32).wrapping_sub(FROM_1900_TO_1970) & 0xffff_ffff;
    let micros = ((time & 0xffff_ffff) * 1_000_000) >> 32;
    // Days of a year that begins in March, so that the leap day is its last.
    let (day, second) = (second / 86_400 + 719_468, second % 86_400);
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (era * 400 + year + month / 10, (month + 2) % 12 + 1);
    format!("{year}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{micros:06}Z", second / 3600, second / 60 % 60, second % 60)
}

const FROM_1900_TO_1970: u64 = 2_208_988_800;
