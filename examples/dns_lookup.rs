//! Asks a DNS server for the addresses of a name: a reply counts if it has the query's id *and* its question
//! (RFC 1035, RFC 5452).
//!
//! ```text
//! dns_lookup                                          asks a responder in this process
//! dns_lookup NAME [--server ADDRESS] [--deadline 2s]  ADDRESS is HOST, HOST:PORT or [IPV6]:PORT; port 53
//! ```
//!
//! Several servers stand between commas: the next one is asked where the one before does not answer.
//!
//! With `--json`, one line: what came for A and for AAAA, or how it failed.
//!
//! ```text
//! {"name":"host.example.test.","server":"127.0.0.1:53","answers":[{"type":"A","server":"127.0.0.1:53",
//!  "rcode":"NOERROR","truncated":false,"addresses":["192.0.2.7"],"transmissions":1,"elapsed_ms":0.3},
//!  {"type":"AAAA","error":"timed_out",...}]}
//! {"error":"timed_out","execution":"unknown","transmissions":3,"sent_ms":[0.0,2000.1,6000.1],"elapsed_ms":14000.1}
//! ```
//!
//! Each of the two is asked for by itself, and the last line is what it looks like if both fail. An answer without an
//! address is an answer (0); an error code or no answer, to one or to both, is a failure (1).

mod asking;
mod dns_message;
pub(crate) mod resolv_conf;
mod support {
    pub(crate) mod json;
    pub(crate) mod outcome;
}

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use asking::{Manner, Servers, failed_as_json, responder, told};
use clap::Parser;
use dns_message::{A, AAAA, Data, Encoded, Record, encode, name_at, number};
pub(crate) use dns_message::{Answer, answers, decode};
use resolv_conf::system_servers;
use support::json::{self, ms};
use support::outcome::{Outcome, say};
use udp_retry::policy::Preset;
use udp_retry::servers::{ServerSettings, Spread};
use udp_retry::{ReliableRequester, transaction_id};

/// Asks a DNS server for the addresses of a name; without a name, a responder in this process
#[derive(Parser)]
struct Arguments {
    /// Such as www.example.org
    #[arg(value_parser = encode)]
    name: Option<Encoded>,
    /// Whom to ask: HOST, HOST:PORT or [IPV6]:PORT, several between commas [default: those in /etc/resolv.conf]
    #[arg(long, value_name = "ADDRESS", requires = "name")]
    server: Option<Servers>,
    #[command(flatten)]
    manner: Manner,
}

fn main() -> ExitCode {
    let Arguments { name, server, manner } = Arguments::parse();
    manner.exit_code(match name {
        Some(Encoded(name)) => server
            .map_or_else(|| system_servers(&manner), |servers| manner.addresses(&servers, 53))
            .and_then(|servers| look_up(&name, &servers, &manner)),
        None => responder(respond).map_err(Into::into).and_then(|here| {
            manner.tell(format_args!("Without a name I ask for one that a responder of my own knows, at {here}."))?;
            look_up(b"\x03www\x07example\x04test\0", &[here], &manner)
        }),
    })
}

/// Two questions, each by itself: there are servers that answer the one and never the other.
fn look_up(name: &[u8], servers: &[SocketAddr], manner: &Manner) -> Outcome {
    let answers = [A, AAAA].map(|kind| (kind, ask(name, kind, servers, manner)));
    match answers {
        // As one failure.
        [(_, Err(error)), (_, Err(_))] => Err(error),
        answers => tell(name, &answers, manner),
    }
}

/// A requester for each question: every query leaves from a port of its own, which a forger has to guess, too.
fn ask(name: &[u8], kind: u16, servers: &[SocketAddr], manner: &Manner) -> Outcome<Asked> {
    let policy = Preset::named("dns").ok_or("the preset is gone")?.policy;
    let matcher = transaction_id(0..2).stamped().confirmed_by(answers);
    // As resolv.conf(5) has it: the first, and the others in its place.
    let in_order = ServerSettings::new().with_spread(Spread::InOrder)?;
    let builder = ReliableRequester::builder(matcher).policy(policy).servers(in_order);
    let (mut requester, record) = manner.connect(builder, servers)?;

    // A standard query, recursion desired, with one question, of class IN. The requester writes the id over the dots.
    let header = b"..\x01\0\0\x01\0\0\0\0\0\0";
    let query = [header, name, &kind.to_be_bytes(), &[0, 1]].concat();
    let reply = requester.request(query).map_err(|error| record.of(error))?;

    let answer = decode(reply.payload()).ok_or("the matcher lets only answers pass")?;
    let (server, transmissions, elapsed) = (record.server(reply.path())?, reply.transmissions(), reply.elapsed());
    Ok(Asked { server, answer, transmissions, elapsed })
}

