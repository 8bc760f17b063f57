//! Many requests in flight as futures. What is here knows no runtime and no transport, but for `under_tokio` and `in_simulation`.

mod call;
mod calls;
mod driver;
#[cfg(feature = "sim")]
mod in_simulation;
mod reply;
mod settings;
mod shared;
mod spare;
mod state;
mod target;
#[cfg(feature = "tokio")]
mod under_tokio;
mod waiters;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

pub use self::call::Call;
pub use self::reply::AsyncReply;
pub use self::settings::Asynchronous;
use self::shared::Shared;
pub use self::target::Target;
use super::Builder;
use crate::policy::RttEstimator;
use crate::servers::{ServerSettings, ServerState, ServersError};
use crate::transaction::{GroupId, KeyedMatcher, Request, Strays};
use crate::transport::{PathIndex, PeerAddress};

/// Thousands of requests in flight as futures, over one socket, to one server or to many: for tokio.
///
/// [`request`](Self::request) is a future that is the reply; **dropping it cancels the request**, so `select!` and
/// `tokio::time::timeout` do. Clones ask by the same socket, from any task and any thread. One task of its own sends, receives and
/// sends again; it begins with the requester and ends with the last clone.
///
/// Each request fares as with a [`ConcurrentRequester`](super::ConcurrentRequester): the same schedule, the same rules of which
/// datagram is its reply, the same errors, at most 64 on the wire at a peer. **At least once** as there. Beyond that:
///
/// - Where [as many](crate::transaction::Limits::requests) are in flight as may be, or every id is used, a request waits for its
///   turn: first come, first served, and cancelled ones pass theirs on. Its deadline counts from the first poll of its future.
/// - A runtime that ends first, or [`shutdown`](Self::shutdown), ends each of them with
///   [`Failure::Stopped`](crate::transaction::Failure::Stopped): none hangs.
/// - After warm-up no request allocates: a reply has a buffer from a pool, which takes it back when it is dropped.
///
/// # Time
///
/// Its time is the runtime's: under `tokio::time::pause`, schedules and deadlines run in virtual time, and a silent server takes
/// none. The sockets stay real. (A paused clock goes on by itself whenever all tasks wait, for a socket too; so what a real server
/// answers may then come after the time is up.)
///
/// Tokio's timer counts milliseconds: a retransmission or the end of a deadline is late by up to one, never early.
///
/// # Runtimes
///
/// It runs on either flavour of tokio's runtime, with the drivers of I/O and time enabled. What it costs is one task, one
/// registration of each socket, and a lock that is held for some 0.1 µs at a time, or while a batch of at most 16 datagrams is sent.
/// The futures need no runtime: any executor may poll them.
///
/// ```
/// use udp_retry::{AsyncRequester, transaction_id};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// # let address = server.local_addr()?;
/// # std::thread::spawn(move || {
/// #     let mut buffer = [0; 64];
/// #     while let Ok((len, from)) = server.recv_from(&mut buffer) {
/// #         let _ = server.send_to(&buffer[..len], from);
/// #     }
/// # });
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let requester = AsyncRequester::connect(address, transaction_id(0..8).stamped()).await?;
/// let asking: Vec<_> = (0..100)
///     .map(|_| {
///         let requester = requester.clone();
///         tokio::spawn(async move { requester.request(b"........ping").await })
///     })
///     .collect();
/// for asked in asking {
///     let reply = asked.await??;
///     assert_eq!(reply.payload()[8..], *b"ping");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok(())
/// # }
/// ```
pub struct AsyncRequester<P: PeerAddress = PathIndex> {
    shared: Arc<Shared<P>>,
}

impl AsyncRequester {
    /// A requester with settings of the caller's, or over a transport of the caller's.
    pub fn builder(matcher: impl KeyedMatcher + Send + Sync + 'static) -> Builder<Asynchronous> {
        Builder::new(Asynchronous::new(matcher))
    }
}

impl AsyncRequester<PathIndex> {
    /// Asks the server, or any of the [several](Self::service) that it was connected to; over a transport of the caller's the
    /// first path. Bytes, or a [`Request`] with a deadline or a policy of its own.
    ///
    /// # Errors
    ///
    /// As [`request_to`](Self::request_to).
    pub fn request<'r>(&'r self, request: impl Into<Request<'r>>) -> Call<'r> {
        let target = self.service().map_or(Target::Peer(PathIndex::FIRST), Target::Group);
        self.request_to(target, request)
    }
}

