//! Non-blocking sockets, and what their answers mean.

use core::num::NonZeroUsize;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use mio::net::UdpSocket;
use socket2::SockRef;

use super::listener::Listener;
use super::service_socket::{Reply, ServiceSocket};
use crate::net::{allow_large_sends, any_address, classify, drain, uninterrupted};
use crate::transport::{PathError, Route};

/// Listens, with as large a receive buffer as the system grants, up to 4 MiB.
pub(super) fn listening(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    let options = SockRef::from(&socket);
    if options.recv_buffer_size()? < LISTENERS_BUFFER {
        // A smaller buffer is no reason not to run.
        let _ = options.set_recv_buffer_size(LISTENERS_BUFFER);
    }
    allow_large_sends(SockRef::from(&socket))?;
    Ok(socket)
}

/// A socket for a session, on this port of its own; 0 lets the system pick one.
pub(super) fn bound(service: SocketAddr, port: u16, receive_buffer: Option<usize>) -> io::Result<UdpSocket> {
    let mut any = any_address(service);
    any.set_port(port);
    let socket = UdpSocket::bind(any)?;
    if let Some(bytes) = receive_buffer {
        let _ = SockRef::from(&socket).set_recv_buffer_size(bytes);
    }
    allow_large_sends(SockRef::from(&socket))?;
    Ok(socket)
}

/// Whether the system has a socket for a client: its own error otherwise, with what it was wanted for.
pub(super) fn try_one(upstream: SocketAddr) -> io::Result<()> {
    let wanted = |error: io::Error| io::Error::new(error.kind(), format!("no socket for a single client: {error}"));
    UdpSocket::bind(any_address(upstream)).map(drop).map_err(wanted)
}

/// From now on it receives from this address alone.
pub(super) fn connect(socket: &UdpSocket, peer: SocketAddr) -> io::Result<()> {
    socket.connect(peer)?;
    // What came before that is in the queue, from any sender.
    drain(|| matches!(read(|| socket.recv(&mut [])), Read::Empty));
    Ok(())
}

/// Whether what is sent to an address reaches the socket that is bound to `local`. What is sent to a wildcard reaches this
/// host, and a socket that is bound to one has every address of the host; `[::]` has those of IPv4, too.
pub(super) fn receives(local: SocketAddr, to: SocketAddr) -> bool {
    // The rest may cost a system call.
    if local.port() != to.port() {
        return false;
    }
    let (own, asked) = (local.ip().to_canonical(), to.ip().to_canonical());
    let family = own.is_ipv4() == asked.is_ipv4() || own == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let everywhere = own.is_unspecified() && is_of_this_host(to);
    let anywhere = asked.is_unspecified() && (own.is_unspecified() || own.is_loopback());
    family && (own == asked && is_same_link(local, to) || everywhere || anywhere)
}

/// Each interface may have the same link-local address.
fn is_same_link(one: SocketAddr, other: SocketAddr) -> bool {
    match (one, other) {
        (SocketAddr::V6(one), SocketAddr::V6(other)) => {
            let scopes = [one.scope_id(), other.scope_id()];
            scopes.contains(&0) || one.scope_id() == other.scope_id()
        }
        _ => true,
    }
}

/// No socket can be bound to another host's address.
pub(super) fn is_of_this_host(address: SocketAddr) -> bool {
    let mut any_port = address;
    any_port.set_port(0);
    UdpSocket::bind(any_port).is_ok()
}

/// The receive buffer that each session asks for, if the system's default is smaller: all sessions together stay
/// bounded.
pub(super) fn sessions_buffer(upstream: SocketAddr, max_sessions: NonZeroUsize) -> io::Result<Option<usize>> {
    let default = SockRef::from(&UdpSocket::bind(any_address(upstream))?).recv_buffer_size()?;
    let bytes = (ALL_SESSIONS_BUFFERS / max_sessions).min(LISTENERS_BUFFER);
    Ok((bytes > default).then_some(bytes))
}

/// How sockets are read, as no real one fails for good when a test needs it.
pub(super) struct Receive {
    pub(super) from_client: Call<Listener, (usize, Route)>,
    pub(super) from_service: Call<ServiceSocket, Reply>,
}

type Call<S, T> = fn(&S, &mut [u8]) -> io::Result<T>;

