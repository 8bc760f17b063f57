use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::interrupt::{Interrupt, on_hangup};

/// What ends a proxy, or has it look for its service anew.
pub(super) struct Signals {
    interrupt: Interrupt,
    hangup: Arc<AtomicBool>,
    resolve: Option<Box<dyn Fn()>>,
}

impl Signals {
    /// `resolve` has the name of the service resolved again, if it is given by one.
    ///
    /// SIGHUP does that where no terminal can have sent it, as a service manager asks for a reload, and ends the proxy
    /// elsewhere.
    pub(super) fn new(resolve: Option<Box<dyn Fn()>>) -> io::Result<Self> {
        let has_terminal = File::open("/dev/tty").is_ok();
        Self::with(resolve.filter(|_| !has_terminal))
    }

    fn with(resolve: Option<Box<dyn Fn()>>) -> io::Result<Self> {
        let hangup = Arc::default();
        let interrupt = match resolve {
            None => Interrupt::new()?,
            Some(_) => {
                on_hangup(&hangup)?;
                Interrupt::but_for_hangup()?
            }
        };
        Ok(Self { interrupt, hangup, resolve })
    }

    /// Whether the proxy is to end. Does before what else it was asked for.
    pub(super) fn have_ended_it(&self) -> bool {
        let is_asked = self.hangup.swap(false, Ordering::Relaxed);
        if let Some(resolve) = self.resolve.as_ref().filter(|_| is_asked) {
            resolve();
        }
        self.interrupt.is_set()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use signal_hook::consts::SIGHUP;
    use signal_hook::low_level::raise;

    use super::*;

    #[test]
    fn a_hangup_resolves_once_and_ends_nothing_where_there_is_a_name_and_ends_it_elsewhere() {
        let resolved = Arc::new(AtomicUsize::new(0));
        let times = resolved.clone();
        let resolve = move || {
            times.fetch_add(1, Ordering::Relaxed);
        };
        let resolving = Signals::with(Some(Box::new(resolve))).unwrap();
        let ending = Signals::with(None).unwrap();
        assert!(!resolving.have_ended_it() && !ending.have_ended_it());
        assert_eq!(resolved.load(Ordering::Relaxed), 0);
        for times in 1..=3 {
            raise(SIGHUP).unwrap();
            if !ending.have_ended_it() {
                println!("SKIPPED: SIGHUP was ignored when the tests were started");
                return;
            }
            assert!(!resolving.have_ended_it() && !resolving.have_ended_it());
            assert_eq!(resolved.load(Ordering::Relaxed), times);
        }
    }
}
