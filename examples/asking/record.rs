//! When each transmission of a request left, and to whom: for its failure. A timeline has no room for very many.

use std::error::Error;
use std::fmt::{self, Display, Write};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use udp_retry::requester::Builder;
use udp_retry::transaction::Event;
use udp_retry::transport::PathIndex;
use udp_retry::{ReliableRequester, RequestError};

/// Of the one request of a requester.
pub(crate) struct Record {
    sent: Arc<Mutex<Vec<Duration>>>,
    servers: Vec<SocketAddr>,
}

impl Record {
    /// Connects to all of these servers, of which any may answer.
    pub(crate) fn connect(builder: Builder, servers: &[SocketAddr]) -> io::Result<(ReliableRequester, Self)> {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let times = sent.clone();
        let builder = builder.observer(move |at, event| {
            if let Event::Transmitted { .. } = event {
                times.lock().unwrap_or_else(PoisonError::into_inner).push(at);
            }
        });
        // Addresses, as names might be looked up again, which knows no deadline.
        let requester = builder.connect_any(servers.iter().map(SocketAddr::to_string))?;
        let servers = (0..).map_while(|path| requester.transport().address(PathIndex::new(path))).collect();
        Ok((requester, Self { sent, servers }))
    }

    /// Where a path leads.
    pub(crate) fn server(&self, path: PathIndex) -> Result<SocketAddr, &'static str> {
        self.servers.get(path.number() as usize).copied().ok_or("no such path")
    }

    /// The failure, with all that is known of it.
    pub(crate) fn of(&self, error: RequestError) -> Unanswered {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let first = sent.first().copied().unwrap_or_default();
        let sent = sent.iter().map(|at| at.saturating_sub(first)).collect();
        let reports = error.paths().iter().filter(|_| self.servers.len() > 1);
        let paths = reports.fold(String::new(), |mut paths, report| {
            let last = report.last_error.map_or_else(String::new, |error| format!(", last heard: {error}"));
            let server = self.server(report.path).map_or_else(str::to_owned, |server| server.to_string());
            let _ = writeln!(paths, "{}: {server}, transmissions: {}{last}", report.path, report.transmissions);
            paths
        });
        Unanswered { error, sent, paths }
    }
}

/// A request without a reply.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub(crate) error: RequestError,
    /// Counted from the first transmission.
    pub(crate) sent: Vec<Duration>,
    /// A line for each of several servers.
    pub(crate) paths: String,
}

impl Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Unanswered {}
