//! What to do next: the pure machines against models of theirs, and what drives or wraps a transport (the requester,
//! its spans, `LossySink`) over the scripted network of `scripted`.

mod adaptive;
mod busy_poll;
mod by_hand;
#[path = "../common/captures.rs"]
mod captures;
mod concurrent;
mod facts;
#[path = "../common/forwarding.rs"]
mod forwarding;
mod front;
mod grants;
mod ids;
mod in_flight;
mod observing;
#[path = "../common/offers.rs"]
mod offers;
mod own_rules;
mod preparation;
mod quotes;
mod refusals;
mod reissue;
mod renewal;
mod requester;
mod samples;
mod scripted;
mod seen;
mod servers;
mod sharing;
mod sink;
mod sizes;
#[cfg(feature = "tracing")]
mod spans;
mod timer_properties;
mod transaction_properties;
#[path = "../common/unmixed.rs"]
mod unmixed;
mod verdicts_stay;
#[path = "../common/waits.rs"]
mod waits;
#[path = "../common/watchdog.rs"]
mod watchdog;
mod wire_captures;
mod wrapping;
