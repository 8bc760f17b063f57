//! Non-blocking sockets, and what their answers mean.

use core::num::NonZeroUsize;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use mio::net::UdpSocket;
use socket2::SockRef;

use crate::net::{allow_large_sends, any_address, classify, drain, uninterrupted};
use crate::transport::PathError;

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

/// A socket that receives from the service alone, on a port of its own.
pub(super) fn connected(upstream: SocketAddr, receive_buffer: Option<usize>) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(any_address(upstream))?;
    if let Some(bytes) = receive_buffer {
        let _ = SockRef::from(&socket).set_recv_buffer_size(bytes);
    }
    allow_large_sends(SockRef::from(&socket))?;
    connect(&socket, upstream)?;
    Ok(socket)
}

/// Whether what is sent to an address reaches the socket that is bound to `local`. What is sent to a wildcard reaches this
/// host, and a socket that is bound to one has every address of the host; `[::]` has those of IPv4, too.
pub(super) fn receives(local: SocketAddr, to: SocketAddr) -> bool {
    let (own, asked) = (local.ip().to_canonical(), to.ip().to_canonical());
    let family = own.is_ipv4() == asked.is_ipv4() || own == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let everywhere = own.is_unspecified() && is_of_this_host(to);
    let anywhere = asked.is_unspecified() && (own.is_unspecified() || own.is_loopback());
    local.port() == to.port() && family && (own == asked || everywhere || anywhere)
}

/// No socket can be bound to another host's address.
fn is_of_this_host(address: SocketAddr) -> bool {
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
    pub(super) from_client: Call<(usize, SocketAddr)>,
    pub(super) from_service: Call<usize>,
}

type Call<T> = fn(&UdpSocket, &mut [u8]) -> io::Result<T>;

pub(super) const SOUND: Receive = Receive { from_client: UdpSocket::recv_from, from_service: UdpSocket::recv };

/// What a socket had.
pub(super) enum Read<T> {
    Datagram(T),
    /// Nothing, until the next event.
    Empty,
    /// An error of something sent earlier. Datagrams may be queued behind it.
    Error,
}

pub(super) fn read<T>(mut receive: impl FnMut() -> io::Result<T>) -> Read<T> {
    match uninterrupted(&mut receive) {
        Ok(datagram) => Read::Datagram(datagram),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Empty,
        Err(_) => Read::Error,
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

/// An error may belong to an earlier datagram, and this one then was not sent: so it is re-issued once, at once.
pub(super) fn send(mut attempt: impl FnMut() -> io::Result<usize>) -> Sent {
    match uninterrupted(&mut attempt) {
        Ok(_) => Sent::Passed,
        Err(_) => match uninterrupted(&mut attempt) {
            Ok(_) => Sent::PassedAfterError,
            Err(error) if matches!(classify(&error), PathError::TooBig { .. }) => Sent::TooBig,
            Err(_) => Sent::Failed,
        },
    }
}

/// Whether a socket more might be had if there were one less: the system has run out of descriptors, memory or
/// ports. Not if the service cannot be reached at all.
pub(super) fn exhausted(error: &io::Error) -> bool {
    let no_port = error.kind() == io::ErrorKind::AddrNotAvailable; // as macOS and the BSDs say it
    no_port || matches!(classify(error), PathError::NoBuffers | PathError::Other(_))
}

fn connect(socket: &UdpSocket, peer: SocketAddr) -> io::Result<()> {
    socket.connect(peer)?;
    // What came before that is in the queue, from any sender.
    drain(|| matches!(read(|| socket.recv(&mut [])), Read::Empty));
    Ok(())
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

    #[test]
    fn only_a_shortage_is_worth_a_session() {
        for (kind, worth) in [
            (io::ErrorKind::OutOfMemory, true),
            (io::ErrorKind::AddrInUse, true),
            (io::ErrorKind::NetworkUnreachable, false),
            (io::ErrorKind::PermissionDenied, false),
        ] {
            assert_eq!(exhausted(&kind.into()), worth, "{kind:?}");
        }
    }
}
