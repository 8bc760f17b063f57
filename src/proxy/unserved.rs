use std::io;

use crate::net::classify;
use crate::transport::PathError;

/// Datagrams of new clients that got no session, by the reason.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Unserved {
    /// The system has no port left, or only such as a late reply to another client may still come to.
    pub no_port: u64,
    /// The system has no file descriptor or no memory left for a socket.
    pub no_socket: u64,
    /// None of the addresses of the service can be reached from here: there is no route, or the system forbids it.
    pub unreachable: u64,
    /// The client was a socket of the proxy itself, which had become its own service.
    pub own: u64,
}

impl Unserved {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        let Self { no_port, no_socket, unreachable, own } = *self;
        no_port + no_socket + unreachable + own
    }

    pub(super) fn count(&mut self, reason: Reason) {
        match reason {
            Reason::NoPort => self.no_port += 1,
            Reason::NoSocket => self.no_socket += 1,
            Reason::Unreachable => self.unreachable += 1,
            Reason::Own => self.own += 1,
        }
    }
}

/// Why a client gets no session.
#[derive(Debug)]
pub(super) struct NoSession {
    pub(super) reason: Reason,
    pub(super) error: io::Error,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reason {
    NoPort,
    NoSocket,
    Unreachable,
    Own,
}

impl NoSession {
    pub(super) fn no_port() -> Self {
        let error =
            "no local port is free of late replies to other clients: more of them, or fewer clients, are needed";
        Self { reason: Reason::NoPort, error: io::Error::new(io::ErrorKind::AddrInUse, error) }
    }

    pub(super) fn own() -> Self {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "the proxy has become its own service");
        Self { reason: Reason::Own, error }
    }

    /// Of a socket that could not be made, or not be bound.
    pub(super) fn of_socket(error: io::Error) -> Self {
        let no_port = matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable);
        let no_family = !no_port && classify(&error) == PathError::Unreachable;
        let reason = match () {
            () if no_port => Reason::NoPort,
            () if no_family => Reason::Unreachable,
            () => Reason::NoSocket,
        };
        Self { reason, error }
    }

    /// Of a socket that could not be connected, or not be watched.
    pub(super) fn of_service(error: io::Error) -> Self {
        let reason = match classify(&error) {
            PathError::NoBuffers => Reason::NoSocket,
            _ => Reason::Unreachable,
        };
        Self { reason, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_socket_lacks_is_told_from_what_the_service_lacks() {
        use io::ErrorKind::{AddrInUse, AddrNotAvailable, NetworkUnreachable, OutOfMemory, PermissionDenied};
        let made = |kind: io::ErrorKind| NoSession::of_socket(kind.into()).reason;
        let connected = |kind: io::ErrorKind| NoSession::of_service(kind.into()).reason;
        assert_eq!([AddrInUse, AddrNotAvailable].map(made), [Reason::NoPort; 2]);
        assert_eq!([OutOfMemory, io::ErrorKind::Other].map(made), [Reason::NoSocket; 2]);
        assert_eq!(connected(OutOfMemory), Reason::NoSocket);
        assert_eq!([NetworkUnreachable, PermissionDenied, AddrNotAvailable].map(connected), [Reason::Unreachable; 3]);
    }

    #[test]
    fn each_reason_has_its_count() {
        let mut unserved = Unserved::default();
        for (n, reason) in (1..).zip([Reason::NoPort, Reason::NoSocket, Reason::Unreachable, Reason::Own]) {
            for _ in 0..n {
                unserved.count(reason);
            }
        }
        assert_eq!(unserved, Unserved { no_port: 1, no_socket: 2, unreachable: 3, own: 4 });
        assert_eq!(unserved.total(), 10);
    }
}
