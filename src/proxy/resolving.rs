use core::any::Any;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::time::Timestamp;

/// Has a [`Proxy`](super::Proxy) resolve the name of its service again, from any thread.
///
/// It is asked for within a second, and once however often this is called meanwhile; the proxy goes on with the old
/// addresses until there are new ones, and for good if there are none. A service that was given by its address has no
/// other. A proxy that does not run asks when it runs again.
#[derive(Clone, Debug)]
pub struct ResolveHandle {
    asked: Arc<AtomicBool>,
}

impl ResolveHandle {
    /// Asks for it, and returns at once.
    pub fn resolve(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }
}

/// A name, and how it becomes addresses.
pub(super) struct Resolver {
    lookup: Box<dyn FnMut() -> Addresses + Send>,
    /// It is an address, and has no other, ever.
    is_fixed: bool,
}

type Addresses = io::Result<Vec<SocketAddr>>;

impl Resolver {
    pub(super) fn of(name: impl ToSocketAddrs + Send + 'static) -> Self {
        let is_fixed = is_address(&name);
        Self { lookup: Box::new(move || Ok(name.to_socket_addrs()?.collect())), is_fixed }
    }

    /// The system's own answer, which takes as long as it takes.
    pub(super) fn resolve(&mut self) -> Addresses {
        (self.lookup)()
    }
}

fn is_address(name: &dyn Any) -> bool {
    let text = name.downcast_ref::<String>().map(String::as_str).or_else(|| name.downcast_ref::<&str>().copied());
    let address = name.is::<SocketAddr>() || name.is::<SocketAddrV4>() || name.is::<SocketAddrV6>();
    address || text.is_some_and(|text| text.parse::<SocketAddr>().is_ok())
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("is_fixed", &self.is_fixed).finish_non_exhaustive()
    }
}

/// A name that is resolved now and then, in a thread of its own, so that nothing waits for it.
#[derive(Debug)]
pub(super) struct Resolving {
    /// `None` for an address.
    resolver: Option<Arc<Mutex<Resolver>>>,
    running: Option<JoinHandle<Addresses>>,
    handle: ResolveHandle,
    wanted: bool,
    /// Not again before.
    earliest: Timestamp,
}

impl Resolving {
    pub(super) fn new(resolver: Resolver) -> Self {
        let resolver = (!resolver.is_fixed).then(|| Arc::new(Mutex::new(resolver)));
        let handle = ResolveHandle { asked: Arc::new(AtomicBool::new(false)) };
        Self { resolver, running: None, handle, wanted: false, earliest: Timestamp::ZERO }
    }

    pub(super) fn handle(&self) -> ResolveHandle {
        self.handle.clone()
    }

    pub(super) fn want(&mut self) {
        self.wanted = self.resolver.is_some();
    }

    /// Asks for the name if that is wanted and some time has passed since the last time. Returns the answer, once.
    pub(super) fn follow(&mut self, now: Timestamp) -> Option<Addresses> {
        if self.handle.asked.load(Ordering::Relaxed) && self.handle.asked.swap(false, Ordering::Relaxed) {
            self.want();
        }
        if let Some(running) = self.running.take_if(|running| running.is_finished()) {
            // A name that panicked has no answer.
            return running.join().ok();
        }
        if self.wanted && self.running.is_none() && self.earliest <= now {
            self.wanted = false;
            self.earliest = now.after(PAUSE);
            // Without memory for a thread, the next time will do.
            self.running = self.resolver.clone().and_then(|resolver| asking(resolver).ok());
        }
        None
    }

    /// When there is something to do, if nothing happens before.
    pub(super) fn next_look(&self, now: Timestamp) -> Option<Timestamp> {
        match self.running {
            Some(_) => Some(now.after(LOOK)),
            None => self.wanted.then_some(self.earliest),
        }
    }
}

fn asking(resolver: Arc<Mutex<Resolver>>) -> io::Result<JoinHandle<Addresses>> {
    thread::Builder::new().spawn(move || resolver.lock().unwrap_or_else(PoisonError::into_inner).resolve())
}

/// Between two times at which a name is asked for: a service that refuses everything costs no more.
const PAUSE: Duration = Duration::from_secs(1);
/// How late an answer may be taken in.
const LOOK: Duration = Duration::from_millis(20);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a name is resolved on a thread of its own, in real time")]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::ZERO.after(Duration::from_millis(milliseconds))
    }

    /// A name that is answered by the test, and shows when it is asked for.
    struct Slow {
        asked: mpsc::Sender<()>,
        answers: Mutex<mpsc::Receiver<SocketAddr>>,
    }

    impl ToSocketAddrs for Slow {
        type Iter = std::option::IntoIter<SocketAddr>;

        fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
            self.asked.send(()).unwrap();
            Ok(Some(self.answers.lock().unwrap().recv().unwrap()).into_iter())
        }
    }

    #[track_caller]
    fn answered(resolving: &mut Resolving, now: Timestamp) -> Addresses {
        let answers = (0..5000).find_map(|_| {
            thread::sleep(Duration::from_millis(1));
            resolving.follow(now)
        });
        answers.expect("an answer within five seconds")
    }

    #[test]
    fn a_name_is_asked_for_apart_and_at_most_once_a_second() {
        let (asked, asks) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        let mut resolving = Resolving::new(Resolver::of(Slow { asked, answers: Mutex::new(answers) }));
        assert!(resolving.follow(at(0)).is_none() && resolving.next_look(at(0)).is_none());
        resolving.handle().resolve();
        // It does not wait for the answer, and asks once however often it is wanted meanwhile.
        for _ in 0..3 {
            assert!(resolving.follow(at(0)).is_none());
            resolving.want();
        }
        asks.recv_timeout(Duration::from_secs(5)).unwrap();
        assert_eq!(resolving.next_look(at(0)), Some(at(20)));
        answer.send("127.0.0.1:7".parse().unwrap()).unwrap();
        assert_eq!(answered(&mut resolving, at(999)).unwrap(), ["127.0.0.1:7".parse().unwrap()]);
        assert!(resolving.follow(at(999)).is_none());
        assert_eq!((resolving.next_look(at(999)), asks.try_recv()), (Some(at(1000)), Err(mpsc::TryRecvError::Empty)));
        assert!(resolving.follow(at(1000)).is_none());
        asks.recv_timeout(Duration::from_secs(5)).unwrap();
        // A name that fails or panics has no answer, and is asked for again when that is wanted.
        drop(answer);
        let ended = (0..5000).any(|_| {
            thread::sleep(Duration::from_millis(1));
            assert!(resolving.follow(at(1000)).is_none());
            resolving.running.is_none()
        });
        assert!(ended);
        assert_eq!(resolving.next_look(at(1000)), None);
        resolving.want();
        assert_eq!(resolving.next_look(at(1000)), Some(at(2000)));
    }

    #[test]
    fn an_address_is_never_asked_for_again() {
        let address: SocketAddr = "127.0.0.1:7".parse().unwrap();
        for fixed in [Resolver::of(address), Resolver::of("127.0.0.1:7"), Resolver::of("[::1]:7".to_owned())] {
            let mut resolving = Resolving::new(fixed);
            resolving.handle().resolve();
            assert!(resolving.follow(at(0)).is_none() && resolving.running.is_none());
        }
        assert!(!Resolver::of("localhost:7").is_fixed && !Resolver::of(("127.0.0.1", 7)).is_fixed);
    }
}
