//! What happens to a datagram: the links, their text form, the profiles and the traces. `LossySink` is tested in
//! `tests/transaction/`, beside the scripted transport that it wraps.

mod any_impairments;
mod delay_laws;
mod dose;
mod fates;
mod link_delay;
mod link_loss;
mod link_queue;
mod link_stages;
mod link_whole;
mod markov;
mod profiles;
mod queue_history;
mod rate_traces;
mod schedules;
mod seeds;
mod specifications;
#[cfg(feature = "trace")]
mod trace;
#[path = "../common/unmixed.rs"]
mod unmixed;
