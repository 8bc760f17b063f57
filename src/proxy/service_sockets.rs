use alloc::collections::BTreeSet;
use core::mem;
use core::num::NonZeroUsize;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::net::UdpSocket;

use super::ports::GivenUpPorts;
use super::service_socket::{ServiceSocket, identity};
use super::unserved::{NoSession, Reason};
use super::upstream::Upstream;
use super::{fragmentation, sockets};
use crate::time::Timestamp;

/// Makes the sockets of sessions, each on a port to which no late reply to another client may come.
#[derive(Debug)]
pub(super) struct ServiceSockets {
    pub(super) upstream: Upstream,
    given_up: GivenUpPorts,
    /// The own addresses of those that are open.
    open: BTreeSet<SocketAddr>,
    /// Replies that the system dropped at those that are closed.
    pub(super) kernel_dropped: u64,
    any_port: bool,
    do_not_fragment: bool,
    /// The last time, the system had no port to offer but known ones.
    has_few_ports: bool,
    /// Capacity for unread replies to ask for, in bytes; `None` if the system gives as much by default.
    receive_buffer: Option<usize>,
}

impl ServiceSockets {
    /// # Errors
    ///
    /// If the system has no socket at all.
    pub(super) fn new(
        upstream: Upstream,
        any_port: bool,
        do_not_fragment: bool,
        max_sessions: NonZeroUsize,
    ) -> io::Result<Self> {
        let receive_buffer = sockets::sessions_buffer(upstream.current(), max_sessions)?;
        let (given_up, open) = (GivenUpPorts::default(), BTreeSet::new());
        Ok(Self {
            upstream,
            given_up,
            open,
            kernel_dropped: 0,
            any_port,
            do_not_fragment,
            has_few_ports: false,
            receive_buffer,
        })
    }

    /// A socket to the current address of the service, or to the next one that can be reached.
    pub(super) fn open(&mut self, now: Timestamp) -> Result<ServiceSocket, NoSession> {
        let mut first = None;
        let addresses: Vec<SocketAddr> = self.upstream.in_turn().collect();
        for address in addresses {
            let opened = self.bound(address, now);
            match opened.and_then(|socket| ServiceSocket::towards(socket, address, self.any_port)) {
                Ok(socket) => {
                    if first.is_some() {
                        self.upstream.on_reached(address);
                    }
                    self.open.insert(socket.own);
                    return Ok(socket);
                }
                Err(error) if error.reason == Reason::Unreachable => first = first.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        self.upstream.on_expired();
        Err(first.unwrap_or_else(NoSession::no_port))
    }

    /// A session's socket is about to be closed; `owed_since` is when it sent last, if it was owed a reply.
    pub(super) fn on_closing(&mut self, socket: &ServiceSocket, now: Timestamp, owed_since: Option<Timestamp>) {
        self.open.remove(&socket.own);
        self.kernel_dropped += socket.kernel_dropped();
        self.given_up.insert(socket.own.port(), now, owed_since);
    }

    /// Whether an address is that of a session's socket: such a client is the proxy itself.
    pub(super) fn has(&self, address: SocketAddr) -> bool {
        let address = identity(address);
        let bound_to_all = |all: IpAddr| self.open.contains(&SocketAddr::new(all, address.port()));
        let everywhere = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()].into_iter().any(bound_to_all);
        self.open.contains(&address) || everywhere && sockets::is_of_this_host(address)
    }

    /// A socket on a port that can serve: one that has rested, else one that was not given up lately, else one whose session
    /// was owed nothing. Where the system has few ports, it has none or offers the same ones over and over, and takes long
    /// for it: then the last kind comes before it is asked.
    fn bound(&mut self, service: SocketAddr, now: Timestamp) -> Result<UdpSocket, NoSession> {
        let before = mem::replace(&mut self.has_few_ports, false);
        let take = |given_up: &mut GivenUpPorts| {
            given_up.take_rested(now).or_else(|| if before { given_up.take_settled() } else { None })
        };
        if let Some(socket) = self.bound_again(service, take) {
            self.has_few_ports = before;
            return Ok(socket);
        }
        let few = match self.picked(service, A_FEW) {
            Err(few) if few.reason == Reason::NoPort => few,
            picked => return picked,
        };
        self.has_few_ports = true;
        match self.bound_again(service, GivenUpPorts::take_settled) {
            Some(socket) => Ok(socket),
            // It has none at all.
            None if few.error.raw_os_error().is_some() => Err(few),
            None => self.picked(service, MANY),
        }
    }

    /// A socket on a port that was given up, if another program has not got it since.
    fn bound_again(
        &mut self,
        service: SocketAddr,
        mut take: impl FnMut(&mut GivenUpPorts) -> Option<u16>,
    ) -> Option<UdpSocket> {
        for _ in 0..A_FEW {
            let port = take(&mut self.given_up)?;
            if let Ok(socket) = self.bound_to(service, port) {
                return Some(socket);
            }
        }
        None
    }

    /// A socket on a port that the system picks and that was not given up lately.
    fn picked(&self, service: SocketAddr, most: usize) -> Result<UdpSocket, NoSession> {
        for _ in 0..most {
            let socket = self.bound_to(service, 0)?;
            let port = socket.local_addr().map_err(NoSession::of_socket)?.port();
            if !self.given_up.contains(port) {
                return Ok(socket);
            }
        }
        Err(NoSession::no_port())
    }

    fn bound_to(&self, service: SocketAddr, port: u16) -> Result<UdpSocket, NoSession> {
        let socket = sockets::bound(service, port, self.receive_buffer).map_err(NoSession::of_socket)?;
        if self.do_not_fragment {
            fragmentation::forbid(&socket).map_err(NoSession::of_socket)?;
        }
        Ok(socket)
    }
}

/// Ports that are tried before the next kind of them.
const A_FEW: usize = 8;
/// Ports that are tried before a client is turned away.
const MANY: usize = 256;
