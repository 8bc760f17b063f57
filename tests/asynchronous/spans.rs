//! With the feature `tracing`: a span for each request, as long as its future lasts.
#![cfg(feature = "tracing")]

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::with_default;
use tracing::{Dispatch, Event, Metadata, Subscriber};

use crate::echoes::{Echo, Manner};
use crate::runtimes::{builder, paused};
use crate::watchdog::{MINUTE, within};

/// Writes down the spans of this crate.
#[derive(Clone, Default)]
struct Told {
    lines: Arc<Mutex<Vec<String>>>,
    spans: Arc<AtomicU64>,
}

struct Line<'l>(&'l Told, u64);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.lines.lock().unwrap().push(format!("{}: {field}={value:?}", self.1));
    }
}

impl Subscriber for Told {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "udp_retry"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let number = self.spans.fetch_add(1, Ordering::SeqCst) + 1;
        self.lines.lock().unwrap().push(format!("{number}: {}", span.metadata().name()));
        Id::from_u64(number)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        values.record(&mut Line(self, span.into_u64()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, span: &Id) {
        self.lines.lock().unwrap().push(format!("{}: enter", span.into_u64()));
    }

    fn exit(&self, _: &Id) {}

    fn try_close(&self, span: Id) -> bool {
        self.lines.lock().unwrap().push(format!("{}: close", span.into_u64()));
        true
    }
}

#[test]
fn each_future_has_a_span_that_is_not_entered_and_says_how_it_ended() {
    within(MINUTE, || {
        let told = Told::default();
        // As long as a process has one subscriber only, the first thread to meet a span decides for all whether that is wanted.
        let _others = [(); 2].map(|()| Dispatch::new(Told::default()));
        with_default(told.clone(), || {
            paused().block_on(async {
                let mute = crate::runtimes::mute();
                let requester = builder().connect(mute.local_addr().unwrap()).await.unwrap();
                requester.request(b"........anyone?").await.unwrap_err();
                drop(requester.request(b"........never polled"));
            });
            crate::runtimes::current_thread().block_on(async {
                let echo = Echo::start("127.0.0.1", Manner::Prompt);
                let requester = builder().connect(echo.address).await.unwrap();
                requester.request(b"........ping").await.unwrap();
            });
        });
        let expected = [
            "1: request",
            "1: transmissions=5",
            "1: withheld=0",
            "1: failure=no reply",
            "1: close",
            "2: request",
            "2: close",
            "3: request",
            "3: transmissions=1",
            "3: withheld=0",
            "3: close",
        ];
        assert_eq!(*told.lines.lock().unwrap(), expected);
    });
}
