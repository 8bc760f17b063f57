//! What every example needs: the hosts and the port of the book, lines on standard output, an exit code.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;

/// What an example comes to; fit to cross threads.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// The book's port.
pub(crate) const PORT: u16 = 1060;

/// Where a role listens or whom it asks, as the book's programs take it.
#[derive(clap::Args)]
pub(crate) struct Endpoint {
    /// Name or address; "" and 0.0.0.0 mean every interface
    pub(crate) host: String,
    /// UDP port
    #[arg(short, long, default_value_t = PORT)]
    pub(crate) port: u16,
}

impl Endpoint {
    /// IPv4 first: a name may have addresses of both kinds, and Python's sockets take that one.
    pub(crate) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let host = match self.host.as_str() {
            "" => "0.0.0.0",
            "<broadcast>" => "255.255.255.255",
            host => host,
        };
        let unresolved = |error| io::Error::other(format!("no address for {host:?}: {error}"));
        let mut addresses: Vec<_> = (host, self.port).to_socket_addrs().map_err(unresolved)?.collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        Ok(addresses)
    }
}

/// Prints a result. The error may be a closed pipe, which [`exit_code`] takes for a quiet end.
pub(crate) fn say(line: impl Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// 0 when done, 1 when the thing failed; wrong usage ended in `clap` already, with 2.
pub(crate) fn exit_code(outcome: Outcome) -> ExitCode {
    match outcome {
        Err(error) if !is_closed_pipe(&*error) => {
            // Nobody is left to tell if this fails too.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
