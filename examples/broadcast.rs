//! One datagram to every host of a network at once.
//!
//! ```text
//! broadcast                            both ends on this host, by way of 127.255.255.255
//! broadcast server HOST [-p PORT]      prints what it hears; only HOST "" hears broadcasts everywhere
//! broadcast client NETWORK [-p PORT] [--from ADDRESS]   sends one datagram and does not wait
//! ```
//!
//! NETWORK is the broadcast address of an interface, such as 192.0.2.255, or `<broadcast>` for 255.255.255.255, which is
//! sent to one network alone: that of the default route, or that of ADDRESS, which is one of this host's.

mod support {
    pub(crate) mod endpoint;
    pub(crate) mod outcome;
}

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use support::endpoint::Endpoint;
use support::outcome::{Outcome, exit_code, say};
use udp_retry::net::UnconnectedUdp;
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, PathError, Received, Route, Transport};

/// Sends one datagram to every host of a network; without a role, both ends run on this host
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// Prints every datagram that it hears
    Server(Endpoint),
    /// Sends one datagram to a whole network and does not wait
    Client {
        /// Broadcast address of an interface, or "<broadcast>" for 255.255.255.255: one network, that of --from or of
        /// the default route
        network: String,
        /// UDP port
        #[arg(short, long, default_value_t = 1060)]
        port: u16,
        /// Address of this host to send from, and by whose interface "<broadcast>" leaves [default: the system's choice]
        #[arg(long, value_name = "ADDRESS")]
        from: Option<Ipv4Addr>,
    },
}

fn main() -> ExitCode {
    exit_code(match Arguments::parse().role {
        Some(Role::Server(here)) => server(&here),
        Some(Role::Client { network, port, from }) => client(&Endpoint { host: network, port }, from),
        None => both(),
    })
}

fn both() -> Outcome {
    let mut listener = UnconnectedUdp::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let port = listener.local_addr().port();
    say(format_args!("Listening for datagrams at {}", listener.local_addr()))?;
    client(&Endpoint { host: "127.255.255.255".to_owned(), port }, None)?;

    let soon = listener.now().after(Duration::from_secs(2));
    let mut buffer = [0; 65_535];
    match listener.recv(&mut buffer, listener.now(), soon) {
        Incoming::Datagram(heard) => tell(&heard, &buffer),
        _ => Err("nothing was heard within 2 s".into()),
    }
}

fn server(here: &Endpoint) -> Outcome {
    let mut listener = UnconnectedUdp::bind(&*here.addresses()?)?;
    say(format_args!("Listening for datagrams at {}", listener.local_addr()))?;
    let mut buffer = [0; 65_535];
    loop {
        match listener.recv(&mut buffer, listener.now(), Timestamp::MAX) {
            Incoming::Datagram(heard) => tell(&heard, &buffer)?,
            Incoming::PathError { error, .. } => return Err(error.into()),
            Incoming::TimeUp(_) | Incoming::Cancelled => {}
        }
    }
}

fn tell(heard: &Received<Route>, buffer: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(&buffer[..heard.len]);
    say(format_args!("The client at {} says: {}", heard.from.remote, text.escape_debug()))?;
    Ok(())
}

fn client(network: &Endpoint, from: Option<Ipv4Addr>) -> Outcome {
    let network = network.addresses()?.into_iter().find(SocketAddr::is_ipv4).ok_or("only IPv4 has broadcasts")?;
    let own = from.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let mut client = UnconnectedUdp::bind_broadcast((own, 0)).map_err(|error| format!("{own}: {error}"))?;
    client.send(client.route_to(network), b"Broadcast datagram!").map_err(|error| match error {
        PathError::Unreachable => format!("no route to {network}: {}", why_unreachable(network, from)),
        error => format!("{network}: {error}"),
    })?;
    Ok(())
}

fn why_unreachable(network: SocketAddr, from: Option<Ipv4Addr>) -> String {
    match from {
        None if network.ip() == Ipv4Addr::BROADCAST => "without a default route the system cannot tell which network is \
             meant; name the broadcast address of an interface, such as 192.0.2.255, or an address of this host by --from"
            .to_owned(),
        _ => "no interface that is up has this broadcast address".to_owned(),
    }
}
