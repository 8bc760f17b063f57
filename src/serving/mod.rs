//! A server's loop: receives, executes each request once, and answers its copies by the reply that is kept.
//!
//! | item | is |
//! |---|---|
//! | [`SharedResponder`] | a [`Responder`](crate::replies::Responder) that threads share, and the loop: [`serve`](SharedResponder::serve) |
//! | [`Request`] | what a handler gets |
//! | [`Handled`] | what it says of it |
//!
//! The loop decides nothing: what is executed, and what is promised of that, is in [`replies`](crate::replies). What each setting
//! costs, and what no server can promise, is in [`guide::serving`](crate::guide::serving).

mod blocking;
mod line;
mod request;
mod shared;

pub use self::blocking::Ended;
pub use self::request::{Handled, Request};
pub use self::shared::SharedResponder;
