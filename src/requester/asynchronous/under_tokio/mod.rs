//! All that is tokio's: constructors, the task and its timer. Its sockets are in [`net`](crate::net).

mod lookups;
mod task;

use alloc::boxed::Box;
use alloc::string::String;
use core::net::SocketAddr;
use std::io;
use std::net::ToSocketAddrs;

use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use self::task::Task;
use super::driver::Driver;
use super::shared::{Beginning, Shared};
use super::{AsyncRequester, Asynchronous};
use crate::net::{Pollable, Sockets, UdpPaths};
use crate::requester::Builder;
use crate::servers::Paths;
use crate::time::{Timestamp, saturating_ns};
use crate::transaction::KeyedMatcher;
use crate::transport::PathIndex;

impl AsyncRequester {
    /// Connects to a server with [`RetryPolicy::default`](crate::RetryPolicy); by `matcher` replies find their requests. A name
    /// with several addresses is a service with [several servers](Builder<Asynchronous>::connect_any).
    ///
    /// # Errors
    ///
    /// What the system reports of the name or the address; that it has no entropy, if the matcher stamps ids; that there is no
    /// runtime.
    pub async fn connect(
        server: impl ToSocketAddrs + Send + 'static,
        matcher: impl KeyedMatcher + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::builder(matcher).connect(server).await
    }

    /// Connects to a service with several servers, all addresses of these names, of which any may answer: see
    /// [`Builder::connect_any`](Builder<Asynchronous>::connect_any).
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_any(
        servers: impl IntoIterator<Item = impl Into<String>>,
        matcher: impl KeyedMatcher + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::builder(matcher).connect_any(servers).await
    }
}

/// Within a tokio runtime with its drivers of I/O and time: its constructors panic without those, as tokio's own do.
impl Builder<Asynchronous> {
    /// Connects to a server by a UDP socket of its own, made anew for each address that is asked. Where the name has several,
    /// of one family or of both, they are [servers](Self::servers) of one service: see [`connect_any`](Self::connect_any).
    /// A thread that may block resolves the name, which is not resolved again; addresses that are known need none if they go
    /// [`over`](Self::over) [`UdpPaths::connect`]. Many different servers take [`over`](Self::over) an
    /// [`UnconnectedUdp`](crate::net::UnconnectedUdp).
    ///
    /// # Errors
    ///
    /// What the system reports of the name, or of the last of the addresses if it has a route to none; that it has no entropy, if
    /// the matcher stamps ids; that there is no runtime.
    pub async fn connect(self, server: impl ToSocketAddrs + Send + 'static) -> io::Result<AsyncRequester> {
        let paths = unless_it_ends(move || UdpPaths::connect_all(server)).await?;
        self.over_paths(paths)
    }

    /// Connects to a service that has several servers, by a socket for each: all addresses of all these names, which are one
    /// [group](AsyncRequester::service), and [`request`](AsyncRequester::request) asks any of them. A thread that may block
    /// resolves the names, and again once a server was asked in vain that one led to: see [`UdpPaths`].
    ///
    /// # Errors
    ///
    /// As [`UdpPaths::resolve`] for the names, else as [`connect`](Self::connect).
    pub async fn connect_any(self, servers: impl IntoIterator<Item = impl Into<String>>) -> io::Result<AsyncRequester> {
        let names: Vec<String> = servers.into_iter().map(Into::into).collect();
        let paths = unless_it_ends(move || {
            let mut paths = UdpPaths::resolve(names)?;
            paths.open_one()?;
            Ok(paths)
        });
        let paths = paths.await?;
        self.over_paths(paths)
    }

    fn over_paths(self, paths: UdpPaths) -> io::Result<AsyncRequester> {
        let count = paths.len();
        // Several are measured in any case.
        let paths = if count > 1 || self.estimator.is_some() { paths.with_arrival_times() } else { paths };
        let server = paths.address(PathIndex::FIRST).filter(|_| count == 1);
        self.begin(paths, server, (count > 1).then(|| Paths::first(count).iter()))
    }

    /// Runs over a transport of the caller's: a [`UdpPaths`], also made of a socket that is connected already, or an
    /// [`UnconnectedUdp`](crate::net::UnconnectedUdp).
    ///
    /// ```
    /// use udp_retry::net::UnconnectedUdp;
    /// use udp_retry::{AsyncRequester, transaction_id};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let server = socket.local_addr()?;
    /// # std::thread::spawn(move || {
    /// #     let mut buffer = [0; 64];
    /// #     while let Ok((len, from)) = socket.recv_from(&mut buffer) {
    /// #         let _ = socket.send_to(&buffer[..len], from);
    /// #     }
    /// # });
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let socket = UnconnectedUdp::bind("0.0.0.0:0")?;
    /// let requester = AsyncRequester::builder(transaction_id(0..8).stamped()).over(socket)?;
    /// let reply = requester.request_to(server, b"........ping").await?;
    /// assert_eq!(reply.peer().remote, server);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// That the system has no entropy, if the matcher stamps ids; that there is no runtime, or no descriptor for it.
    pub fn over<T: Pollable>(self, transport: T) -> io::Result<AsyncRequester<T::Peer>> {
        self.begin(transport, None, None::<[T::Peer; 0]>)
    }

    fn begin<T: Pollable>(
        self,
        mut transport: T,
        server: Option<SocketAddr>,
        service: Option<impl IntoIterator<Item = T::Peer>>,
    ) -> io::Result<AsyncRequester<T::Peer>> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        transport.prepare();
        let (deadline, many) = (self.deadline, self.many());
        let buffer = many.receive_buffer(many.front.header_len());
        let settings = many.front.servers;
        let mut many = many.engine(&mut transport).map_err(io::Error::other)?;
        let service = service.map(|all| many.groups.add(&mut many.engine, &mut many.peers, all, settings)).transpose();
        let service = service.map_err(io::Error::other)?;
        let (start, origin) = (Instant::now(), transport.now());
        let clock = move || of_runtime(start, origin);
        let shared = Shared::new(Beginning { many, deadline, server, service }, Box::new(clock));
        let sockets = Sockets::of(&transport)?;
        let task = Task::new(transport, Driver::new(&shared), sockets, buffer, (start, origin));
        runtime.spawn(task.run());
        Ok(AsyncRequester { shared })
    }
}

/// The runtime's time, from the origin that all transports have.
fn of_runtime(start: Instant, origin: Timestamp) -> Timestamp {
    origin.after_ns(saturating_ns(start.elapsed()))
}

async fn unless_it_ends<R: Send + 'static>(blocking: impl FnOnce() -> io::Result<R> + Send + 'static) -> io::Result<R> {
    Handle::try_current().map_err(io::Error::other)?;
    spawn_blocking(blocking).await.map_err(io::Error::other)?
}
