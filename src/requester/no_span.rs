//! Without the feature `tracing`: nothing.

use core::time::Duration;

use crate::transaction::{Event, Failure, ReplyMatcher, Transaction};

pub(super) const ENABLED: bool = false;

pub(super) struct Span;

pub(super) fn open() -> Span {
    Span
}

pub(super) fn record(_: Duration, _: Event) {}

#[cfg(any(feature = "tokio", feature = "sim"))]
pub(super) struct CallSpan;

#[cfg(any(feature = "tokio", feature = "sim"))]
impl CallSpan {
    pub(super) fn open() -> Self {
        Self
    }

    pub(super) fn close(&self, _: u32, _: u32, _: Option<Failure>) {}
}

impl Span {
    pub(super) fn close(self, _: &Transaction<impl ReplyMatcher>, _: Option<Failure>) {}
}
