#[cfg(feature = "tokio")]
mod asking_apart;
mod connecting;
mod following;
mod names;
mod path;
mod play;
#[cfg(feature = "tokio")]
mod pollable;
mod sending;
mod settings;
mod waiting;

#[cfg(feature = "tokio")]
pub(crate) use asking_apart::{Answer, Question};
use std::io;
use std::net::SocketAddr;

use self::names::{Names, by_the_system, who};
use self::path::Path;
use self::play::Play;
use self::settings::{Settings, of_both};
use super::cancel::{Cancel, CancelHandle, Cancellable};
use super::clock::Clock;
use super::pmtu::Applied;
use super::seed::system_key;
use super::{ConnectedUdp, UNKNOWN};
use crate::servers::Paths;
use crate::size::{IpFamily, Plpmtu};
use crate::time::Timestamp;
use crate::transport::{Fragmentation, Incoming, NoEntropy, PathError, PathIndex, Renewal, Renewed, Transport};

/// A client's end with a path to each of several servers: a connected socket for each address, made when it is first asked.
///
/// The system shows each socket no datagram from any other sender and reports its refusals, and each has a port of its own.
/// All that [`ConnectedUdp`] does for one peer, this does for each; errors come with the path that they belong to. A path
/// keeps its number for good, in the order of the addresses.
///
/// # Waits
///
/// A request to one server costs the two system calls that it costs over a [`ConnectedUdp`]: its wait begins in `recv` of
/// that socket. That is so while no other is open, and when requests have gone to one path alone for a second, the latest wait
/// before the send ended with a datagram, and there is no cancel handle. Else a wait is for all sockets that are open, by
/// `ppoll`, and a request costs three.
///
/// So a request that has asked a second path, after a wait in vain, a refusal or at once, is waited for on all of them until
/// it ends, however long that takes; those that come after it, and are answered by the other path, are back at two calls a
/// second later. Nothing is lost on a path that is not waited for: it is looked at every second, and whenever a wait ends in
/// vain.
///
/// Of several that have something, each is read in turn, so none that is flooded keeps the others from being seen. A
/// socket that does nothing but fail is left alone for up to 0.1 s, while the others are waited for.
///
/// # Names
///
/// [`resolve`](Self::resolve) takes all addresses of names, of both families, and follows them when they change. A renewal,
/// which follows upon a request that was not answered, resolves the name of its path again if the last answer is older than a
/// second; if the path's address is not among its addresses any more, the path moves to a new one of them. On failure, or
/// without an address in the answer, the old addresses stay. See also [`resolve_every`](Self::resolve_every) and
/// [`resolve_again`](Self::resolve_again).
///
/// ```
/// use std::time::Duration;
/// use udp_retry::net::UdpPaths;
/// use udp_retry::transport::{Incoming, PathIndex, Transport};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let [mute, server] = [std::net::UdpSocket::bind("127.0.0.1:0")?, std::net::UdpSocket::bind("127.0.0.1:0")?];
/// let mut client = UdpPaths::connect(&[mute.local_addr()?, server.local_addr()?])?;
/// let (first, second) = (PathIndex::new(0), PathIndex::new(1));
/// client.send(first, b"ping")?;
/// client.send(second, b"ping")?;
///
/// let mut buffer = [0; 512];
/// let (len, from) = server.recv_from(&mut buffer)?;
/// server.send_to(&buffer[..len], from)?;
/// let now = client.now();
/// let Incoming::Datagram(received) = client.recv(&mut buffer, now, now.after(Duration::from_secs(2))) else { panic!() };
/// assert_eq!(received.from, second);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "failover")]
#[doc(alias = "happy eyeballs")]
#[derive(Debug)]
pub struct UdpPaths {
    paths: Vec<Path>,
    /// Those that have a socket.
    open: Paths,
    /// The one of them, if there is one alone.
    only: Option<PathIndex>,
    play: Play,
    /// Of several that have something, the first from this number on is read.
    turn: usize,
    names: Names,
    settings: Settings,
    cancellable: Cancellable,
    clock: Clock,
}

