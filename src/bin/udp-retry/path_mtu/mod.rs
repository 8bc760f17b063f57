//! Measures which size of datagram a path carries whole.
//!
//! ```text
//! udp-retry path-mtu HOST[:PORT] [--stun | --dns NAME] [--json] [--max N] [--bytes]
//! udp-retry path-mtu --serve ADDR[:PORT]
//! ```
//!
//! Without `--stun` or `--dns` the far end has to run `udp-retry path-mtu --serve`, and both directions are measured. A HOST
//! without a port is asked at 1060, 3478 (`--stun`) or 53 (`--dns`). Without HOST it shows itself: a responder on loopback,
//! behind a proxy that drops packets of more than 1400 bytes there, and 1300 back, without a word.
//!
//! Prints a line for each direction and one for what that proves, and on a terminal a picture of the search before them. With
//! `--json` it prints one line:
//!
//! ```text
//! {"forward_pmtu":1400,"reverse_pmtu":1300,"forward_plpmtu":1372,"evidence":"confirmed","probes":14,"probes_lost":4,
//!  "reports":0,"took_ms":801.207,"round_trip_ms":0.312,"reverse_plpmtu":1272,"server":"192.0.2.7:1060"}
//! ```
//!
//! A `pmtu` is bytes of an IP packet, headers included; a `plpmtu` is bytes of UDP payload; null where nothing is known.
//! `evidence` is `confirmed`, `service_or_path` (larger datagrams were not answered, and the service may be what ignores them) or
//! `unanswered`, which ends with 1.
//!
//! The first line of `--serve` is `listening on ADDR`, as soon as probes are answered.
#![expect(clippy::disallowed_methods, reason = "threads for the demonstration's responder and its proxy")]

mod picture;
mod report;
mod responder;

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::thread;
use std::time::Duration;

use clap::Args;
use picture::Picture;
use report::{Json, Measured, Story};
use udp_retry::ConnectedUdp;
use udp_retry::fault::Profile;
use udp_retry::net::Fragmentation;
use udp_retry::path_mtu::{
    DnsPadding, EchoFormat, Evidence, PathReport, ProbeError, ProbeRecord, StunPadding, probe_path_with,
};
use udp_retry::pmtu::{Granularity, SearchSettings};
use udp_retry::proxy::Proxy;
use udp_retry::size::{IpFamily, Plpmtu, Pmtu};
use udp_retry::transport::PathIndex;

use crate::terminal::{Misuse, Outcome, say};
use crate::values::{Destination, address, destination, with_port};

/// Measures which size of datagram a path carries whole; without HOST, shows itself on loopback
#[derive(Args)]
pub(crate) struct Arguments {
    /// The far end: a responder (--serve), a STUN server (--stun) or a DNS server (--dns); IPv6 as [::1] or [::1]:53 [default
    /// port: 1060, with --stun 3478, with --dns 53]
    #[arg(value_name = "HOST[:PORT]", value_parser = destination)]
    target: Option<Destination>,
    /// The far end is a STUN server: only the direction to it is measured
    #[arg(long, requires = "target")]
    stun: bool,
    /// The far end is a DNS server, which is asked for this name: only the direction to it is measured, and many take no more
    /// than 1232 bytes of payload
    #[arg(long, value_name = "NAME", value_parser = DnsPadding::new, requires = "target", conflicts_with = "stun")]
    dns: Option<DnsPadding>,
    /// Print one line of JSON, and no picture
    #[arg(long)]
    json: bool,
    /// The largest IP packet to try, in bytes, headers included; the kernel's own estimate is no limit [default: what a
    /// datagram can be]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(LEAST_PACKET..=LARGEST_PACKET))]
    max: Option<u32>,
    /// Find the size to the byte, which costs some more losses, instead of the largest of those that paths usually have; without
    /// HOST it is always found so
    #[arg(long)]
    bytes: bool,
    /// Be the far end: answers probes at this address of this host until it is ended, never with more than three times what
    /// came; port 0 lets the system pick one [default port: 1060]
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = |text: &str| address(&with_port(text, RESPONDER_PORT)))]
    #[arg(conflicts_with_all = ["target", "stun", "dns", "json", "max", "bytes"])]
    serve: Option<SocketAddr>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    match (&arguments.serve, &arguments.target) {
        (Some(address), _) => {
            let responder = responder::bind(*address)?;
            say(format_args!("listening on {}", responder.local_addr()))?;
            responder::respond(responder)
        }
        (None, Some(target)) => {
            let host = target.or_port(arguments.port());
            measure(arguments, &host.addresses().map_err(|error| host.without_address(&error))?, arguments.bytes)
        }
        (None, None) => show(arguments),
    }
}

