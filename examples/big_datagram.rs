//! How large a datagram may be: forbids fragmentation, sends one, and if the system says "message too long" asks for
//! the path MTU and sends what fits. Then it compares what the kernel takes for the path MTU with what probes find.
//!
//! ```text
//! big_datagram [--size 65000]                    to this process
//! big_datagram HOST [-p PORT] [--size 65000]     to anybody; nobody needs to listen there
//! ```
//!
//! Probes are answered where `udp-retry path-mtu --serve` runs; elsewhere it takes 3 s to know that they are not.
#![expect(clippy::disallowed_methods, reason = "a thread for the other end")]

mod support {
    pub(crate) mod endpoint;
    pub(crate) mod outcome;
}

use std::net::ToSocketAddrs;
use std::num::NonZeroU8;
use std::process::ExitCode;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use clap::Parser;
use support::endpoint::Endpoint;
use support::outcome::{Outcome, exit_code, say};
use udp_retry::ConnectedUdp;
use udp_retry::net::{Applied, Fragmentation, UnconnectedUdp, kernel_pmtu, set_fragmentation};
use udp_retry::path_mtu::{EchoFormat, answer_probe, probe_path_with};
use udp_retry::pmtu::{MaxProbes, SearchSettings};
use udp_retry::size::IpFamily;
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, PathError, PathIndex, Transport};

/// Sends one large datagram whole or finds out what would fit; without a host, to this process
#[derive(Parser)]
struct Arguments {
    /// Name or address
    host: Option<String>,
    /// UDP port
    #[arg(short, long, default_value_t = 1060, requires = "host")]
    port: u16,
    /// Bytes of payload
    #[arg(long, default_value_t = 65_000, value_name = "BYTES")]
    size: usize,
}

fn main() -> ExitCode {
    let Arguments { host, port, size } = Arguments::parse();
    exit_code(match host {
        Some(host) => {
            Endpoint { host, port }.addresses().map_err(Into::into).and_then(|there| send(&*there, size).map(|_| ()))
        }
        None => to_this_process(size),
    })
}

fn to_this_process(size: usize) -> Outcome {
    let receiver = UnconnectedUdp::bind("127.0.0.1:0")?;
    let address = receiver.local_addr();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || receive(receiver, &tell));
    let sent = send(address, size)?;

    let Ok(received) = told.recv_timeout(Duration::from_secs(2)) else { return Err("it never arrived".into()) };
    if received != sent {
        return Err(format!("{received} bytes arrived").into());
    }
    say("It arrived whole: the packets of the loopback interface may have 65,536 bytes.")?;
    Ok(())
}

/// Answers probes, and tells the length of what is none.
fn receive(mut receiver: UnconnectedUdp, tell: &Sender<usize>) {
    let (mut buffer, mut answer) = (vec![0; 65_535], Vec::new());
    loop {
        let now = receiver.now();
        let Incoming::Datagram(it) = receiver.recv(&mut buffer, now, Timestamp::MAX) else { continue };
        if answer_probe(&buffer[..it.len], it.actual, None, &mut answer) {
            let _ = receiver.send(it.from, &answer);
        } else {
            let _ = tell.send(it.len);
        }
    }
}

/// Returns how many bytes were sent in the end.
fn send(server: impl ToSocketAddrs, mut size: usize) -> Outcome<usize> {
    let mut transport = ConnectedUdp::connect(server)?;
    let peer = transport.peer_addr();
    if set_fragmentation(transport.as_socket(), Fragmentation::Forbidden)? == Applied::Unsupported {
        return Err("this system does not let a program forbid fragmentation".into());
    }
    say(format_args!("To {peer}, fragmentation forbidden"))?;

    let most = IpFamily::of(peer.ip()).max_plpmtu().bytes();
    if size > most {
        return Err(format!("{size} bytes are more than any datagram to {peer} can have: at most {most}").into());
    }
    let payload = vec![b'#'; size];
    loop {
        // Offered once more after an error, which may be an earlier datagram's.
        let sent = transport.send(PathIndex::FIRST, &payload[..size]);
        match sent.or_else(|_| transport.send(PathIndex::FIRST, &payload[..size])) {
            Ok(()) => break,
            // The system may learn of a narrower link meanwhile, so the same may happen again; it cannot go on for ever.
            Err(PathError::TooBig { limit: Some(limit), .. }) if limit.bytes() < size => {
                let pmtu = kernel_pmtu(transport.as_socket())?.bytes();
                say(format_args!("{size} bytes: message too long"))?;
                say(format_args!("The kernel's path MTU is {pmtu} bytes, so a payload of {} fits", limit.bytes()))?;
                say("That is the MTU of the first hop, until traffic has flowed and a router has reported less.")?;
                size = limit.bytes();
            }
            Err(error) => return Err(error.into()),
        }
    }
    say(format_args!("{size} bytes: sent in one packet"))?;
    compare(&mut transport)?;
    Ok(size)
}

/// What the kernel believes may be old, forged, or the first hop's alone; probes that were answered have been there.
fn compare(transport: &mut ConnectedUdp) -> Outcome {
    let family = IpFamily::of(transport.peer_addr().ip());
    let known = kernel_pmtu(transport.as_socket())?.bytes();
    // What the kernel believes is no limit then.
    transport.set_fragmentation(Fragmentation::Probing)?;
    let settings = SearchSettings::new(family);
    let settings = settings
        .with_sizes(settings.base(), settings.base(), settings.max())?
        .with_max_probes(MaxProbes::Fixed(NonZeroU8::MIN.saturating_add(2)));
    let found = probe_path_with(transport, PathIndex::FIRST, &EchoFormat::new(), settings, |_| {})?;
    say(match found.forward {
        Some(size) => {
            let packet = size.bytes() + family.overhead() as usize;
            format!("The kernel's path MTU is {known} bytes, and probes of {packet} bytes were answered")
        }
        None => format!("The kernel's path MTU is {known} bytes, and no one there answers probes"),
    })?;
    Ok(())
}
