use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::waiting::{catch_up, wait};
use super::world::{Key, Read};
use super::{SimError, SimNet};
use crate::size::{IpFamily, Plpmtu, Pmtu};
use crate::time::Timestamp;
use crate::transport::{Fragmentation, Incoming, NoEntropy, PathError, Received, Renewal, Renewed, Route, Transport};

/// An unconnected socket in a [`SimNet`], a server's or an event loop's: the time of the whole network moves while it
/// waits.
///
/// It behaves as a [`net::UnconnectedUdp`](crate::net::UnconnectedUdp) does on Linux, so that what runs over one runs over
/// the other:
///
/// - it receives from any sender, and what it receives comes with a [`Route`]; to send to that route is to answer;
/// - no refusal and no other error of an earlier datagram is ever reported to it, though its host learns path MTUs;
/// - bound to a wildcard, it reports the very address that was asked ([`Route::local`]), and an answer leaves from there;
///   sent to a route [of its own making](Self::route_to), an answer leaves from the host's first address, which a client
///   that asked another one does not receive;
/// - bound to `[::]`, it has the IPv4 addresses too, and shows them as IPv6 does (`::ffff:10.0.0.1`);
/// - its receive buffer is bounded, and its port stays for good. Dropping it closes it; one that was
///   [stopped](SimNet::stop) sends nothing, receives nothing and stays closed.
///
/// A program that waits in `recv` moves the network by itself. One that is to run beside others, as a server beside its
/// client, is called whenever something has arrived: [`SimNet::run_in_turns`].
///
/// ```
/// use udp_retry::Seed;
/// use udp_retry::sim::SimNet;
/// use udp_retry::transport::{Incoming, PathIndex, Transport};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let net = SimNet::new(Seed::new(1));
/// let (client, host) = (net.host("10.0.0.1".parse()?)?, net.host("10.0.0.2".parse()?)?);
/// net.address(host, "10.0.0.3".parse()?)?;
/// let mut server = net.bind(host, "0.0.0.0:1060".parse()?)?;
///
/// let mut client = net.connect(client, "10.0.0.3:1060".parse()?)?;
/// client.send(PathIndex::FIRST, b"ping")?;
/// let (mut buffer, now) = ([0; 512], net.now());
/// let Incoming::Datagram(asked) = server.recv(&mut buffer, now, now) else { panic!() };
/// assert_eq!(asked.from.local, "10.0.0.3:1060".parse()?);
/// server.send(asked.from, &buffer[..asked.len])?;
/// assert!(matches!(client.recv(&mut buffer, now, now), Incoming::Datagram(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SimUnconnected {
    net: SimNet,
    end: End,
    /// Within a turn nothing happens besides: what is due by now comes after it.
    in_turn: bool,
    open: bool,
}

/// All of a [`SimUnconnected`] but the network.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) socket: Key,
    /// As the host knows it, whatever a NAT makes of it.
    local: SocketAddr,
    late: Duration,
    /// The datagrams that were read.
    pub(super) reads: u64,
}

impl SimUnconnected {
    pub(super) fn new(net: SimNet, socket: Key, local: SocketAddr) -> Self {
        Self { net, end: End { socket, local, late: Duration::ZERO, reads: 0 }, in_turn: false, open: true }
    }

    /// For the time of a turn.
    pub(super) fn in_turn(net: SimNet, end: End) -> Self {
        Self { net, end, in_turn: true, open: true }
    }

    /// Leaves the socket open.
    pub(super) fn into_end(mut self) -> End {
        self.open = false;
        self.end
    }

    /// Makes every wait in vain end this much too late, as on a busy machine. Zero by default.
    #[must_use]
    pub fn late_by(mut self, late: Duration) -> Self {
        self.end.late = late;
        self
    }

    /// Sets the capacity of the receive buffer, in bytes; a datagram takes its length and 768. 212,992 by default, as
    /// on Linux.
    #[must_use]
    pub fn with_receive_buffer(self, bytes: usize) -> Self {
        self.net.world.borrow_mut().set_receive_buffer(self.end.socket, bytes);
        self
    }

