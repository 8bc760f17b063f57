//! What to do next: the pure machines against models of theirs, and what drives or wraps a transport (the requester,
//! its spans, `LossySink`) over the scripted network of `scripted`.

mod adaptive;
mod facts;
mod front;
mod ids;
mod observing;
mod requester;
mod scripted;
mod seen;
mod sharing;
mod sink;
#[cfg(feature = "tracing")]
mod spans;
mod timer_properties;
mod transaction_properties;
mod waits;
mod watchdog;
mod wire_captures;
