//! Asks a DNS server for the addresses of a name: a reply counts if it has the query's id *and* its question
//! (RFC 1035, RFC 5452).
//!
//! ```text
//! dns_lookup                                          asks a responder in this process
//! dns_lookup NAME [--server ADDRESS] [--deadline 2s]  ADDRESS is HOST, HOST:PORT or [IPV6]:PORT; port 53
//! ```
//!
//! With `--json`, one line: what came for A and for AAAA, or how it failed.
//!
//! ```text
//! {"name":"host.example.test.","server":"127.0.0.1:53","answers":[{"type":"A","rcode":"NOERROR","truncated":false,
//!  "addresses":["192.0.2.7"],"transmissions":1,"elapsed_ms":0.3},{"type":"AAAA",...}]}
//! {"error":"timed_out","execution":"unknown","transmissions":3,"sent_ms":[0.0,2000.1,6000.1],"elapsed_ms":14000.1}
//! ```
//!
//! An answer without an address is an answer (0); an error code is a failure (1).

#[path = "support/asking.rs"]
mod asking;
#[path = "support/json.rs"]
mod json;
#[expect(dead_code, reason = "each example starts its own")]
#[path = "support/responders.rs"]
mod responders;
#[expect(dead_code, reason = "hosts and ports are of other examples")]
mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;
use std::{fs, io};

use asking::{Limits, Manner, Server, first_to_reply, ms};
use clap::Parser;
use support::{Outcome, say};
use udp_retry::policy::Preset;
use udp_retry::{ReliableRequester, transaction_id};

/// Asks a DNS server for the addresses of a name; without a name, a responder in this process
#[derive(Parser)]
struct Arguments {
    /// Such as www.example.org
    #[arg(value_parser = encode)]
    name: Option<Encoded>,
    /// Whom to ask: HOST, HOST:PORT or [IPV6]:PORT [default: the first server in /etc/resolv.conf]
    #[arg(long, value_name = "ADDRESS", requires = "name")]
    server: Option<Server>,
    #[command(flatten)]
    manner: Manner,
}

fn main() -> ExitCode {
    let Arguments { name, server, manner } = Arguments::parse();
    manner.exit_code(match name {
        Some(Encoded(name)) => server.map_or_else(system_server, Ok).and_then(|server| {
            let servers = server.addresses(53)?;
            look_up(&name, &servers, &manner)
        }),
        None => responders::dns().map_err(Into::into).and_then(|here| {
            manner.tell(format_args!("Without a name I ask for one that a responder of my own knows, at {here}."))?;
            look_up(b"\x03www\x07example\x04test\0", &[here], &manner)
        }),
    })
}

/// One server answers both questions.
fn look_up(name: &[u8], servers: &[SocketAddr], manner: &Manner) -> Outcome {
    first_to_reply(servers, manner, |server, limits| {
        Ok((server, [ask(name, A, server, limits)?, ask(name, AAAA, server, limits)?]))
    })
    .and_then(|(server, answers)| tell(name, server, &answers, manner))
}

/// A requester for each question: every query leaves from a port of its own, which a forger has to guess, too.
fn ask(name: &[u8], kind: u16, server: SocketAddr, limits: Limits) -> Outcome<Asked> {
    let policy = Preset::named("dns").ok_or("the preset is gone")?.policy;
    let mut requester = ReliableRequester::builder(transaction_id(0..2).stamped().confirmed_by(answers))
        .policy(policy)
        .deadline(limits.deadline)
        .on_unreachable(limits.on_unreachable)
        .connect(server)?;

    // A standard query, recursion desired, with one question, of class IN. The requester writes the id over the dots.
    let header = b"..\x01\0\0\x01\0\0\0\0\0\0";
    let reply = requester.request(&[header, name, &kind.to_be_bytes(), &[0, 1]].concat())?;

    let answer = decode(reply.payload()).ok_or("the matcher lets only answers pass")?;
    Ok(Asked { kind, answer, transmissions: reply.transmissions(), elapsed: reply.elapsed() })
}

/// An answer has the query's id and question. One that cannot be read is none: a good one may follow.
pub(crate) fn answers(query: &[u8], datagram: &[u8]) -> bool {
    let echoes = || {
        let (_, end) = name_at(query, 12)?;
        let (asked, echoed) = (query.get(12..end + 4)?, datagram.get(12..end + 4)?);
        // Servers may answer in another case. The lengths, the type and the class are no letters.
        Some(query.get(..2)? == datagram.get(..2)? && asked.eq_ignore_ascii_case(echoed))
    };
    echoes() == Some(true) && decode(datagram).is_some()
}

/// What a server says.
#[derive(PartialEq, Debug)]
pub(crate) struct Answer {
    rcode: u8,
    truncated: bool,
    records: Vec<Record>,
}

#[derive(PartialEq, Debug)]
struct Record {
    owner: String,
    ttl: u32,
    data: Data,
}

#[derive(PartialEq, Debug)]
enum Data {
    Address(IpAddr),
    Alias(String),
    Other(u16),
}

pub(crate) fn decode(datagram: &[u8]) -> Option<Answer> {
    let [high, low] = *datagram.get(2..4)? else { return None };
    // A response to a standard query, with one question.
    if high & 0xf8 != 0x80 || number(datagram, 4)? != 1 {
        return None;
    }
    let truncated = high & 2 != 0;
    let mut records = Vec::new();
    let mut at = name_at(datagram, 12)?.1 + 4;
    for _ in 0..number(datagram, 6)? {
        match record_at(datagram, at) {
            Some((record, end)) => {
                records.push(record);
                at = end;
            }
            // Some servers cut anywhere.
            None if truncated => break,
            None => return None,
        }
    }
    Some(Answer { rcode: low & 15, truncated, records })
}