impl UdpPaths {
    /// Paths to these addresses, 1 to 64; one that stands there twice is one path. Opens a socket for the first, and for each
    /// other when it is first asked.
    ///
    /// An address that the system refuses, as it has no route to it or lacks its family, fails none of the others: each send to
    /// it reports that, and tries again.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] without an address, or with more than 64.
    pub fn connect(servers: &[SocketAddr]) -> io::Result<Self> {
        let mut each_once: Vec<SocketAddr> = Vec::new();
        for &address in servers {
            if each_once.iter().all(|&other| who(other) != who(address)) {
                each_once.push(address);
            }
        }
        if each_once.len() > Paths::MOST {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "more than 64 servers"));
        }
        Self::over(each_once.into_iter().map(|address| (address, None)).collect(), Names::none())
    }

    /// Paths to all addresses of these names, each with a port (`"time.example.org:123"`), or addresses (`"[2001:db8::7]:123"`).
    ///
    /// The addresses of a name come in the order of the resolver, but from the two families in turn (RFC 8305 §4): a family
    /// that leads nowhere then costs one failover, and not one for each of its addresses. All of the first name's come before the
    /// second's, as the order of the names is the caller's, such as a primary before its backup. Of more than 64, the first 64
    /// are taken: how many a name has is not the caller's choice.
    ///
    /// Takes as long as the system's resolver does.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] without a name; else that of the first name that cannot be resolved:
    /// [`io::ErrorKind::NotFound`] if it has no address, or what the resolver says.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use udp_retry::net::UdpPaths;
    ///
    /// let paths = UdpPaths::resolve(["127.0.0.1:1060", "[::1]:1060"])?;
    /// assert_eq!(paths.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn resolve(names: impl IntoIterator<Item = impl Into<String>>) -> io::Result<Self> {
        Self::resolve_with(names, by_the_system)
    }

    /// As [`resolve`](Self::resolve), by a resolver of the caller's, which is asked again later, too: it is given a name with
    /// its port, and gives addresses with theirs, the preferred ones first. What is an address already it is not asked for.
    ///
    /// # Errors
    ///
    /// As [`resolve`](Self::resolve).
    pub fn resolve_with(
        names: impl IntoIterator<Item = impl Into<String>>,
        resolver: impl FnMut(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> io::Result<Self> {
        let clock = Clock::new();
        let names = Names::resolve(names.into_iter().map(Into::into), Box::new(resolver), || clock.now())?;
        let servers = names.addresses().map(|(address, name)| (address, Some(name))).collect();
        Self::over(servers, names)
    }

    /// With the names that led to them, if any did.
    fn over(servers: Vec<(SocketAddr, Option<usize>)>, names: Names) -> io::Result<Self> {
        let numbered = Paths::first(Paths::MOST).iter().zip(servers);
        let paths: Vec<_> = numbered.map(|(number, (address, name))| Path::to(number, address, name)).collect();
        if paths.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no server"));
        }
        let mut all = Self::of(paths, names);
        if let Some(first) = all.paths.first_mut() {
            // If the system refuses that, the first send says why.
            let _ = first.open(&all.settings, &all.cancellable);
        }
        all.count_open();
        Ok(all)
    }

    fn of(paths: Vec<Path>, names: Names) -> Self {
        Self {
            paths,
            open: Paths::NONE,
            only: None,
            play: Play::new(),
            turn: 0,
            names,
            settings: Settings::default(),
            cancellable: Cancellable::default(),
            clock: Clock::new(),
        }
    }

    /// As [`ConnectedUdp::with_arrival_times`], for all paths.
    #[must_use]
    pub fn with_arrival_times(mut self) -> Self {
        self.settings.arrival_times = true;
        for path in &mut self.paths {
            path.socket = path.socket.take().map(ConnectedUdp::with_arrival_times);
        }
        self
    }

    /// How many paths there are, open or not.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is one at least")]
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Those that have a socket at present.
    #[must_use]
    pub fn open_paths(&self) -> Paths {
        self.open
    }

    /// Where a path leads to at present; `None` if there is no such path.
    #[must_use]
    pub fn address(&self, path: PathIndex) -> Option<SocketAddr> {
        self.paths.get(path.number() as usize).map(|path| path.address)
    }

    /// The own address of a path, with the port that the system picked; `None` if it has no socket.
    #[must_use]
    pub fn local_addr(&self, path: PathIndex) -> Option<SocketAddr> {
        self.socket(path).map(ConnectedUdp::local_addr).filter(|&local| local != UNKNOWN)
    }

    /// A handle that ends a wait from any thread, whichever paths it is for: one descriptor serves all of them.
    ///
    /// # Errors
    ///
    /// What the system says; the first handle needs a descriptor.
    pub fn cancel_handle(&mut self) -> io::Result<CancelHandle> {
        let handle = self.cancellable.handle()?;
        for socket in self.paths.iter_mut().filter_map(|path| path.socket.as_mut()) {
            socket.share_cancellation(&self.cancellable);
        }
        Ok(handle)
    }

    /// As [`set_receive_buffer`](super::set_receive_buffer), for each path, those to come included; returns the least that was
    /// granted, or what was asked for if none is open.
    ///
    /// # Errors
    ///
    /// What the system says; some paths may have it then.
    pub fn set_receive_buffer(&mut self, bytes: usize) -> io::Result<usize> {
        let granted = self.sockets().map(|socket| socket.set_receive_buffer(bytes));
        let granted = granted.collect::<io::Result<Vec<_>>>()?;
        self.settings.receive_buffer = Some(bytes);
        Ok(granted.into_iter().min().unwrap_or(bytes))
    }

    /// The receive buffer of each path that is open: the least of them, as the system counts.
    ///
    /// # Errors
    ///
    /// What the system says; `NotConnected` if none is open.
    pub fn receive_buffer(&self) -> io::Result<usize> {
        let granted = self.sockets().map(ConnectedUdp::receive_buffer).collect::<io::Result<Vec<_>>>()?;
        granted.into_iter().min().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// As [`ConnectedUdp::set_hops`], for all paths, those to come included.
    ///
    /// # Errors
    ///
    /// What the system says; some paths may have it then.
    pub fn set_hops(&mut self, most: u8) -> io::Result<()> {
        self.sockets().try_for_each(|socket| socket.set_hops(most))?;
        self.settings.hops = Some(most);
        Ok(())
    }

    /// As [`set_fragmentation`](super::set_fragmentation), for all paths, those to come included; returns what came of it for
    /// those that are open, [`Applied::Unsupported`] if none is.
    ///
    /// # Errors
    ///
    /// What the system says; some paths may have it then.
    pub fn set_fragmentation(&mut self, mode: Fragmentation) -> io::Result<Applied> {
        let applied = self.sockets().map(|socket| socket.set_fragmentation(mode));
        let applied = applied.collect::<io::Result<Vec<_>>>()?;
        self.settings.fragmentation = Some(mode);
        Ok(applied.into_iter().reduce(of_both).unwrap_or(Applied::Unsupported))
    }

    fn sockets(&self) -> impl Iterator<Item = &ConnectedUdp> {
        self.paths.iter().filter_map(|path| path.socket.as_ref())
    }

    /// The socket of a path, if it is open: for what this has no method for. A setting that is made there holds for this path
    /// alone, and goes with the socket when the path [moves](Self#names) to another address.
    #[must_use]
    pub fn socket(&self, path: PathIndex) -> Option<&ConnectedUdp> {
        self.paths.get(path.number() as usize)?.socket.as_ref()
    }

    /// The socket of the only path, or of the first one that is open, without the others.
    #[must_use]
    pub fn into_socket(self) -> Option<ConnectedUdp> {
        self.paths.into_iter().find_map(|path| path.socket)
    }

    fn count_open(&mut self) {
        let numbered = Paths::first(self.paths.len()).iter().zip(&self.paths);
        let open = numbered.filter(|(_, path)| path.socket.is_some());
        self.open = open.fold(Paths::NONE, |open, (number, _)| open.with(number));
        let was_only = self.only.take();
        match self.open.len() {
            1 => self.only = self.open.iter().next(),
            _ => was_only.into_iter().for_each(|path| self.play.on_another(path)),
        }
    }
}

impl Cancel for UdpPaths {
    fn cancel_handle(&mut self) -> io::Result<CancelHandle> {
        self.cancel_handle()
    }
}

impl Transport for UdpPaths {
    type Peer = PathIndex;

    #[inline]
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// To a path that there is not, [`PathError::Unsupported`].
    #[inline]
    fn send(&mut self, to: PathIndex, datagram: &[u8]) -> Result<(), PathError> {
        self.send_by(to, |path, settings, cancellable| path.send(datagram, settings, cancellable), Result::is_ok)?
    }

    fn send_many(&mut self, to: PathIndex, datagrams: &[&[u8]]) -> (usize, Result<(), PathError>) {
        let sent = self.send_by(
            to,
            |path, settings, cancellable| path.send_many(datagrams, settings, cancellable),
            |(sent, _)| *sent > 0,
        );
        sent.unwrap_or_else(|error| (0, Err(error)))
    }

    #[inline]
    fn recv(&mut self, buffer: &mut [u8], now: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
        if let Some(only) = self.only.and_then(|only| self.paths.get_mut(only.number() as usize)) {
            if let Some(socket) = &mut only.socket {
                let incoming = socket.recv(buffer, now, until);
                return only.label(incoming);
            }
        }
        let alone = self.play.on_wait(now);
        let incoming = alone.and_then(|alone| self.begin_alone(alone, buffer, now, until));
        let incoming = incoming.unwrap_or_else(|| {
            let time = if alone.is_some() { self.clock.now() } else { now };
            self.wait_for_all(buffer, now, time, until)
        });
        self.play.on_waited(&incoming);
        incoming
    }

    fn renew(&mut self, path: PathIndex, need: Renewal) -> Result<Renewed, PathError> {
        self.resolve_for(path, need);
        let renewed = match self.paths.get_mut(path.number() as usize) {
            Some(path) => path.renew(need, &self.settings, &self.cancellable),
            None => Err(PathError::Unsupported),
        };
        self.count_open();
        renewed
    }

    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        system_key(key)
    }

    fn max_plpmtu(&self, to: PathIndex) -> Option<Plpmtu> {
        let path = self.paths.get(to.number() as usize)?;
        match &path.socket {
            Some(socket) => socket.max_plpmtu(PathIndex::FIRST),
            None => Some(IpFamily::of(path.address.ip()).max_plpmtu()),
        }
    }
}
