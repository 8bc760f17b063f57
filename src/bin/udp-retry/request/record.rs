//! What happened in a request: when each transmission left, as a timeline has no room for very many, and what each path has
//! shown.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use udp_retry::transaction::Event;
use udp_retry::transport::{PathError, PathIndex};

/// Of the request that runs, or ran last; clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Seen>>);

#[derive(Default)]
pub(crate) struct Seen {
    sent: Vec<Duration>,
    paths: Vec<Shown>,
}

/// By one path.
#[derive(Clone, Copy, Default)]
pub(crate) struct Shown {
    pub(crate) transmissions: u32,
    pub(crate) last_error: Option<PathError>,
    pub(crate) answered: bool,
}

impl Record {
    /// What a requester is to call.
    pub(crate) fn observer(&self) -> impl Fn(Duration, Event) + Send + Sync + 'static {
        let record = self.clone();
        move |at, event| record.0.lock().unwrap_or_else(PoisonError::into_inner).on_event(at, event)
    }

    /// All of it, and begins anew.
    pub(crate) fn take(&self) -> Seen {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Seen {
    /// When each transmission left, counted from the first one.
    pub(crate) fn sent(&self) -> impl Iterator<Item = Duration> {
        let first = self.sent.first().copied().unwrap_or_default();
        self.sent.iter().map(move |at| at.saturating_sub(first))
    }

    pub(crate) fn path(&self, number: usize) -> Shown {
        self.paths.get(number).copied().unwrap_or_default()
    }

    fn on_event(&mut self, at: Duration, event: Event) {
        match event {
            Event::Transmitted { path, .. } => {
                self.sent.push(at);
                self.of(path).transmissions += 1;
            }
            Event::NotTransmitted { path, error, .. } | Event::PathError { path: Some(path), error, .. } => {
                self.of(path).last_error = Some(error);
            }
            Event::Provisional { path, .. } | Event::Replied { path, .. } => self.of(path).answered = true,
            _ => {}
        }
    }

    fn of(&mut self, path: PathIndex) -> &mut Shown {
        let number = path.number() as usize;
        if self.paths.len() <= number {
            self.paths.resize(number + 1, Shown::default());
        }
        &mut self.paths[number]
    }
}
