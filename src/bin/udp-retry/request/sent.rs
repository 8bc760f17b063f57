//! When each transmission of a request left. A timeline has no room for very many.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use udp_retry::transaction::Event;

/// Of the request that runs, or ran last; clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Sent(Arc<Mutex<Vec<Duration>>>);

impl Sent {
    /// What a requester is to call.
    pub(crate) fn observer(&self) -> impl Fn(Duration, Event) + Send + Sync + 'static {
        let sent = self.clone();
        move |at, event| {
            if let Event::Transmitted { .. } = event {
                sent.lock().push(at);
            }
        }
    }

    /// Before the next request.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// Counted from the first one.
    pub(crate) fn times(&self) -> Vec<Duration> {
        let sent = self.lock();
        let first = sent.first().copied().unwrap_or_default();
        sent.iter().map(|at| at.saturating_sub(first)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
