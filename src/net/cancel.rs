use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::sys;

/// Ends the wait of a requester from any thread: made by
/// [`ReliableRequester::cancel_handle`](crate::ReliableRequester::cancel_handle), or by
/// [`ConnectedUdp::cancel_handle`](super::ConnectedUdp::cancel_handle) before the transport goes into one.
///
/// - The request under way fails as cancelled; if none is, or if its reply was quicker, the next one does, without
///   being sent. So no call is missed; calls that come before one has taken effect count as one.
/// - On Linux a wait ends within some 0.05 ms. The socket is shut for that, and another one with its settings takes its
///   place before the next request, on a new port unless the caller had chosen one. Elsewhere a wait that can be
///   cancelled proceeds in steps of 10 ms.
/// - Having a handle costs no system call per request. Clones cancel the same requester; one that is gone does nothing.
#[derive(Clone, Debug)]
pub struct CancelHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cancelled: AtomicBool,
    /// The transport's socket, under a descriptor of its own.
    socket: Mutex<Option<UdpSocket>>,
}

impl CancelHandle {
    /// Cancels the request under way, or the next one.
    pub fn cancel(&self) {
        // Under the lock, so that whoever takes the flag knows that the socket is shut by then.
        let socket = self.shared.lock();
        self.shared.cancelled.store(true, Ordering::SeqCst);
        if let Some(socket) = &*socket {
            sys::wake(socket);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<UdpSocket>> {
        // Nothing that could panic runs under the lock.
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The transport's end of its handles.
#[derive(Debug)]
pub(super) struct Cancellable {
    shared: Option<Arc<Shared>>,
    socket: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Sound,
    /// Nothing will be received any more.
    Shut,
    /// Closed, and not replaced yet: this is where it was bound.
    Gone(SocketAddr),
}

impl Cancellable {
    pub(super) fn new() -> Self {
        Self { shared: None, socket: State::Sound }
    }

    pub(super) fn handle(&mut self, socket: &UdpSocket) -> io::Result<CancelHandle> {
        if let Some(shared) = &self.shared {
            return Ok(CancelHandle { shared: Arc::clone(shared) });
        }
        let socket = Mutex::new(Some(socket.try_clone()?));
        let shared = Arc::new(Shared { cancelled: AtomicBool::new(false), socket });
        self.shared = Some(Arc::clone(&shared));
        Ok(CancelHandle { shared })
    }

    #[inline]
    pub(super) fn is_sound(&self) -> bool {
        matches!(self.socket, State::Sound)
    }

    #[inline]
    pub(super) fn is_possible(&self) -> bool {
        self.shared.is_some()
    }

    #[inline]
    pub(super) fn is_cancelled(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.cancelled.load(Ordering::SeqCst))
    }

    /// Whether it was cancelled; forgets it.
    pub(super) fn take(&mut self) -> bool {
        let Some(shared) = self.shared.as_ref().filter(|_| self.is_cancelled()) else { return false };
        let _shut_by_now = shared.lock();
        shared.cancelled.store(false, Ordering::SeqCst);
        if sys::WAKING_SHUTS && self.is_sound() {
            self.socket = State::Shut;
        }
        true
    }

    /// Replaces a socket that was shut; returns whether it did.
    pub(super) fn replace(&mut self, socket: &mut UdpSocket, peer: SocketAddr) -> io::Result<bool> {
        let home = match self.socket {
            State::Sound => return Ok(false),
            State::Shut => sys::home(socket)?,
            State::Gone(home) => home,
        };
        // A chosen port is free again once every descriptor is closed.
        self.forget();
        self.socket = State::Gone(home);
        sys::replace(socket, home, peer)?;
        if let Some(shared) = &self.shared {
            *shared.lock() = Some(socket.try_clone()?);
        }
        self.socket = State::Sound;
        Ok(true)
    }

    fn forget(&self) {
        if let Some(shared) = &self.shared {
            *shared.lock() = None;
        }
    }
}

impl Drop for Cancellable {
    /// A handle that outlives the transport keeps no socket open.
    fn drop(&mut self) {
        self.forget();
    }
}