/// The record there, and where it ends.
fn record_at(datagram: &[u8], at: usize) -> Option<(Record, usize)> {
    let (owner, at) = name_at(datagram, at)?;
    let (kind, class) = (number(datagram, at)?, number(datagram, at + 2)?);
    let ttl = u32::from_be_bytes(datagram.get(at + 4..at + 8)?.try_into().ok()?);
    let end = at + 10 + usize::from(number(datagram, at + 8)?);
    let bytes = datagram.get(at + 10..end)?;
    let data = match (class, kind) {
        (1, A) => Data::Address(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        (1, AAAA) => Data::Address(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        (1, CNAME) => Data::Alias(name_at(datagram, at + 10).filter(|&(_, behind)| behind == end)?.0),
        _ => Data::Other(kind),
    };
    Some((Record { owner, ttl, data }, end))
}

/// The name there as text, and where it ends.
fn name_at(datagram: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut text, mut at, mut part, mut length, mut end) = (String::new(), start, start, 1, None);
    loop {
        match *datagram.get(at)? {
            0 => return Some((text, end.unwrap_or(at + 1))),
            label @ 1..=63 => {
                for &byte in datagram.get(at + 1..=at + usize::from(label))? {
                    // What a terminal would obey, and what a name is written with, stays a number.
                    match byte {
                        b'.' | b'\\' | ..=b' ' | 0x7f.. => text.push_str(&format!("\\{byte:03}")),
                        _ => text.push(byte.into()),
                    }
                }
                text.push('.');
                at += 1 + usize::from(label);
                length += 1 + usize::from(label);
            }
            0xc0.. => {
                // Only to before this part of the name, so that it ends.
                let target = usize::from(number(datagram, at)? & 0x3fff);
                end = end.or(Some(at + 2));
                (at, part) = (target, Some(target).filter(|&target| target < part)?);
            }
            _ => return None,
        }
        if length > LONGEST {
            return None;
        }
    }
}

fn number(datagram: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(datagram.get(at..at + 2)?.try_into().ok()?))
}

/// A name as it travels: labels, each behind its length, and a zero.
#[derive(Clone)]
struct Encoded(Vec<u8>);

fn encode(name: &str) -> Result<Encoded, &'static str> {
    let mut encoded = Vec::new();
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        let length = match u8::try_from(label.len()) {
            Ok(0) => return Err("a label is empty"),
            Ok(length @ ..=63) => length,
            _ => return Err("a label is longer than 63 bytes"),
        };
        if !label.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a name has no spaces, and beyond ASCII its xn-- form is sent");
        }
        encoded.push(length);
        encoded.extend(label.bytes());
    }
    encoded.push(0);
    if encoded.len() > LONGEST { Err("the name is longer than 255 bytes") } else { Ok(Encoded(encoded)) }
}

/// An answer, and what it took.
struct Asked {
    kind: u16,
    answer: Answer,
    transmissions: u32,
    elapsed: Duration,
}

fn tell(name: &[u8], server: SocketAddr, answers: &[Asked], manner: &Manner) -> Outcome {
    let name = name_at(name, 0).ok_or("a name that was sent can be read")?.0;
    manner.tell(format_args!("{server} says of {name}"))?;
    let (mut lines, mut failed) = (Vec::new(), None);
    for Asked { kind, answer: Answer { rcode, truncated, records }, transmissions, elapsed } in answers {
        let (kind, elapsed) = (if *kind == A { "A" } else { "AAAA" }, ms(*elapsed));
        let code = RCODES.get(usize::from(*rcode)).map_or_else(|| format!("RCODE{rcode}"), |&code| code.to_owned());
        let cut = if *truncated { ", truncated: TCP would bring the rest" } else { "" };
        manner.tell(format_args!("  {kind}: {code}{cut} (transmissions: {transmissions}, {elapsed:.1} ms)"))?;
        let mut addresses = Vec::new();
        for Record { owner, ttl, data } in records {
            let data = match data {
                Data::Address(address) => {
                    addresses.push(format!("\"{address}\""));
                    address.to_string()
                }
                Data::Alias(name) => format!("is {name}"),
                Data::Other(kind) => format!("has a record of type {kind}"),
            };
            manner.tell(format_args!("    {owner} {data}  ({ttl} s)"))?;
        }
        if *rcode != 0 {
            failed = Some(code.clone());
        }
        lines.push(format!(
            "{{\"type\":\"{kind}\",\"rcode\":\"{code}\",\"truncated\":{truncated},\"addresses\":[{}],\
             \"transmissions\":{transmissions},\"elapsed_ms\":{elapsed:?}}}",
            addresses.join(",")
        ));
    }
    if manner.json {
        let name = json::string(name.as_bytes());
        say(format_args!("{{\"name\":{name},\"server\":\"{server}\",\"answers\":[{}]}}", lines.join(",")))?;
    }
    failed.map_or(Ok(()), |code| Err(format!("the server answers {code}").into()))
}

fn system_server() -> Outcome<Server> {
    let unreadable = |error| io::Error::other(format!("/etc/resolv.conf: {error}"));
    let text = fs::read_to_string("/etc/resolv.conf").map_err(unreadable)?;
    let server = text.lines().find_map(|line| line.trim().strip_prefix("nameserver ")?.split_whitespace().next());
    Ok(server.ok_or("/etc/resolv.conf names no server: say --server ADDRESS")?.parse()?)
}

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// Bytes of a name, its lengths and the zero at its end included.
const LONGEST: usize = 255;

const RCODES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];
