//! Measures which size of datagram a path carries whole.
//!
//! ```text
//! udp-retry path-mtu HOST:PORT [--stun | --dns NAME] [--json]
//! udp-retry path-mtu --answer ADDRESS:PORT
//! ```
//!
//! Without `--stun` or `--dns` the far end has to run `udp-retry path-mtu --answer`, and both directions are measured. Prints a line
//! for each direction and one for what that proves, or with `--json` one line:
//!
//! ```text
//! {"server":"192.0.2.7:1060","forward":1372,"reverse":1272,"evidence":"confirmed","probes":14,"lost":1,"reports":1,
//!  "round_trip_ms":20.144,"elapsed_ms":481.207}
//! ```
//!
//! Sizes are bytes of UDP payload, null where nothing is known. `evidence` is `confirmed`, `service_or_path` (larger datagrams
//! were not answered, and the service may be what ignores them) or `unanswered`, which ends with 1.
#![expect(clippy::disallowed_methods, reason = "a thread for the demonstration's responder")]

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::thread;

use clap::Args;
use udp_retry::ConnectedUdp;
use udp_retry::net::{Applied, Fragmentation, UnconnectedUdp, set_fragmentation};
use udp_retry::path_mtu::{DnsPadding, EchoFormat, Evidence, PathReport, StunPadding, answer_probe, probe_path};
use udp_retry::size::{IpFamily, Plpmtu};
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, PathIndex, Transport};

use crate::terminal::{Outcome, say};
use crate::values::{Host, host};

/// Measures which size of datagram a path carries whole; without HOST:PORT, to a responder of its own
#[derive(Args)]
pub(crate) struct Arguments {
    /// The far end: a responder (--answer), a STUN server (--stun) or a DNS server (--dns); IPv6 as [::1]:53
    #[arg(value_name = "HOST:PORT", value_parser = host)]
    target: Option<Host>,
    /// The far end is a STUN server: only the way there is measured
    #[arg(long, requires = "target")]
    stun: bool,
    /// The far end is a DNS server, which is asked for this name: only the way there is measured, and many take no more than
    /// 1232 bytes
    #[arg(long, value_name = "NAME", value_parser = DnsPadding::new, requires = "target", conflicts_with = "stun")]
    dns: Option<DnsPadding>,
    /// Answers probes at this address of this host, until it is ended
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = host, conflicts_with_all = ["target", "json"])]
    answer: Option<Host>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    if let Some(host) = &arguments.answer {
        let responder = responder(&host.addresses().map_err(|error| host.without_address(&error))?)?;
        let _ = writeln!(io::stderr(), "{} answers probes", responder.local_addr());
        return respond(responder);
    }
    match &arguments.target {
        Some(host) => probe(arguments, &host.addresses().map_err(|error| host.without_address(&error))?),
        None => {
            let responder = responder(&[SocketAddr::from(([127, 0, 0, 1], 0))])?;
            let address = responder.local_addr();
            thread::spawn(move || respond(responder));
            let _ = writeln!(io::stderr(), "{address} answers probes");
            probe(arguments, &[address])
        }
    }
}

fn probe(arguments: &Arguments, addresses: &[SocketAddr]) -> Outcome {
    let mut transport = ConnectedUdp::connect(addresses)?;
    let server = transport.peer_addr();
    transport.set_fragmentation(Fragmentation::Probing)?;
    let found = match &arguments.dns {
        Some(format) => probe_path(&mut transport, PathIndex::FIRST, format),
        None if arguments.stun => probe_path(&mut transport, PathIndex::FIRST, &StunPadding::new()),
        None => probe_path(&mut transport, PathIndex::FIRST, &EchoFormat::new()),
    }?;
    match arguments.json {
        true => say(Json { server, found: &found })?,
        false => say(Story { server, found: &found })?,
    }
    match found.evidence {
        Evidence::Unanswered => Err("no probe was answered".into()),
        _ => Ok(()),
    }
}

fn responder(addresses: &[SocketAddr]) -> Outcome<UnconnectedUdp> {
    let responder = UnconnectedUdp::bind(addresses)?;
    match set_fragmentation(responder.as_socket(), Fragmentation::Probing)? {
        Applied::Enforced => Ok(responder),
        Applied::Partial | Applied::Unsupported => Err("this system cannot forbid fragmentation".into()),
    }
}

fn respond(mut responder: UnconnectedUdp) -> Outcome {
    let (mut buffer, mut answer) = ([0; 64], Vec::new());
    loop {
        let now = responder.now();
        let Incoming::Datagram(probe) = responder.recv(&mut buffer, now, Timestamp::MAX) else { continue };
        let request = buffer.get(..probe.len).unwrap_or_default();
        if answer_probe(request, probe.actual, way_back(probe.from.remote), &mut answer) {
            // What is lost here is a probe that is lost.
            let _ = responder.send(probe.from, &answer).or_else(|_| responder.send(probe.from, &answer));
        }
    }
}

/// What fits into a packet to a client, as far as this host knows.
fn way_back(client: SocketAddr) -> Option<Plpmtu> {
    let known = ConnectedUdp::connect(client).ok()?.kernel_pmtu().ok()?;
    Some(known.plpmtu(IpFamily::of(client.ip())))
}

struct Story<'a> {
    server: SocketAddr,
    found: &'a PathReport,
}

impl fmt::Display for Story<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, found } = *self;
        let overhead = IpFamily::of(server.ip()).overhead();
        for (direction, size) in [("to", found.forward), ("from", found.reverse)] {
            if let Some(bytes) = size.map(Plpmtu::bytes) {
                let packet = bytes + overhead as usize;
                writeln!(f, "{direction} {server}: {bytes} bytes of payload, {packet} of a packet")?;
            }
        }
        f.write_str(match found.evidence {
            Evidence::Confirmed => "the path carries no more",
            Evidence::ServiceOrPath => {
                "larger datagrams were not answered: the path drops them, or the service ignores them"
            }
            _ => "nothing is known of the path",
        })?;
        let PathReport { probes, lost, took, .. } = *found;
        write!(f, "\n{probes} probes, {lost} lost, {:.1} ms", took.as_secs_f64() * 1e3)
    }
}

struct Json<'a> {
    server: SocketAddr,
    found: &'a PathReport,
}

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, found } = *self;
        let size = |size: Option<Plpmtu>| size.map_or("null".to_owned(), |it| it.bytes().to_string());
        let evidence = match found.evidence {
            Evidence::Confirmed => "confirmed",
            Evidence::ServiceOrPath => "service_or_path",
            _ => "unanswered",
        };
        let round_trip = found.round_trip.map_or("null".to_owned(), |it| format!("{:.3}", it.as_secs_f64() * 1e3));
        let (forward, reverse) = (size(found.forward), size(found.reverse));
        write!(f, r#"{{"server":"{server}","forward":{forward},"reverse":{reverse},"evidence":"{evidence}","#)?;
        let PathReport { probes, lost, reports, took, .. } = *found;
        write!(f, r#""probes":{probes},"lost":{lost},"reports":{reports},"round_trip_ms":{round_trip},"#)?;
        write!(f, r#""elapsed_ms":{:.3}}}"#, took.as_secs_f64() * 1e3)
    }
}
