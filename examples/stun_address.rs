//! Asks a STUN server under which address it sees this host (RFC 8489). A reply counts if it has the request's magic
//! cookie and transaction id, bytes 4 to 20.
//!
//! ```text
//! stun_address                         asks a responder in this process
//! stun_address SERVER [--deadline 2s]  SERVER is HOST, HOST:PORT or [IPV6]:PORT; port 3478
//! ```
//!
//! Several servers stand between commas: the next one is asked where the one before does not answer.
//!
//! With `--json`, one line:
//!
//! ```text
//! {"server":"127.0.0.1:3478","address":"192.0.2.7:40312","local":"10.0.0.2:40312","transmissions":1,"elapsed_ms":0.2}
//! {"server":"127.0.0.1:3478","error":"stun","code":420,"reason":"Unknown Attribute","transmissions":1,"elapsed_ms":0.2}
//! {"server":"127.0.0.1:3478","error":"unknown_attributes","attributes":["0x0026"],"transmissions":1,"elapsed_ms":0.2}
//! {"error":"timed_out","execution":"unknown","transmissions":7,"sent_ms":[0.0,500.1,...],"elapsed_ms":39500.1}
//! ```
//!
//! An error of the server's is a reply, and a failure (1); so is an answer with attributes that must be understood and are
//! not.

mod asking;
mod stun_message;
mod support {
    pub(crate) mod json;
    pub(crate) mod outcome;
}

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use asking::{Manner, Servers, responder};
use clap::Parser;
pub(crate) use stun_message::{Answer, COOKIE, answers, decode};
use support::json::{self, ms};
use support::outcome::{Outcome, say};
use udp_retry::policy::Preset;
use udp_retry::servers::{ServerSettings, Spread};
use udp_retry::{ReliableRequester, transaction_id};

/// Asks a STUN server under which address it sees this host; without a server, a responder in this process
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
        Some(servers) => manner.addresses(&servers, 3478).and_then(|servers| show(&servers, &manner)),
        None => responder(respond).map_err(Into::into).and_then(|here| {
            manner.tell(format_args!("Without a server I ask a responder of my own, at {here}."))?;
            show(&[here], &manner)
        }),
    })
}

fn ask(servers: &[SocketAddr], manner: &Manner) -> Outcome<Asked> {
    let policy = Preset::named("stun").ok_or("the preset is gone")?.policy;
    let matcher = transaction_id(8..20).stamped().confirmed_by(answers);
    // In their order: one request has nothing to spread.
    let in_order = ServerSettings::new().with_spread(Spread::InOrder)?;
    let builder = ReliableRequester::builder(matcher).policy(policy).servers(in_order);
    let (mut requester, record) = manner.connect(builder, servers)?;
    // A Binding request without attributes. The requester writes the id over the zeros.
    let request = [&[0, 1, 0, 0][..], &COOKIE, &[0; 12]].concat();
    let reply = requester.request(&request).map_err(|error| record.of(error))?;

    let answer = decode(reply.payload()).ok_or("the matcher lets only answers pass")?;
    let (path, transmissions, elapsed) = (reply.path(), reply.transmissions(), reply.elapsed());
    let local = requester.transport().local_addr(path).ok_or("no socket")?;
    Ok(Asked { server: record.server(path)?, local, answer, transmissions, elapsed })
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
    let asked = ask(servers, manner)?;
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
        Answer::Unknown(attributes) => {
            let attributes: Vec<_> = attributes.iter().map(|attribute| format!("0x{attribute:04x}")).collect();
            if manner.json {
                let facts = format!("\"server\":\"{server}\",\"error\":\"unknown_attributes\"");
                say(format_args!("{{{facts},\"attributes\":{attributes:?},{cost}}}"))?;
            }
            let attributes = attributes.join(", ");
            Err(format!("{server} answers with attributes that must be understood and are not: {attributes}").into())
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