/// An answer, and what it took.
struct Asked {
    server: SocketAddr,
    answer: Answer,
    transmissions: u32,
    elapsed: Duration,
}

fn tell(name: &[u8], answers: &[(u16, Outcome<Asked>)], manner: &Manner) -> Outcome {
    let name = name_at(name, 0).ok_or("a name that was sent can be read")?.0;
    let (mut lines, mut failures, mut speakers) = (Vec::new(), Vec::new(), Vec::new());
    for (kind, asked) in answers {
        match asked {
            Ok(asked) => {
                if speakers.last() != Some(&asked.server) {
                    manner.tell(format_args!("{} says of {name}", asked.server))?;
                    speakers.push(asked.server);
                }
                let code = code(asked.answer.rcode);
                lines.push(tell_answer(&name, *kind, &code, asked, manner)?);
                if code != RCODES[0] {
                    failures.push(format!("the server answers {code}"));
                }
            }
            Err(error) => {
                manner.tell(format_args!("  {}: {error}", called(*kind)))?;
                let facts = failed_as_json(&**error).unwrap_or_else(|| "\"error\":\"io\"".to_owned());
                lines.push(format!("{{\"type\":\"{}\",{facts}}}", called(*kind)));
                failures.push(error.to_string());
            }
        }
    }
    if manner.json {
        let (name, server) = (json::string(name.as_bytes()), speakers.first().ok_or("one of them answered")?);
        say(format_args!("{{\"name\":{name},\"server\":\"{server}\",\"answers\":[{}]}}", lines.join(",")))?;
    } else {
        answers.iter().filter_map(|(_, asked)| asked.as_ref().err()).try_for_each(|error| told(&**error))?;
    }
    failures.dedup();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ").into()) }
}

/// Returns the object of `answers`, with the server: it may be another for each.
fn tell_answer(name: &str, kind: u16, code: &str, asked: &Asked, manner: &Manner) -> Outcome<String> {
    let Asked { server, answer, transmissions, elapsed } = asked;
    let (Answer { truncated, records, .. }, elapsed, called) = (answer, ms(*elapsed), called(kind));
    let cut = if *truncated { ", truncated: TCP would bring the rest" } else { "" };
    manner.tell(format_args!("  {called}: {code}{cut} (transmissions: {transmissions}, {elapsed:.1} ms)"))?;
    let (mut addresses, kept) = (Vec::new(), answer.of(name, kind));
    for Record { owner, ttl, data } in &kept {
        let data = match data {
            Data::Address(address) => {
                addresses.push(format!("\"{address}\""));
                address.to_string()
            }
            Data::Alias(name) => format!("is {name}"),
            Data::Other => continue,
        };
        manner.tell(format_args!("    {owner} {data}  ({ttl} s)"))?;
    }
    if let others @ 1.. = records.len() - kept.len() {
        manner.tell(format_args!("    (of other names or types, which were not asked for: {others})"))?;
    }
    Ok(format!(
        "{{\"type\":\"{called}\",\"server\":\"{server}\",\"rcode\":\"{code}\",\"truncated\":{truncated},\
         \"addresses\":[{}],\"transmissions\":{transmissions},\"elapsed_ms\":{elapsed:?}}}",
        addresses.join(",")
    ))
}

fn code(rcode: u8) -> String {
    RCODES.get(usize::from(rcode)).map_or_else(|| format!("RCODE{rcode}"), |&code| code.to_owned())
}

fn called(kind: u16) -> &'static str {
    if kind == A { "A" } else { "AAAA" }
}

/// Knows one name: `www.example.test` is an alias of `host.example.test`, which has both addresses.
fn respond(query: &[u8], _: SocketAddr) -> Option<Vec<u8>> {
    let (_, end) = name_at(query, 12)?;
    let question = query.get(12..end + 4)?;
    // Names are told by pointers: to the question's, to "example.test" in it, and to the alias's own in its record.
    let alias = b"\xc0\x0c\0\x05\0\x01\0\0\x01\x2c\0\x07\x04host\xc0\x10";
    let address: &[u8] = match number(query, end)? {
        A => b"\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x07",
        AAAA => b"\0\x1c\0\x01\0\0\0\x3c\0\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07",
        _ => return None,
    };
    let header = [&query[..2], &[0x85, 0, 0, 1, 0, 2, 0, 0, 0, 0]].concat();
    Some([&header, question, alias, &[0xc0, end as u8 + 4 + 12], address].concat())
}

const RCODES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];
