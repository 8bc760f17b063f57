//! What to do next: the pure machines against models of theirs, and what drives or wraps a transport (the requester,
//! its spans, `LossySink`) over the scripted network of `scripted`.

mod adaptive;
mod observing;
mod requester;
mod scripted;
mod sink;
#[cfg(feature = "tracing")]
mod spans;
mod timer_properties;
mod transaction_properties;
mod watchdog;
mod wire_captures;
