//! What to do next: the pure machines against models of theirs, and what drives or wraps a transport (the requester,
//! its spans, `LossySink`) over the scripted network of `scripted`.

mod adaptive;
mod by_hand;
mod facts;
mod front;
mod grants;
mod observing;
mod own_rules;
mod preparation;
mod refusals;
mod reissue;
mod renewal;
mod requester;
mod samples;
mod scripted;
mod seen;
mod sink;
#[cfg(feature = "tracing")]
mod spans;
mod timer_properties;
mod transaction_properties;
mod verdicts_stay;
mod waits;
mod wrapping;
