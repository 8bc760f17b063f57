//! What the examples of real protocols share: whom to ask, for how long, and how a failure is told.

use std::io::{self, Write};
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use udp_retry::RequestError;
use udp_retry::transaction::{Execution, Failure, OnUnreachable};

use super::json;
use super::support::{Outcome, exit_code, say};

/// How to ask, and how to tell what came of it.
#[derive(clap::Args)]
pub(crate) struct Manner {
    /// Give up a request after this long, such as 500ms or 2s [default: when its schedule ends]
    #[arg(long, value_name = "D", value_parser = duration, allow_hyphen_values = true)]
    deadline: Option<Duration>,
    /// Print one line of JSON, and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

impl Manner {
    /// For people only.
    pub(crate) fn tell(&self, line: impl std::fmt::Display) -> io::Result<()> {
        if self.json { Ok(()) } else { say(line) }
    }

    /// As `exit_code`, but a request without a reply tells what happened on the way.
    pub(crate) fn exit_code(&self, outcome: Outcome) -> ExitCode {
        let told = match &outcome {
            Ok(()) => Ok(()),
            Err(error) => match (error.downcast_ref::<RequestError>(), error.downcast_ref::<io::Error>()) {
                (Some(failed), _) if self.json => say(failed_as_json(failed)),
                (Some(failed), _) => write!(io::stderr(), "{}", failed.timeline()),
                (_, Some(error)) if self.json && error.kind() != io::ErrorKind::BrokenPipe => {
                    say(format_args!("{{\"error\":\"io\",\"message\":{}}}", json::string(error.to_string().as_bytes())))
                }
                _ => Ok(()),
            },
        };
        exit_code(told.map_err(Into::into).and(outcome))
    }
}

/// HOST, HOST:PORT, an IPv6 address, or [IPV6]:PORT.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Server {
    host: String,
    port: Option<u16>,
}

impl Server {
    /// The first address of each family, in the order that the system prefers.
    pub(crate) fn addresses(&self, default_port: u16) -> io::Result<Vec<SocketAddr>> {
        let Self { host, port } = self;
        let unresolved = |error| io::Error::other(format!("no address for {host:?}: {error}"));
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in (host.as_str(), port.unwrap_or(default_port)).to_socket_addrs().map_err(unresolved)? {
            if addresses.iter().all(|other| other.is_ipv4() != address.is_ipv4()) {
                addresses.push(address);
            }
        }
        Ok(addresses)
    }
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or("a bracket is missing")?;
                if !is_ipv6(host) {
                    return Err("between brackets goes an IPv6 address".to_owned());
                }
                (
                    host,
                    if port.is_empty() {
                        None
                    } else {
                        Some(port.strip_prefix(':').ok_or("no colon before the port")?)
                    },
                )
            }
            None if is_ipv6(text) => (text, None),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err("no host".to_owned());
        }
        let number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten();
        let port = port.map(|port| number(port).filter(|&port| port > 0).ok_or("a port is 1 to 65535")).transpose()?;
        Ok(Self { host: host.to_owned(), port })
    }
}

/// With a zone or without.
fn is_ipv6(text: &str) -> bool {
    text.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// What ends a request before its schedule does.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) deadline: Duration,
    pub(crate) on_unreachable: OnUnreachable,
}

/// Asks one address after the other, until one replies.
pub(crate) fn first_to_reply<T>(
    servers: &[SocketAddr],
    manner: &Manner,
    mut ask: impl FnMut(SocketAddr, Limits) -> Outcome<T>,
) -> Outcome<T> {
    let deadline = manner.deadline.unwrap_or(Duration::MAX);
    let (last, others) = servers.split_last().ok_or("the name has no address")?;
    for &server in others {
        // Where there is another address to try, a refusal need not be waited out.
        match ask(server, Limits { deadline, on_unreachable: OnUnreachable::FailFast }) {
            Ok(reply) => return Ok(reply),
            // A story that nobody reads must not stop the request.
            Err(error) if !manner.json => drop(writeln!(io::stderr(), "{server}: {error}; trying another address")),
            Err(_) => {}
        }
    }
    ask(*last, Limits { deadline, on_unreachable: OnUnreachable::KeepTrying })
}

fn failed_as_json(failed: &RequestError) -> String {
    let kind = match failed.failure() {
        Failure::Refused => "refused",
        Failure::TimedOut(_) => "timed_out",
        Failure::TooLarge { .. } => "too_large",
        Failure::Truncated { .. } => "truncated",
        Failure::Unreachable => "unreachable",
        _ => "io",
    };
    let execution = match failed.execution() {
        Execution::NotSent => "not_sent",
        Execution::Refused => "refused",
        Execution::Unknown => "unknown",
    };
    let sent: Vec<_> = failed.timeline().transmissions().map(|at| format!("{:?}", ms(at))).collect();
    format!(
        "{{\"error\":\"{kind}\",\"execution\":\"{execution}\",\"transmissions\":{},\"sent_ms\":[{}],\"elapsed_ms\":{:?}}}",
        failed.transmissions(),
        sent.join(","),
        ms(failed.elapsed())
    )
}

/// To a microsecond; prints with `{:?}` as JSON has it, never without a digit behind the point.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|char: char| char.is_ascii_alphabetic()).unwrap_or(text.len()));
    let seconds = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        _ => return Err("a duration has a unit: 500ms, 2s, 1min".to_owned()),
    };
    let number: f64 = number.parse().map_err(|error| format!("{error}"))?;
    let duration = Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("nothing can be sent in no time".to_owned()) } else { Ok(duration) }
}
