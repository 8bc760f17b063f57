//! A signal that ends what runs, so that it still says what came of it.
#![expect(clippy::disallowed_methods, reason = "a pause between two requests, and a look at the signal now and then")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use udp_retry::net::CancelHandle;

/// Set by Ctrl-C; the second one ends the program at once.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub(crate) fn new() -> io::Result<Self> {
        let set = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first one finds it unset.
            flag::register_conditional_shutdown(signal, 128 + signal, set.clone())?;
            flag::register(signal, set.clone())?;
        }
        Ok(Self(set))
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Until then, or until it is set.
    pub(crate) fn sleep(&self, mut wait: Duration) {
        while !wait.is_zero() && !self.is_set() {
            let step = wait.min(TURN);
            thread::sleep(step);
            wait -= step;
        }
    }

    /// Has it end this wait, too.
    pub(crate) fn ends(&self, wait: CancelHandle) -> io::Result<()> {
        let interrupt = self.clone();
        thread::Builder::new().spawn(move || {
            while !interrupt.is_set() {
                thread::sleep(TURN);
            }
            wait.cancel();
        })?;
        Ok(())
    }
}

const TURN: Duration = Duration::from_millis(20);
