//! Asking servers of a real protocol: HOST[:PORT], several between commas, `--deadline`, `--json`, and how a failure is told.

mod record;

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::{self, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use record::Record;
use record::Unanswered;
use udp_retry::ReliableRequester;
use udp_retry::requester::Builder;
use udp_retry::transaction::Execution;

use super::support::json;
use super::support::outcome::{Outcome, exit_code, say};

/// How to ask, and how to tell what came of it.
#[derive(clap::Args)]
pub(crate) struct Manner {
    /// Give up a request, or finding a name's address, after this long, such as 500ms or 2s [default: when its schedule
    /// ends]
    #[arg(long, value_name = "D", value_parser = duration, allow_hyphen_values = true)]
    deadline: Option<Duration>,
    /// Print one line of JSON, and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

impl Manner {
    /// For people only.
    pub(crate) fn tell(&self, line: impl Display) -> io::Result<()> {
        if self.json { Ok(()) } else { say(line) }
    }

    /// A failure is told in JSON, too; people get the story of a request without a reply.
    pub(crate) fn exit_code(&self, outcome: Outcome) -> ExitCode {
        exit_code(outcome.or_else(|error| {
            if !self.json {
                told(&*error)?;
            } else if let Some(facts) = failed_as_json(&*error) {
                say(format_args!("{{{facts}}}"))?;
            }
            Err(error)
        }))
    }

    /// Asks all of these servers by one requester, with the deadline.
    pub(crate) fn connect(&self, builder: Builder, servers: &[SocketAddr]) -> io::Result<(ReliableRequester, Record)> {
        Record::connect(builder.deadline(self.deadline.unwrap_or(Duration::MAX)), servers)
    }

    /// All addresses of all servers, in their order. The system's own lookup knows no deadline: when that is over, it is left
    /// behind on its thread.
    #[expect(clippy::disallowed_methods, reason = "nothing else bounds getaddrinfo")]
    pub(crate) fn addresses(&self, Servers(servers): &Servers, default_port: u16) -> Outcome<Vec<SocketAddr>> {
        let (begun, mut all) = (Instant::now(), Vec::new());
        for server in servers {
            let ((sender, answer), asked) = (mpsc::channel(), server.clone());
            let unresolved =
                || format!("no address for {:?}: nothing from the name server within the deadline", server.host);
            thread::spawn(move || sender.send(asked.addresses(default_port)));
            let left = self.deadline.map(|deadline| deadline.saturating_sub(begun.elapsed()));
            let found = match left {
                Some(left) => answer.recv_timeout(left).map_err(|_| io::Error::other(unresolved()))?,
                None => answer.recv()?,
            };
            all.extend(found?);
        }
        Ok(all)
    }
}

/// What happened in a request without a reply, for people.
pub(crate) fn told(error: &(dyn Error + Send + Sync + 'static)) -> io::Result<()> {
    error.downcast_ref().map_or(Ok(()), |Unanswered { error, paths, .. }: &Unanswered| {
        write!(io::stderr(), "{}{paths}", error.timeline())
    })
}

/// The members of an object; `None` for what was told already.
pub(crate) fn failed_as_json(error: &(dyn Error + Send + Sync + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<io::Error>().filter(|error| error.kind() != io::ErrorKind::BrokenPipe) {
        return Some(format!("\"error\":\"io\",\"message\":{}", json::string(error.to_string().as_bytes())));
    }
    let Unanswered { error: failed, sent, .. } = error.downcast_ref()?;
    let execution = match failed.execution() {
        Execution::NotSent => "not_sent",
        Execution::Refused => "refused",
        Execution::Unknown => "unknown",
    };
    let (kind, transmissions) = (json::failure(failed.failure()), failed.transmissions());
    let (sent, elapsed) = (json::sent_ms(sent.iter().copied()), json::ms(failed.elapsed()));
    Some(format!(
        "\"error\":\"{kind}\",\"execution\":\"{execution}\",\"transmissions\":{transmissions},\"sent_ms\":{sent},\
         \"elapsed_ms\":{elapsed:?}"
    ))
}

/// One server, or several between commas, of which any may answer.
#[derive(Clone)]
pub(crate) struct Servers(Vec<Server>);

impl FromStr for Servers {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// HOST, HOST:PORT, an IPv6 address, or [IPV6]:PORT.
#[derive(Clone)]
struct Server {
    host: String,
    port: Option<u16>,
}

impl Server {
    /// As the system prefers them, but the families in turn (RFC 8305 §4): one that leads nowhere costs one wait then.
    fn addresses(&self, default_port: u16) -> io::Result<Vec<SocketAddr>> {
        let Self { host, port } = self;
        let unresolved = |error| io::Error::other(format!("no address for {host:?}: {error}"));
        let all = (host.as_str(), port.unwrap_or(default_port)).to_socket_addrs().map_err(unresolved)?;
        let mut of_family = [0, 0];
        let mut ranked: Vec<_> = all
            .map(|address| {
                let rank = &mut of_family[usize::from(address.is_ipv6())];
                *rank += 1;
                (*rank, address)
            })
            .collect();
        ranked.sort_by_key(|&(rank, _)| rank);
        Ok(ranked.into_iter().map(|(_, address)| address).collect())
    }
}

impl FromStr for Server {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // With a zone or without.
        let is_ipv6 = |text: &str| text.split('%').next().is_some_and(|it| it.parse::<Ipv6Addr>().is_ok());
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) if is_ipv6(host) => (host, None),
            Some((host, port)) if is_ipv6(host) => {
                (host, Some(port.strip_prefix(':').ok_or("no \":\" before the port")?))
            }
            _ if is_ipv6(text) => (text, None),
            _ => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() || host.contains(|char: char| char.is_whitespace() || "[]".contains(char)) {
            return Err("no host: a server is HOST, HOST:PORT or [IPV6]:PORT");
        }
        // Other programs take a leading zero for octal.
        let number = |port: &str| port.parse().ok().filter(|_| port.starts_with(|digit| ('1'..='9').contains(&digit)));
        let port = port.map(|port| number(port).ok_or("a port is 1 to 65535, without a zero before it")).transpose()?;
        Ok(Self { host: host.to_owned(), port })
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|char: char| char.is_ascii_alphabetic()).unwrap_or(text.len()));
    let unit = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("min", 60.0)].into_iter().find(|(name, _)| *name == unit);
    let (_, seconds) = unit.ok_or("a duration has a unit: 500ms, 2s, 1min")?;
    let number: f64 = number.parse().map_err(|error| format!("{error}"))?;
    let duration = Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("nothing can be sent in no time".to_owned()) } else { Ok(duration) }
}

/// A small faithful server on loopback, so that the example runs without a network.
#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a thread with a plain socket")]
pub(crate) fn responder(
    respond: impl Fn(&[u8], SocketAddr) -> Option<Vec<u8>> + Send + 'static,
) -> io::Result<SocketAddr> {
    let socket = net::UdpSocket::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            // Whoever does not get the reply asks again.
            respond(&buffer[..len], from).map(|reply| socket.send_to(&reply, from));
        }
    });
    Ok(address)
}
