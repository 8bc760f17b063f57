//! Which of several servers to ask: health, choice, probes, without a socket or a clock.
//!
//! | type | decides |
//! |---|---|
//! | [`ServerSet`] | which server a transmission goes to, when the next one is asked instead, which is dead, when a dead one is probed |
//! | [`ServerSettings`] | the parameters of that, and their defaults |
//! | [`Health`], [`ServerState`] | nothing; they are what is known of a server, for a metrics page |
//! | [`Paths`] | nothing; it is a set of paths |

mod choice;
mod health;
mod latencies;
mod loss;
mod margin;
mod overdue;
mod paths;
mod probes;
mod quickest;
mod server;
mod set;
mod settings;

pub use self::health::{Health, ServerState};
pub use self::paths::Paths;
pub use self::set::{Choice, Sent, ServerSet};
pub use self::settings::{ServerSettings, ServersError, Spread};