    /// The own address, with the port that was picked; the wildcard if it is bound to that. A NAT may show another one to
    /// others.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.end.local
    }

    /// The route to an address that has not asked before; if the socket has every address, the host picks the source.
    #[must_use]
    pub fn route_to(&self, remote: SocketAddr) -> Route {
        Route::new(remote, self.end.local)
    }

    /// Chooses whether datagrams may be fragmented. [`Fragmentation::ByEstimate`] by default, as on Linux; see
    /// [`SimNet::report`] for what each mode makes of routers' reports.
    pub fn set_fragmentation(&mut self, mode: Fragmentation) {
        self.net.world.borrow_mut().set_fragmentation(self.end.socket, mode);
    }

    /// What the own host knows of the path to an address, in IP packet bytes; `None` if nothing limits it as far
    /// as is known.
    #[must_use]
    pub fn kernel_pmtu_to(&self, remote: SocketAddr) -> Option<Pmtu> {
        self.net.world.borrow().kernel_pmtu(self.end.socket, unmapped(remote).ip())
    }

    /// Joins a multicast group, until it [leaves](Self::leave) or is dropped. Every unconnected socket of the host that is
    /// bound to the wildcard receives then what is sent to the group and its port (Linux).
    ///
    /// # Errors
    ///
    /// [`SimError::NotAGroup`]
    pub fn join(&mut self, group: IpAddr) -> Result<(), SimError> {
        self.net.world.borrow_mut().join_socket(self.end.socket, group)
    }

    /// Leaves a group; nothing happens if it has not joined.
    pub fn leave(&mut self, group: IpAddr) {
        self.net.world.borrow_mut().leave_socket(self.end.socket, group);
    }

    /// The network.
    #[must_use]
    pub fn net(&self) -> &SimNet {
        &self.net
    }

    pub(super) fn allow_broadcast(&self) {
        self.net.world.borrow_mut().allow_broadcast(self.end.socket);
    }

    fn catch_up(&self) {
        if !self.in_turn {
            catch_up(&self.net);
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Option<Incoming<Route>> {
        let read = self.net.world.borrow_mut().receive(self.end.socket, buffer)?;
        Some(match read {
            Read::Error(error, quoted) => Incoming::PathError { path: None, error, quoted },
            Read::Datagram { at, from, to, len, actual } => {
                self.end.reads += 1;
                let own = SocketAddr::new(to.ip(), self.end.local.port());
                let as_seen = |address| if self.end.local.is_ipv6() { mapped(address) } else { address };
                Incoming::Datagram(Received::new(Route::new(as_seen(from), as_seen(own)), len, actual, at))
            }
        })
    }
}

impl Transport for SimUnconnected {
    type Peer = Route;

    fn now(&self) -> Timestamp {
        self.net.now()
    }

    fn send(&mut self, to: Route, datagram: &[u8]) -> Result<(), PathError> {
        self.catch_up();
        let (local, remote) = (unmapped(to.local), unmapped(to.remote));
        let sent = self.net.world.borrow_mut().send_to(self.end.socket, local, remote, datagram);
        self.net.leave_if_over();
        sent
    }

    fn recv(&mut self, buffer: &mut [u8], now: Timestamp, until: Timestamp) -> Incoming<Route> {
        if self.in_turn {
            let found = self.read(buffer);
            self.net.leave_if_over();
            if let Some(incoming) = found {
                return incoming;
            }
            if until <= now {
                return Incoming::TimeUp(self.now());
            }
        }
        let (net, late) = (self.net.clone(), self.end.late);
        wait(&net, until, late, || self.read(buffer))
    }

    /// Its clients know it by its port.
    fn renew(&mut self, _path: Route, _need: Renewal) -> Result<Renewed, PathError> {
        Err(PathError::Unsupported)
    }

    /// From the seed of the network, so that a run can be repeated; other bytes at each call.
    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        self.net.world.borrow_mut().entropy(key);
        Ok(())
    }

    fn max_plpmtu(&self, to: Route) -> Option<Plpmtu> {
        Some(IpFamily::of(to.remote.ip()).max_plpmtu())
    }
}

impl Drop for SimUnconnected {
    fn drop(&mut self) {
        if self.open {
            self.net.close(self.end.socket);
        }
    }
}

/// As a socket of IPv6 shows it.
fn mapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

/// As it goes over the network.
fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
