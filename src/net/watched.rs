//! Which sockets have something, as the runtime reports it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::mem;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::net::UdpSocket;

use tokio::io::Interest;

use super::pollable::Look;
use super::trouble::Trouble;
use crate::time::Timestamp;

/// The sockets of a transport, registered with the runtime.
pub(crate) struct Sockets {
    watched: Vec<Watched>,
    /// One could not be registered, such as under a limit of descriptors: all are looked at by this time.
    look_by: Option<Timestamp>,
}

struct Watched {
    place: usize,
    number: u64,
    socket: Arc<Registered>,
    /// Goes on as long as the runtime does: made once, as one for each wait would be an allocation each.
    watching: Pin<Box<dyn Future<Output = ()> + Send>>,
    trouble: Trouble,
    rests_until: Timestamp,
    /// It gave something since it was found ready.
    gave: bool,
}

/// A clone of a socket, by which the runtime knows it; it is neither read nor written.
struct Registered {
    #[cfg(unix)]
    socket: tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>,
    #[cfg(not(unix))]
    socket: tokio::net::UdpSocket,
    /// It was reported, and there may be something left.
    is_ready: AtomicBool,
}

impl Sockets {
    /// Those that are open now.
    pub(crate) fn of(transport: &impl Look) -> io::Result<Self> {
        let mut all = Self { watched: Vec::new(), look_by: None };
        for (place, number, socket) in transport.sockets() {
            all.watched.push(Watched::new(place, number, Registered::of(socket)?));
        }
        Ok(all)
    }

    /// Sockets were opened, or replaced by others.
    pub(crate) fn follow(&mut self, now: Timestamp, transport: &impl Look) {
        let known = self.watched.iter().map(|watched| watched.number);
        let is_time = self.look_by.is_none_or(|by| by <= now);
        if is_time && !transport.sockets().map(|(_, number, _)| number).eq(known) {
            self.register(now, transport);
        }
    }

    #[cold]
    fn register(&mut self, now: Timestamp, transport: &impl Look) {
        let mut known = mem::take(&mut self.watched);
        self.look_by = None;
        for (place, number, socket) in transport.sockets() {
            match known.iter().position(|watched| watched.number == number) {
                Some(at) => self.watched.push(known.swap_remove(at)),
                None => match Registered::of(socket) {
                    Ok(registered) => self.watched.push(Watched::new(place, number, registered)),
                    Err(_) => self.look_by = Some(now),
                },
            }
        }
    }

    /// Whether any has something; all others wake this task. `None`: the runtime has ended.
    pub(crate) fn poll(&mut self, now: Timestamp, context: &mut Context<'_>) -> Option<bool> {
        let mut any = self.look_by.is_some_and(|by| by <= now);
        for watched in &mut self.watched {
            if watched.rests_until > now {
                continue;
            }
            if watched.watching.as_mut().poll(context).is_ready() {
                return None;
            }
            any |= watched.is_ready();
        }
        Some(any)
    }

    /// The socket there gave something.
    pub(crate) fn on_given(&mut self, place: usize, is_datagram: bool) {
        for watched in self.watched.iter_mut().filter(|watched| watched.place == place) {
            watched.gave = true;
            if is_datagram {
                watched.trouble.is_over();
            }
        }
    }

    /// Nothing is left. One that was reported for nothing too often in a row is left alone for a while.
    pub(crate) fn on_dry(&mut self, now: Timestamp) {
        self.look_by = self.look_by.map(|_| now.after(UNWATCHED));
        for watched in &mut self.watched {
            let gave = mem::take(&mut watched.gave);
            if !watched.socket.is_ready.swap(false, Ordering::Relaxed) {
                continue;
            }
            watched.socket.on_dry();
            if let Some(rest) = if gave { None } else { watched.trouble.again() } {
                watched.rests_until = now.after(rest);
            }
        }
    }

    /// Something was sent: a reply may be near.
    pub(crate) fn on_sent(&mut self) {
        for watched in &mut self.watched {
            watched.trouble.may_be_over();
            watched.rests_until = Timestamp::ZERO;
        }
    }