/// To the byte, because 1300 is no usual size.
fn show(arguments: &Arguments) -> Outcome {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let responder = responder::bind(loopback)?;
    let profile = Profile { to_server: "mtu 1400".parse()?, to_client: "mtu 1300".parse()? };
    let mut proxy = Proxy::builder().profile(profile).bind(loopback, responder.local_addr())?;
    let address = proxy.local_addr();
    thread::spawn(move || responder::respond(responder));
    thread::spawn(move || while proxy.run_for(TURN).is_ok() {});
    let told = "drops packets of more than 1400 bytes to a responder, and of more than 1300 bytes from it";
    let _ = writeln!(io::stderr(), "{address} {told}");
    measure(arguments, &[address], true)
}

fn measure(arguments: &Arguments, addresses: &[SocketAddr], to_the_byte: bool) -> Outcome {
    let mut transport = ConnectedUdp::connect(addresses)?;
    let server = transport.peer_addr();
    transport.set_fragmentation(Fragmentation::Probing)?;
    let mut settings = arguments.settings(IpFamily::of(server.ip()))?;
    if to_the_byte {
        settings = settings.with_granularity(Granularity::Bytes(NonZeroU16::MIN));
    }
    let mut history = Vec::new();
    let report = arguments.probe(&mut transport, settings, |record| {
        history.push(record);
        show_progress(&format!("{} probes of {server}", history.len()));
    });
    show_progress("");
    let report = report.map_err(|error| arguments.explained(error))?;
    let measured = Measured { server, report, history };
    if arguments.json {
        say(Json(&measured))?;
    } else {
        if io::stdout().is_terminal() {
            say(Picture(&measured))?;
        }
        say(Story(&measured))?;
    }
    match measured.report.evidence {
        Evidence::Unanswered => Err("no probe was answered".into()),
        _ => Ok(()),
    }
}

/// On one line, again and again, if someone looks; a terminal that is gone is no reason to end.
fn show_progress(line: &str) {
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr(), "\r{line}\x1b[K");
    }
}

impl Arguments {
    fn port(&self) -> u16 {
        match self {
            Self { dns: Some(_), .. } => 53,
            Self { stun: true, .. } => 3478,
            _ => RESPONDER_PORT,
        }
    }

    fn probe(
        &self,
        transport: &mut ConnectedUdp,
        settings: SearchSettings,
        observe: impl FnMut(ProbeRecord),
    ) -> Result<PathReport, ProbeError> {
        match &self.dns {
            Some(format) => probe_path_with(transport, PathIndex::FIRST, format, settings, observe),
            None if self.stun => probe_path_with(transport, PathIndex::FIRST, &StunPadding::new(), settings, observe),
            None => probe_path_with(transport, PathIndex::FIRST, &EchoFormat::new(), settings, observe),
        }
    }

    fn settings(&self, family: IpFamily) -> Result<SearchSettings, Misuse> {
        let settings = SearchSettings::new(family);
        let Some(packet) = self.max else { return Ok(settings) };
        let mut max = Pmtu::new(packet).plpmtu(family);
        if packet_of(max, family) != packet {
            let most = packet_of(family.max_plpmtu(), family);
            return Err(self.bad_max(format_args!("a packet to this host has at most {most} bytes")));
        }
        if self.stun {
            // It has lengths in steps of four bytes, and a probe between two of them would exceed this.
            max = Plpmtu::new(u16::try_from(max.bytes() / 4 * 4).unwrap_or(u16::MAX));
        }
        let sizes = settings.with_sizes(settings.min().min(max), settings.base().min(max), max);
        sizes.map_err(|error| self.bad_max(error))
    }

    fn bad_max(&self, why: impl std::fmt::Display) -> Misuse {
        Misuse(format!("invalid value '{}' for '--max <N>': {why}", self.max.unwrap_or_default()))
    }

    /// Only a limit of the caller's leaves no space for a header.
    fn explained(&self, error: ProbeError) -> Box<dyn std::error::Error + Send + Sync> {
        match error {
            ProbeError::TooShort { .. } => self.bad_max(error).into(),
            error => error.into(),
        }
    }
}

/// Bytes of the IP packet around a payload.
fn packet_of(size: Plpmtu, family: IpFamily) -> u32 {
    u32::try_from(size.bytes()).unwrap_or(u32::MAX).saturating_add(family.overhead())
}

/// That of the book's programs, and so of the examples.
const RESPONDER_PORT: u16 = 1060;

/// Every host forwards packets of 68 bytes whole (RFC 791 §3.2).
const LEAST_PACKET: i64 = 68;
/// Over IPv6, without jumbograms.
const LARGEST_PACKET: i64 = 65_575;

/// Nothing else has to be done between two of them.
const TURN: Duration = Duration::from_secs(1);