pub(super) const SOUND: Receive = Receive { from_client: Listener::receive, from_service: ServiceSocket::receive };

/// What a socket had.
pub(super) enum Read<T> {
    Datagram(T),
    /// Nothing, until the next event.
    Empty,
    /// An error of something sent earlier. Datagrams may be queued behind it.
    Error(io::Error),
}

pub(super) fn read<T>(mut receive: impl FnMut() -> io::Result<T>) -> Read<T> {
    match uninterrupted(&mut receive) {
        Ok(datagram) => Read::Datagram(datagram),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Empty,
        Err(error) => Read::Error(error),
    }
}

/// What became of a datagram that was to leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    Passed,
    /// It has left, after the system had reported an error of an earlier one instead.
    PassedAfterError,
    /// The system did not take it, possibly for a full queue: to wait until it does would delay all that follow.
    Failed,
    /// It exceeds what a packet can be here (`EMSGSIZE`).
    TooBig,
    /// There is no session any more to send it from.
    Nowhere,
}

impl Sent {
    pub(super) const fn has_left(self) -> bool {
        matches!(self, Self::Passed | Self::PassedAfterError)
    }
}

/// An error may belong to an earlier datagram, and this one then was not sent: so it is re-issued once, at once.
pub(super) fn send(attempt: impl FnMut() -> io::Result<usize>) -> Sent {
    send_reporting(attempt, |_| ())
}

/// As [`send`], and shows the errors.
pub(super) fn send_reporting(
    mut attempt: impl FnMut() -> io::Result<usize>,
    mut report: impl FnMut(&io::Error),
) -> Sent {
    match uninterrupted(&mut attempt).inspect_err(&mut report) {
        Ok(_) => Sent::Passed,
        Err(_) => match uninterrupted(&mut attempt).inspect_err(report) {
            Ok(_) => Sent::PassedAfterError,
            Err(error) if matches!(classify(&error), PathError::TooBig { .. }) => Sent::TooBig,
            Err(_) => Sent::Failed,
        },
    }
}

/// Whether an error is the word of the path or of the service that nothing gets through there.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    matches!(classify(error), PathError::Refused | PathError::Unreachable | PathError::Denied)
}

/// Bytes, as the system counts them, its own overhead included.
const LISTENERS_BUFFER: usize = 4 << 20;
const ALL_SESSIONS_BUFFERS: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers by the list, and shows what was left of it.
    fn calls<T>(
        mut answers: Vec<io::Result<usize>>,
        ask: impl FnOnce(&mut dyn FnMut() -> io::Result<usize>) -> T,
    ) -> (T, usize) {
        answers.reverse();
        let asked = ask(&mut || answers.pop().unwrap());
        (asked, answers.len())
    }

    #[test]
    fn a_send_is_reissued_once_and_interruptions_do_not_count() {
        let error = |kind: io::ErrorKind| Err(kind.into());
        use io::ErrorKind::{ConnectionRefused as Refused, Interrupted, WouldBlock};
        for (answers, sent) in [
            (vec![Ok(1)], Sent::Passed),
            (vec![error(Interrupted), Ok(1)], Sent::Passed),
            (vec![error(Refused), Ok(1)], Sent::PassedAfterError),
            (vec![error(Interrupted), error(Refused), error(Interrupted), Ok(1)], Sent::PassedAfterError),
            (vec![error(Refused), error(Refused)], Sent::Failed),
            (vec![error(WouldBlock), error(WouldBlock)], Sent::Failed),
        ] {
            assert_eq!(calls(answers, |attempt| send(attempt)), (sent, 0));
        }
    }

    #[test]
    fn what_strangers_sent_before_connecting_is_not_heard() {
        let bound = || UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (socket, stranger, service) = (bound(), bound(), bound());
        for _ in 0..3 {
            stranger.send_to(b"forged", socket.local_addr().unwrap()).unwrap();
        }
        connect(&socket, service.local_addr().unwrap()).unwrap();
        assert!(matches!(read(|| socket.recv(&mut [0; 16])), Read::Empty));
        service.send_to(b"reply", socket.local_addr().unwrap()).unwrap();
        assert!(matches!(read(|| socket.recv(&mut [0; 16])), Read::Datagram(5)));
    }
}