    /// When to look whatever the runtime reports.
    pub(crate) fn alarm(&self, now: Timestamp) -> Timestamp {
        let rests = self.watched.iter().map(|watched| watched.rests_until).filter(|&until| until > now);
        rests.chain(self.look_by).min().unwrap_or(Timestamp::MAX)
    }
}

impl Watched {
    fn new(place: usize, number: u64, registered: Registered) -> Self {
        let socket = Arc::new(registered);
        Self {
            place,
            number,
            watching: Box::pin(watch(Arc::clone(&socket))),
            socket,
            trouble: Trouble::default(),
            rests_until: Timestamp::ZERO,
            gave: false,
        }
    }

    fn is_ready(&self) -> bool {
        self.socket.is_ready.load(Ordering::Relaxed)
    }
}

/// Ends with the runtime.
async fn watch(socket: Arc<Registered>) {
    while socket.ready().await.is_ok() {
        socket.is_ready.store(true, Ordering::Relaxed);
        // Whoever polls this sees to it, and polls again.
        let is_seen_to = || !socket.is_ready.load(Ordering::Relaxed);
        poll_fn(|_| if is_seen_to() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

impl Registered {
    #[cfg(unix)]
    #[expect(deprecated, reason = "what is registered here is owned, as its successor, which is unsafe, demands")]
    fn of(socket: &UdpSocket) -> io::Result<Self> {
        use std::os::fd::AsFd;
        let clone = socket.as_fd().try_clone_to_owned()?;
        // Not a `UdpSocket` of tokio's: that has to be non-blocking, as all clones of a given one would be then, and is also
        // reported whenever there is space to send, that is for each datagram that has left.
        let socket = tokio::io::unix::AsyncFd::with_interest(clone, INTEREST)?;
        Ok(Self { socket, is_ready: AtomicBool::new(false) })
    }

    #[cfg(not(unix))]
    fn of(socket: &UdpSocket) -> io::Result<Self> {
        let clone = socket.try_clone()?;
        clone.set_nonblocking(true)?;
        Ok(Self { socket: tokio::net::UdpSocket::from_std(clone)?, is_ready: AtomicBool::new(false) })
    }

    /// Something has come since this was last so. It is forgotten before all of it is looked at, so that whatever comes from
    /// then on is reported anew.
    #[cfg(unix)]
    async fn ready(&self) -> io::Result<()> {
        self.socket.ready(INTEREST).await?.clear_ready();
        Ok(())
    }

    #[cfg(unix)]
    fn on_dry(&self) {}

    #[cfg(not(unix))]
    async fn ready(&self) -> io::Result<()> {
        self.socket.ready(INTEREST).await.map(drop)
    }

    /// Here the system has to be asked anew once nothing is left, and then reports what has come meanwhile.
    #[cfg(not(unix))]
    fn on_dry(&self) {
        let _ = self.socket.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
}

/// Errors too: a socket that has one has nothing to read.
const INTEREST: Interest = Interest::READABLE.add(Interest::ERROR);
/// How late what comes to a socket is seen that could not be registered.
const UNWATCHED: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use core::task::Waker;

    use super::*;

    #[test]
    fn what_the_runtime_does_not_watch_is_looked_at_again_and_again_without_a_spin() {
        let mut now = Timestamp::from_nanos(1_000_000);
        let mut sockets = Sockets { watched: Vec::new(), look_by: Some(now) };
        for _ in 0..10 {
            assert_eq!(sockets.poll(now, &mut Context::from_waker(Waker::noop())), Some(true));
            sockets.on_dry(now);
            assert_eq!(sockets.poll(now, &mut Context::from_waker(Waker::noop())), Some(false));
            assert_eq!(sockets.alarm(now), now.after(UNWATCHED));
            now = sockets.alarm(now);
        }
        sockets.look_by = None;
        assert_eq!(sockets.alarm(now), Timestamp::MAX);
    }
}
