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

mod asking;
mod dns_message;
mod support {
    pub(crate) mod json;
    pub(crate) mod outcome;
}

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use std::{fs, io};

use asking::{Manner, Server, responder};
use clap::Parser;
use dns_message::{A, AAAA, Data, Encoded, Record, encode, name_at, number};
pub(crate) use dns_message::{Answer, answers, decode};
use support::json::{self, ms};
use support::outcome::{Outcome, say};
use udp_retry::ReliableRequester;
use udp_retry::net::system_seed;
use udp_retry::policy::Preset;
use udp_retry::transaction::OnUnreachable;

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
        None => responder(respond).map_err(Into::into).and_then(|here| {
            manner.tell(format_args!("Without a name I ask for one that a responder of my own knows, at {here}."))?;
            look_up(b"\x03www\x07example\x04test\0", &[here], &manner)
        }),
    })
}

/// One server answers both questions.
fn look_up(name: &[u8], servers: &[SocketAddr], manner: &Manner) -> Outcome {
    let (server, answers) = manner.first_reply(servers, |server, deadline, on_unreachable| {
        let ask = |kind| ask(name, kind, server, deadline, on_unreachable);
        Ok((server, [ask(A)?, ask(AAAA)?]))
    })?;
    tell(name, server, &answers, manner)
}

/// A requester for each question: every query leaves from a port of its own, which a forger has to guess, too.
fn ask(
    name: &[u8],
    kind: u16,
    server: SocketAddr,
    deadline: Duration,
    on_unreachable: OnUnreachable,
) -> Outcome<Asked> {
    let policy = Preset::named("dns").ok_or("the preset is gone")?.policy;
    let builder = ReliableRequester::builder(answers).policy(policy).deadline(deadline).on_unreachable(on_unreachable);
    let mut requester = builder.connect(server)?;

    let id = system_seed()?.draw(0) as u16;
    // A standard query, recursion desired, with one question, of class IN.
    let header = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    let reply = requester.request(&[&header, name, &kind.to_be_bytes(), &[0, 1]].concat())?;

    let answer = decode(reply.payload()).ok_or("the matcher lets only answers pass")?;
    Ok(Asked { kind, answer, transmissions: reply.transmissions(), elapsed: reply.elapsed() })
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
        lines.push(format!(
            "{{\"type\":\"{kind}\",\"rcode\":\"{code}\",\"truncated\":{truncated},\"addresses\":[{}],\
             \"transmissions\":{transmissions},\"elapsed_ms\":{elapsed:?}}}",
            addresses.join(",")
        ));
        if *rcode != 0 {
            failed = Some(code);
        }
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
