use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::line::offer;
use crate::entropy::IdSource;
use crate::envelope::Incarnation;
use crate::replies::{DuplicateKey, Framing, Job, ReplyLimits, Responder, ResponderStats};
use crate::transport::{NoEntropy, Route, Transport};

/// A [`Responder`] behind a handle: clones are the same one, for the threads of a server and for whoever finishes a job
/// [later](super::Request::later).
///
/// Share one, however many threads or sockets a service has: a copy of a request can come by any of them, and what one responder
/// has executed another does not know. It is locked while it decides, some 0.1 µs, and never while a handler runs or a datagram
/// is sent.
///
/// ```
/// use std::net::UdpSocket;
/// use std::thread;
/// use udp_retry::net::UnconnectedUdp;
/// use udp_retry::replies::{ReplyLimits, Responder, same_id};
/// use udp_retry::serving::{Handled, SharedResponder};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut socket = UnconnectedUdp::bind("127.0.0.1:0")?;
/// let (address, stop) = (socket.local_addr(), socket.cancel_handle()?);
/// // Bytes 0 to 4 of a request are its id.
/// let responder = SharedResponder::from(Responder::over(&mut socket, ReplyLimits::default(), same_id(0..4))?);
///
/// let stats = responder.clone();
/// let server = thread::spawn(move || {
///     let mut counter = 0;
///     responder.serve(&mut socket, |request, reply| {
///         counter += 1;
///         reply.extend_from_slice(&request.bytes()[..4]);
///         reply.push(counter);
///         Handled::Reply
///     })
/// });
///
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// # client.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
/// // The second one may be the same datagram: the network duplicates, and so does a client that was not answered in time.
/// for _ in 0..2 {
///     client.send_to(b"\0\0\0\x07add one", address)?;
///     let mut reply = [0; 64];
///     let (len, _) = client.recv_from(&mut reply)?;
///     assert_eq!(reply[..len], *b"\0\0\0\x07\x01", "counted once");
/// }
/// stop.cancel();
/// # let ended =
/// server.join().unwrap();
/// # assert_eq!(ended, udp_retry::serving::Ended::Cancelled);
/// assert_eq!((stats.stats().replies.fresh, stats.stats().replies.replayed), (1, 1));
/// # Ok(())
/// # }
/// ```
pub struct SharedResponder<K> {
    shared: Arc<Mutex<Shared<K>>>,
}

/// Nothing is sent under its lock: a reply that was kept is copied, any other is the caller's.
pub(super) struct Shared<K> {
    pub(super) responder: Responder<K>,
    unsent: u64,
    /// Of loops and sends that have ended: as many as ran at once.
    spare: Vec<Buffers>,
}

/// What a loop works with. The next one gets them again: it may be as short as a turn of an event loop, for one request.
#[derive(Default)]
pub(super) struct Buffers {
    pub(super) request: Vec<u8>,
    pub(super) reply: Vec<u8>,
    pub(super) answer: Vec<u8>,
}

impl<K: DuplicateKey> SharedResponder<K> {
    /// Sends the reply of a job that was taken for [later](super::Request::later), once it is kept. `transport` is another end
    /// of the socket that the request came by, such as [`UnconnectedUdp::try_clone`](crate::net::UnconnectedUdp::try_clone) makes.
    ///
    /// If it does not leave, which [`unsent`](Self::unsent) counts, the next copy of the request is answered by it.
    pub fn finish(&self, transport: &mut impl Transport<Peer = Route>, job: Job, reply: &[u8]) {
        let now = transport.now();
        let framing = self.lock().responder.settle(now, job, reply);
        if let Some(framing) = framing {
            self.send(transport, &framing, reply);
        }
    }

    /// As [`Request::provisional`](super::Request::provisional), for a job that was taken for later.
    pub fn provisional(&self, transport: &mut impl Transport<Peer = Route>, job: &Job, answer: &[u8]) {
        let framing = self.lock().responder.announce(job, answer);
        if let Some(framing) = framing {
            self.send(transport, &framing, answer);
        }
    }

    /// A job that was taken for later was **not** executed: the next copy of its request may be.
    pub fn abandon(&self, job: Job) {
        self.lock().responder.abandon(job);
    }

    /// What it has done.
    #[must_use]
    pub fn stats(&self) -> ResponderStats {
        self.lock().responder.stats()
    }

    /// Answers that did not leave, also when they were offered again, such as for a full queue of the system. Those that are
    /// replies are kept, and answer the next copy of their request.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.lock().unsent
    }

    fn send(&self, transport: &mut impl Transport<Peer = Route>, framing: &Framing, answer: &[u8]) {
        let mut buffers = self.take_buffers();
        self.sent(offer(transport, framing.to, framing.of(answer, &mut buffers.answer)));
        self.give_back(buffers);
    }

    pub(super) fn take_buffers(&self) -> Buffers {
        self.lock().spare.pop().unwrap_or_default()
    }

    pub(super) fn give_back(&self, buffers: Buffers) {
        self.lock().spare.push(buffers);
    }

    pub(super) fn sent(&self, sent: bool) {
        if !sent {
            self.lock().unsent += 1;
        }
    }

    /// No code of the caller's but its [`DuplicateKey`] runs under this lock; should that panic, what it was asked of is no request.
    pub(super) fn lock(&self) -> MutexGuard<'_, Shared<K>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: DuplicateKey> Responder<K> {
    /// A responder for the server's end that this transport is: with a secret of its [entropy](Transport::entropy), starting now.
    ///
    /// # Errors
    ///
    /// [`NoEntropy`]
    pub fn over<T: Transport<Peer = Route>>(
        transport: &mut T,
        limits: ReplyLimits,
        duplicates: K,
    ) -> Result<Self, NoEntropy> {
        let mut secret = [0; 32];
        transport.entropy(&mut secret)?;
        Ok(Self::new(limits, duplicates, &secret, transport.now()))
    }
}

impl Incarnation {
    /// The incarnation of a server that starts now, drawn from the [entropy](Transport::entropy) of its transport: for
    /// [`Responder::envelope`].
    ///
    /// # Errors
    ///
    /// [`NoEntropy`]
    pub fn over(transport: &mut impl Transport<Peer = Route>) -> Result<Self, NoEntropy> {
        let mut key = [0; 32];
        transport.entropy(&mut key)?;
        Ok(Self::draw(&mut IdSource::from_key(&key)))
    }
}

impl<K> From<Responder<K>> for SharedResponder<K> {
    fn from(responder: Responder<K>) -> Self {
        let shared = Shared { responder, unsent: 0, spare: Vec::new() };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }
}

impl<K> Clone for SharedResponder<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K> fmt::Debug for SharedResponder<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedResponder").finish_non_exhaustive()
    }
}
