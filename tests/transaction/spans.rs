//! With the feature `tracing`: one span for each request, and in it an event for everything that happens.
#![cfg(feature = "tracing")]
#![expect(clippy::disallowed_methods, reason = "spans of two threads must not mix")]

use std::cell::RefCell;
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::with_default;
use tracing::{Level, Metadata, Subscriber};
use udp_retry::requester::Builder;
use udp_retry::{ReliableRequester, RetryBudget, RetryPolicy, Seed, transaction_id};

use crate::scripted::{Scripted, ms, refused, reply};
use crate::watchdog::{MINUTE, within};

#[test]
fn a_reply_is_a_span_with_its_events_that_is_closed_when_it_came() {
    let world = Scripted::new(|heard| match heard.ordinal {
        0 => vec![reply(ms(20), b"stray"), refused(ms(30))],
        _ => vec![reply(ms(3), heard.payload)],
    });
    let told = told(Level::TRACE, || {
        assert_eq!(builder().over(world).request(PING).unwrap().transmissions(), 2);
    });
    let expected = [
        "1: DEBUG udp_retry request transmissions withheld strays failure, in none",
        "1: enter",
        "1: TRACE udp_retry --> transmission 1 at_us=0",
        "1: TRACE udp_retry <-? 5 bytes that answer nothing: foreign at_us=20000",
        "1: TRACE udp_retry <-! connection refused: nobody listens there at_us=30000",
        "1: TRACE udp_retry --> transmission 2 at_us=100000",
        "1: TRACE udp_retry <-- reply at_us=103000",
        "1: transmissions=2",
        "1: withheld=0",
        "1: strays=1",
        "1: exit",
        "1: close",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_failure_is_named_and_the_next_request_has_a_span_of_its_own() {
    let mut requester =
        builder().budget(&RetryBudget::new(0.0, 1, 1).unwrap()).deadline(ms(500)).over(Scripted::silent());
    let told = told(Level::TRACE, || {
        requester.request(PING).unwrap_err();
        requester.request(b"id").unwrap_err();
    });
    let expected = [
        "1: DEBUG udp_retry request transmissions withheld strays failure, in none",
        "1: enter",
        "1: TRACE udp_retry --> transmission 1 at_us=0",
        "1: TRACE udp_retry --> transmission 2 at_us=100000",
        "1: TRACE udp_retry -x  withheld by the retry budget at_us=300000",
        "1: TRACE udp_retry --| deadline, 200.0 ms before this wait would have ended at_us=500000",
        "1: TRACE udp_retry   # no reply within the deadline at_us=500000",
        "1: transmissions=2",
        "1: withheld=1",
        "1: strays=0",
        "1: failure=no reply within the deadline",
        "1: exit",
        "1: close",
        "2: DEBUG udp_retry request transmissions withheld strays failure, in none",
        "2: enter",
        "2: TRACE udp_retry   # the request lacks the id that its reply would repeat at_us=0",
        "2: transmissions=0",
        "2: withheld=0",
        "2: strays=0",
        "2: failure=the request lacks the id that its reply would repeat",
        "2: exit",
        "2: close",
    ];
    assert_eq!(told, expected);
}

#[test]
fn it_lies_in_the_callers_span_and_leaves_it_as_it_was() {
    let told = told(Level::TRACE, || {
        let outer = tracing::info_span!(target: "caller", "work").entered();
        builder().over(Scripted::echo(ms(3))).request(PING).unwrap();
        tracing::info!(target: "caller", "afterwards");
        drop(outer);
    });
    assert_eq!(told[0], "1: INFO caller work, in none");
    assert_eq!(told[2], "2: DEBUG udp_retry request transmissions withheld strays failure, in 1");
    assert!(told.contains(&"1: INFO caller afterwards".to_owned()), "{told:#?}");
}

#[test]
fn a_subscriber_is_shown_what_it_wants_and_no_more() {
    let ask = || assert!(builder().over(Scripted::echo(ms(3))).request(PING).is_ok());
    let of_spans = told(Level::DEBUG, ask);
    assert_eq!(of_spans.len(), 7, "{of_spans:#?}");
    assert!(of_spans.iter().all(|line| !line.contains("TRACE")));
    assert_eq!(told(Level::INFO, ask), [""; 0]);
}

#[test]
fn an_observer_sees_as_much_with_a_subscriber_as_without() {
    let count = || {
        let seen = Arc::new(AtomicU64::new(0));
        let noted = seen.clone();
        let builder = builder().observer(move |_, _| {
            noted.fetch_add(1, Ordering::Relaxed);
        });
        builder.over(Scripted::silent()).request(PING).unwrap_err();
        seen.load(Ordering::Relaxed)
    };
    let mut with = 0;
    told(Level::TRACE, || with = count());
    assert_eq!((count(), with), (6, 6));
}

#[test]
fn being_watched_changes_no_schedule() {
    let ask = || {
        let policy = RetryPolicy::default();
        let mut requester = builder().policy(policy).over(Scripted::silent());
        let error = requester.request(PING).unwrap_err();
        (*error.timeline(), requester.into_transport().sent)
    };
    let unwatched = ask();
    for level in [Level::INFO, Level::TRACE] {
        let mut watched = None;
        told(level, || watched = Some(ask()));
        assert_eq!(watched, Some(unwatched.clone()));
    }
}

#[test]
fn spans_of_two_threads_do_not_mix() {
    within(MINUTE, || {
        let recorder = Arc::new(Recorder::new(Level::TRACE));
        let threads = [3, 5].map(|takes| {
            let recorder = recorder.clone();
            thread::spawn(move || {
                with_default(recorder, || {
                    let mut requester = builder().over(Scripted::echo(ms(takes)));
                    for _ in 0..200 {
                        requester.request(PING).unwrap();
                    }
                });
                (thread::current().id(), takes)
            })
        });
        let threads = threads.map(|thread| thread.join().unwrap());
        let lines = std::mem::take(&mut *recorder.lines.lock().unwrap());
        for (thread, takes) in threads {
            let own: Vec<_> = lines.iter().filter(|(by, _)| *by == thread).map(|(_, line)| line).collect();
            for request in own.chunks(9) {
                let (id, _) = request[0].split_once(": DEBUG").unwrap();
                let replied = format!("{id}: TRACE udp_retry <-- reply at_us={takes}000");
                assert_eq!(*request[3], replied);
                assert!(request.iter().all(|line| line.starts_with(&format!("{id}: "))), "{request:#?}");
                assert!(request[8].ends_with("close"));
            }
            assert_eq!(own.len(), 200 * 9);
        }
        assert_eq!(lines.len(), 400 * 9);
    });
}

/// What a subscriber of this level is told of it.
fn told(level: Level, work: impl FnOnce()) -> Vec<String> {
    let recorder = Arc::new(Recorder::new(level));
    with_default(recorder.clone(), work);
    let lines = std::mem::take(&mut *recorder.lines.lock().unwrap());
    lines.into_iter().map(|(_, line)| line).collect()
}

fn builder() -> Builder {
    ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).seed(Seed::new(1))
}

/// Notes everything as text.
struct Recorder {
    level: Level,
    spans: AtomicU64,
    lines: Mutex<Vec<(ThreadId, String)>>,
}

impl Recorder {
    fn new(level: Level) -> Self {
        Self { level, spans: AtomicU64::new(0), lines: Mutex::default() }
    }

    fn note(&self, span: impl ToString, what: &str) {
        self.lines.lock().unwrap().push((thread::current().id(), format!("{}: {what}", span.to_string())));
    }

    fn current() -> String {
        ENTERED.with_borrow(|entered| entered.last().map_or("none".to_owned(), u64::to_string))
    }
}

thread_local! {
    /// From the outermost.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.spans.fetch_add(1, Ordering::Relaxed) + 1;
        let about = span.metadata();
        let mut line = format!("{} {} {}", about.level(), about.target(), about.name());
        for field in about.fields() {
            write!(line, " {field}").unwrap();
        }
        self.note(id, &format!("{line}, in {}", Self::current()));
        let mut values = Text(String::new());
        span.record(&mut values);
        assert_eq!(values.0, "", "nothing is known yet");
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut text = Text(String::new());
        values.record(&mut text);
        self.note(span.into_u64(), text.0.trim_start());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut values = Text(String::new());
        event.record(&mut values);
        let about = event.metadata();
        self.note(Self::current(), &format!("{} {}{}", about.level(), about.target(), values.0));
    }

    fn enter(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(span.into_u64()));
        self.note(span.into_u64(), "enter");
    }

    fn exit(&self, span: &Id) {
        let left = ENTERED.with_borrow_mut(Vec::pop);
        assert_eq!(left, Some(span.into_u64()));
        self.note(span.into_u64(), "exit");
    }

    fn try_close(&self, span: Id) -> bool {
        self.note(span.into_u64(), "close");
        true
    }
}

/// Fields as text, the message first.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.0.insert_str(0, &format!(" {value:?}")),
            name => write!(self.0, " {name}={value:?}").unwrap(),
        }
    }
}

const PING: &[u8] = b"id 1 ping";
