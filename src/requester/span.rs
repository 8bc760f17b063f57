//! With the feature `tracing`: one span for each request, and an event in it for everything that happens.

use core::time::Duration;

use tracing::field::Empty;

use crate::transaction::{Event, Failure, ReplyMatcher, Transaction};

pub(super) const ENABLED: bool = true;

/// Entered as long as the request lasts.
pub(super) struct Span(tracing::span::EnteredSpan);

pub(super) fn open() -> Span {
    let span = tracing::debug_span!(
        target: "udp_retry",
        "request",
        transmissions = Empty,
        withheld = Empty,
        strays = Empty,
        failure = Empty,
    );
    Span(span.entered())
}

pub(super) fn record(at: Duration, event: Event) {
    tracing::trace!(target: "udp_retry", at_us = u64::try_from(at.as_micros()).unwrap_or(u64::MAX), "{event}");
}

/// Of a request that is a future: what is done meanwhile is not in it.
#[cfg(any(feature = "tokio", feature = "sim"))]
pub(super) struct CallSpan(tracing::Span);

#[cfg(any(feature = "tokio", feature = "sim"))]
impl CallSpan {
    pub(super) fn open() -> Self {
        Self(tracing::debug_span!(
            target: "udp_retry",
            "request",
            transmissions = Empty,
            withheld = Empty,
            failure = Empty,
        ))
    }

    pub(super) fn close(&self, transmissions: u32, withheld: u32, failure: Option<Failure>) {
        let Self(span) = self;
        span.record("transmissions", transmissions);
        span.record("withheld", withheld);
        if let Some(failure) = failure {
            span.record("failure", tracing::field::display(failure));
        }
    }
}

impl Span {
    pub(super) fn close(self, transaction: &Transaction<impl ReplyMatcher>, failure: Option<Failure>) {
        let Self(span) = self;
        if span.is_disabled() {
            return;
        }
        span.record("transmissions", transaction.transmissions());
        span.record("withheld", transaction.withheld());
        span.record("strays", transaction.strays().total());
        if let Some(failure) = failure {
            span.record("failure", tracing::field::display(failure));
        }
    }
}