impl<P: PeerAddress> AsyncRequester<P> {
    /// Asks a peer or a group of servers: a path of a client's end; over an unconnected socket the address of a server, or a
    /// [`Route`](crate::transport::Route) with the own address to ask from; or what [`add_group`](Self::add_group) returned.
    /// What is known of a peer is kept for good: some 300 bytes.
    ///
    /// It begins when its future is first polled, and waits for its turn where there is no capacity.
    ///
    /// # Errors
    ///
    /// Why there is no reply: see [`RequestError::failure`](crate::RequestError::failure). Beside those that the other fronts
    /// have, [`Failure::Stopped`](crate::transaction::Failure::Stopped) says that the runtime has ended, or
    /// [`shutdown`](Self::shutdown) came first; [`IdInUse`](crate::transaction::Failure::IdInUse),
    /// [`UnknownPeer`](crate::transaction::Failure::UnknownPeer) and
    /// [`TooManyPolicies`](crate::transaction::Failure::TooManyPolicies) that it was not sent, as there is something wrong with it.
    pub fn request_to<'r>(&'r self, target: impl Into<Target<P>>, request: impl Into<Request<'r>>) -> Call<'r, P> {
        Call::new(&self.shared, target.into(), request.into())
    }

    /// Makes a group of servers of one service, as
    /// [`ConcurrentRequester::add_group`](super::ConcurrentRequester::add_group) does.
    ///
    /// # Errors
    ///
    /// [`ServersError::Count`] unless there are 1 to 64 servers.
    pub fn add_group(
        &self,
        servers: impl IntoIterator<Item = impl Into<P>>,
        settings: ServerSettings,
    ) -> Result<GroupId, ServersError> {
        // What is the caller's runs before the lock is taken.
        let servers: Vec<P> = servers.into_iter().map(Into::into).collect();
        self.shared.lock().add_group(servers, settings)
    }

    /// The servers that it was [connected](Builder<Asynchronous>::connect_any) to, as a group; `None` if there is only one.
    #[must_use]
    pub fn service(&self) -> Option<GroupId> {
        self.shared.service()
    }

    /// What is known of each server of a group, for a metrics page; nothing of a group that is another requester's.
    #[must_use]
    pub fn server_states(&self, group: GroupId) -> Vec<ServerState> {
        let now = self.shared.now();
        self.shared.lock().engine.servers(group).map(|set| set.states(now).collect()).unwrap_or_default()
    }

    /// Requests that have been taken in and have not ended: on the wire, or waiting for space in the window of a peer.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.lock().engine.len()
    }

    /// Requests that wait for capacity, and are not in flight yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.lock().waiters.len()
    }

    /// How many more can be in flight at present, as far as their [number](crate::transaction::Limits::requests) goes.
    #[must_use]
    pub fn available(&self) -> usize {
        self.shared.lock().engine.available()
    }

    /// What arrived and answered nothing since the requester was made, by kind.
    #[must_use]
    pub fn strays(&self) -> Strays {
        self.shared.lock().engine.strays()
    }

    /// What the round trips of a peer call for, if they are [measured](Builder::estimator) and it was asked before: a handle.
    #[must_use]
    pub fn estimator(&self, peer: impl Into<P>) -> Option<RttEstimator> {
        let peer = peer.into();
        self.shared.lock().estimator(peer)
    }

    /// Ends all that is in flight or waits, with [`Failure::Stopped`](crate::transaction::Failure::Stopped), and every later
    /// request. When it returns the sockets are closed. It counts from the first poll.
    pub async fn shutdown(&self) {
        self.shared.stop().await;
    }
}

impl<P: PeerAddress> Clone for AsyncRequester<P> {
    fn clone(&self) -> Self {
        self.shared.on_cloned();
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<P: PeerAddress> Drop for AsyncRequester<P> {
    fn drop(&mut self) {
        self.shared.on_clone_dropped();
    }
}

impl<P: PeerAddress> fmt::Debug for AsyncRequester<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncRequester")
            .field("in_flight", &self.in_flight())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}
