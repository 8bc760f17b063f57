//! Asks a STUN server under which address it sees this host (RFC 8489). A reply counts if it has the request's magic
//! cookie and transaction id, bytes 4 to 20.
//!
//! ```text
//! stun_address                         asks a responder in this process
//! stun_address SERVER [--deadline 2s]  SERVER is HOST, HOST:PORT or [IPV6]:PORT; port 3478
//! ```
//!
//! With `--json`, one line:
//!
//! ```text
//! {"server":"127.0.0.1:3478","address":"192.0.2.7:40312","local":"10.0.0.2:40312","transmissions":1,"elapsed_ms":0.2}
//! {"server":"127.0.0.1:3478","error":"stun","code":420,"reason":"Unknown Attribute","transmissions":1,"elapsed_ms":0.2}
//! {"error":"timed_out","execution":"unknown","transmissions":7,"sent_ms":[0.0,500.1,...],"elapsed_ms":39500.1}
//! ```
//!
//! An error of the server's is a reply, and a failure (1).

mod asking;
mod support {
    pub(crate) mod json;
    pub(crate) mod outcome;
}

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use asking::{Manner, Server, responder};
use clap::Parser;
use support::json::{self, ms};
use support::outcome::{Outcome, say};
use udp_retry::policy::Preset;
use udp_retry::transaction::{Match, OnUnreachable, ReplyMatcher};
use udp_retry::transport::PathIndex;
use udp_retry::{ReliableRequester, transaction_id};

/// Asks a STUN server under which address it sees this host; without a server, a responder in this process
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
        Some(server) => server.addresses(3478).map_err(Into::into).and_then(|servers| show(&servers, &manner)),
        None => responder(respond).map_err(Into::into).and_then(|here| {
            manner.tell(format_args!("Without a server I ask a responder of my own, at {here}."))?;
            show(&[here], &manner)
        }),
    })
}

fn ask(server: SocketAddr, deadline: Duration, on_unreachable: OnUnreachable) -> Outcome<Asked> {
    let policy = Preset::named("stun").ok_or("the preset is gone")?.policy;
    let matcher = transaction_id(8..20).stamped().confirmed_by(answers);
    let builder = ReliableRequester::builder(matcher).policy(policy).deadline(deadline).on_unreachable(on_unreachable);
    let mut requester = builder.connect(server)?;

    // A Binding request without attributes. The requester writes the id over the zeros.
    let request = [&[0, 1, 0, 0][..], &COOKIE, &[0; 12]].concat();
    let reply = requester.request(&request)?;

    let answer = decode(reply.payload()).ok_or("the matcher lets only answers pass")?;
    let (transmissions, elapsed) = (reply.transmissions(), reply.elapsed());
    Ok(Asked {
        server,
        local: requester.transport().local_addr(PathIndex::FIRST).ok_or("no socket")?,
        answer,
        transmissions,
        elapsed,
    })
}

/// An answer has the request's cookie and id. One that cannot be read is none (RFC 8489 §6.3): a good one may follow.
pub(crate) fn answers(request: &[u8], datagram: &[u8]) -> bool {
    transaction_id(4..20).judge(request, datagram) == Match::Reply && decode(datagram).is_some()
}

/// What a server says.
#[derive(PartialEq, Debug)]
pub(crate) enum Answer {
    Address(SocketAddr),
    Error { code: u16, reason: String },
}

pub(crate) fn decode(datagram: &[u8]) -> Option<Answer> {
    let (header, mut rest) = datagram.split_at_checked(20)?;
    let (kind, length) = (number(header, 0)?, number(header, 2)?);
    if usize::from(length) != rest.len() || length % 4 != 0 || header[4..8] != COOKIE {
        return None;
    }
    let (mut plain, mut xored, mut error) = (None, None, None);
    // Of two attributes of one type the first counts.
    while !rest.is_empty() {
        let (attribute, length) = (number(rest, 0)?, usize::from(number(rest, 2)?));
        let value = rest.get(4..4 + length)?;
        match attribute {
            MAPPED_ADDRESS if plain.is_none() => plain = Some(address(value, &[0; 16])?),
            XOR_MAPPED_ADDRESS if xored.is_none() => xored = Some(address(value, &header[4..])?),
            ERROR_CODE if error.is_none() => error = Some(error_code(value)?),
            _ => {}
        }
        rest = rest.get(4 + length.next_multiple_of(4)..)?;
    }
    match kind {
        BINDING_SUCCESS => xored.or(plain).map(Answer::Address),
        BINDING_ERROR => error,
        _ => None,
    }
}

fn address(value: &[u8], key: &[u8]) -> Option<SocketAddr> {
    let &[_, family, ..] = value else { return None };
    let xor = |bytes: &[u8]| -> Vec<u8> { bytes.iter().zip(key).map(|(byte, key)| byte ^ key).collect() };
    let (port, bytes) = (number(&xor(value.get(2..4)?), 0)?, xor(value.get(4..)?));
    let ip = match family {
        1 if value.len() == 8 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        2 if value.len() == 20 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn error_code(value: &[u8]) -> Option<Answer> {
    let &[_, _, class, number, ref reason @ ..] = value else { return None };
    let (class, number) = (u16::from(class & 7), u16::from(number));
    let valid = (3..=6).contains(&class) && number < 100;
    let reason = String::from_utf8_lossy(reason).chars().filter(|char| !char.is_control()).collect();
    valid.then_some(Answer::Error { code: class * 100 + number, reason })
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// An answer, and what it took.
struct Asked {
    server: SocketAddr,
    local: SocketAddr,
    answer: Answer,
    transmissions: u32,
    elapsed: Duration,
}

fn show(servers: &[SocketAddr], manner: &Manner) -> Outcome {
    let asked = manner.first_reply(servers, ask)?;
    let Asked { server, local, answer, transmissions, elapsed } = asked;
    let cost = format!("\"transmissions\":{transmissions},\"elapsed_ms\":{:?}", ms(elapsed));
    match answer {
        Answer::Address(address) => {
            let way = if address == local { "no address was translated" } else { "somebody translates addresses" };
            manner.tell(format_args!("{server} sees this host at {address}"))?;
            manner.tell(format_args!("The socket is at {local}: {way} (transmissions: {transmissions})"))?;
            if manner.json {
                let facts = format!("\"server\":\"{server}\",\"address\":\"{address}\",\"local\":\"{local}\"");
                say(format_args!("{{{facts},{cost}}}"))?;
            }
            Ok(())
        }
        Answer::Error { code, reason } => {
            if manner.json {
                let facts = format!("\"server\":\"{server}\",\"error\":\"stun\",\"code\":{code}");
                say(format_args!("{{{facts},\"reason\":{},{cost}}}", json::string(reason.as_bytes())))?;
            }
            Err(format!("{server} answers with error {code} {reason:?}").into())
        }
    }
}

/// Tells whoever asks under which address.
fn respond(request: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    let (IpAddr::V4(address), id) = (from.ip(), request.get(4..20)?) else { return None };
    let plain = [&from.port().to_be_bytes()[..], &address.octets()].concat();
    let (port, address) = plain.split_at(2);
    let xor = |bytes: &[u8]| -> Vec<u8> { bytes.iter().zip(id).map(|(byte, key)| byte ^ key).collect() };
    Some([&[1, 1, 0, 12], id, &[0, 0x20, 0, 8, 0, 1], &xor(port), &xor(address)].concat())
}

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;
const MAPPED_ADDRESS: u16 = 0x0001;
const ERROR_CODE: u16 = 0x0009;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
