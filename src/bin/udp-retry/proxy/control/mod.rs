//! The control port: lines of text in, lines of JSON out, over TCP on loopback.

pub(super) mod command;
mod connection;

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use self::connection::Connection;
use super::steering::Handle;
use crate::terminal::Outcome;

/// A port that takes commands, for as long as the process runs.
pub(super) struct Control {
    pub(super) address: SocketAddr,
}

impl Control {
    pub(super) fn listen(address: SocketAddr, listeners: Vec<Handle>) -> Outcome<Self> {
        let failed = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
        let socket = TcpListener::bind(address).map_err(failed)?;
        let address = socket.local_addr()?;
        let connections = Connections { listeners: Arc::from(listeners), open: Arc::default(), clock: Arc::default() };
        thread::Builder::new().name("control".to_owned()).spawn(move || connections.accept(&socket))?;
        Ok(Self { address })
    }
}

/// Those that are open, a thread each.
struct Connections {
    listeners: Arc<[Handle]>,
    open: Arc<Mutex<Vec<Open>>>,
    /// Counts commands, so that connections can be told apart by when they were used.
    clock: Arc<AtomicU64>,
}

struct Open {
    stream: TcpStream,
    used: Arc<AtomicU64>,
    /// Makes place for another, and ends as soon as its thread looks.
    closed: bool,
}

impl Connections {
    fn accept(&self, socket: &TcpListener) {
        loop {
            match socket.accept().and_then(|(stream, _)| self.serve(stream)) {
                Ok(()) => {}
                // Of one connection, or a shortage: neither may take all time.
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    /// The one that was not used for the longest time makes place when there are too many.
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let used = Arc::new(AtomicU64::new(self.clock.fetch_add(1, Ordering::Relaxed)));
        {
            let mut open = lock(&self.open);
            if open.len() >= MOST_THREADS {
                return refuse(stream);
            }
            if open.iter().filter(|it| !it.closed).count() >= MOST_CONNECTIONS {
                let oldest = open.iter_mut().filter(|it| !it.closed).min_by_key(|it| it.used.load(Ordering::Relaxed));
                if let Some(oldest) = oldest {
                    oldest.closed = true;
                    // If that fails, it has ended by itself.
                    let _ = oldest.stream.shutdown(Shutdown::Both);
                }
            }
            open.push(Open { stream: stream.try_clone()?, used: used.clone(), closed: false });
        }
        let (open, listeners, clock, mine) = (self.open.clone(), self.listeners.clone(), self.clock.clone(), used);
        let leaving = Leaving { open, mine: mine.clone() };
        thread::Builder::new().name("commands".to_owned()).spawn(move || {
            let _leaving = leaving;
            let used = || mine.store(clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
            // Its end, of whatever kind, is its own affair.
            let _ = Connection::new(stream, &listeners).and_then(|mut connection| connection.run(used));
        })?;
        Ok(())
    }
}

/// Strikes a connection off however its thread ends, also if there is none for it.
struct Leaving {
    open: Arc<Mutex<Vec<Open>>>,
    mine: Arc<AtomicU64>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        lock(&self.open).retain(|it| !Arc::ptr_eq(&it.used, &self.mine));
    }
}

/// It need not be read: a fresh connection takes that much without.
fn refuse(mut stream: TcpStream) -> io::Result<()> {
    stream.set_write_timeout(Some(PAUSE))?;
    stream.write_all(b"{\"error\":\"too many connections\"}\n")
}

fn lock(open: &Mutex<Vec<Open>>) -> MutexGuard<'_, Vec<Open>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

const MOST_CONNECTIONS: usize = 16;
/// With those that were closed, and still wait for an answer.
const MOST_THREADS: usize = 2 * MOST_CONNECTIONS;
const PAUSE: Duration = Duration::from_millis(20);
