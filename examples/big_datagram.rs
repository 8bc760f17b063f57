//! How large a datagram may be: forbids fragmentation, sends one, and if the system says "message too long" asks for
//! the path MTU and sends what fits.
//!
//! ```text
//! big_datagram [--size 65000]                    to this process
//! big_datagram HOST [-p PORT] [--size 65000]     to anybody; nobody needs to listen there
//! ```

mod support {
    pub(crate) mod endpoint;
    pub(crate) mod outcome;
}

use std::net::ToSocketAddrs;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use support::endpoint::Endpoint;
use support::outcome::{Outcome, exit_code, say};
use udp_retry::ConnectedUdp;
use udp_retry::net::{Applied, Fragmentation, UnconnectedUdp, kernel_pmtu, set_fragmentation};
use udp_retry::size::IpFamily;
use udp_retry::transport::{PathError, Transport};

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
    let mut receiver = UnconnectedUdp::bind("127.0.0.1:0")?;
    let sent = send(receiver.local_addr(), size)?;

    let soon = receiver.now().after(Duration::from_secs(2));
    let heard = receiver.recv_until(&mut vec![0; 65_535], soon)?.ok_or("it never arrived")?;
    if heard.len != sent {
        return Err(format!("{} bytes arrived", heard.len).into());
    }
    say("It arrived whole: the packets of the loopback interface may have 65,536 bytes.")?;
    Ok(())
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
        // Sent again at once after an error, which may be news of an earlier datagram that nobody wanted.
        match transport.send_again(0, &payload[..size]) {
            Ok(_) => break,
            // The system may learn of a narrower link meanwhile, so the same may happen again; it cannot go on for ever.
            Err(PathError::TooBig { limit: Some(limit) }) if limit.bytes() < size => {
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
    Ok(size)
}
