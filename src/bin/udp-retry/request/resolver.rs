//! A name's addresses within a time: the system's own lookup knows no deadline.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Looks a name up, as often as it is asked, one lookup at a time.
pub(crate) struct Resolver {
    lookup: Arc<dyn Fn() -> io::Result<Vec<SocketAddr>> + Send + Sync>,
    /// One that an earlier call did not wait out.
    under_way: Option<Receiver<io::Result<Vec<SocketAddr>>>>,
}

impl Resolver {
    pub(crate) fn new(lookup: impl Fn() -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        Self { lookup: Arc::new(lookup), under_way: None }
    }

    /// Waits so long at most. A lookup that takes longer goes on behind, and the next call waits for the same one: there
    /// is never a second thread.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::TimedOut`] when the time is over; else that of the lookup.
    pub(crate) fn addresses(&mut self, within: Option<Duration>) -> io::Result<Vec<SocketAddr>> {
        let Some(within) = within else { return (self.lookup)() };
        let answer = match self.under_way.take() {
            Some(answer) => answer,
            None => self.begin()?,
        };
        match answer.recv_timeout(within) {
            Ok(found) => found,
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the lookup ended without an answer")),
            Err(RecvTimeoutError::Timeout) => {
                self.under_way = Some(answer);
                Err(io::Error::new(io::ErrorKind::TimedOut, "nothing from the name server within the deadline"))
            }
        }
    }

    fn begin(&self) -> io::Result<Receiver<io::Result<Vec<SocketAddr>>>> {
        let (sender, answer) = mpsc::channel();
        let lookup = self.lookup.clone();
        // No one may be left to hear of it.
        thread::Builder::new().spawn(move || drop(sender.send(lookup())))?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_silent_lookup_is_left_behind_in_time_and_the_next_call_waits_for_the_same_one() {
        let (answer, answers) = mpsc::channel::<()>();
        let (answers, lookups) = (Mutex::new(answers), Arc::new(AtomicU32::new(0)));
        let counted = lookups.clone();
        let mut resolver = Resolver::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let _ = answers.lock().unwrap().recv();
            Ok(vec![SocketAddr::from(([192, 0, 2, 7], 53))])
        });
        for _ in 0..3 {
            let begun = Instant::now();
            let error = resolver.addresses(Some(Duration::from_millis(50))).unwrap_err();
            let took = begun.elapsed();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            // Generous, because the machine may be busy; the lookup itself would never end.
            assert!(took >= Duration::from_millis(50) && took < Duration::from_secs(5), "{took:?}");
        }
        answer.send(()).unwrap();
        assert_eq!(resolver.addresses(Some(Duration::from_secs(20))).unwrap().len(), 1);
        assert_eq!(lookups.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_lookup_that_failed_is_made_again() {
        let lookups = AtomicU32::new(0);
        let mut resolver = Resolver::new(move || match lookups.fetch_add(1, Ordering::Relaxed) {
            0 => Err(io::Error::other("no such name")),
            _ => Ok(Vec::new()),
        });
        let patience = Some(Duration::from_secs(20));
        assert_eq!(resolver.addresses(patience).unwrap_err().to_string(), "no such name");
        assert!(resolver.addresses(patience).is_ok());
    }

    #[test]
    fn a_lookup_that_panics_is_a_failure() {
        let mut resolver = Resolver::new(|| std::panic::resume_unwind(Box::new("lost")));
        assert!(resolver.addresses(Some(Duration::from_secs(20))).is_err());
    }
}
