//! A server's loop: receives, executes each request once, and answers its copies by the reply that is kept.
//!
//! | item | is |
//! |---|---|
//! | [`SharedResponder`] | a [`Responder`](crate::replies::Responder) that threads share, and the loop: [`serve`](SharedResponder::serve) |
//! | [`Request`] | what a handler gets |
//! | [`Handled`] | what it says of it |
//! | [`Ended`] | why the loop has ended |
//!
//! With the feature `tokio` there is `SharedResponder::serve_async`, whose handlers get an `AsyncRequest` and return futures.
//!
//! The loop decides nothing: what is executed, and what is promised of that, is in [`replies`](crate::replies). What each setting
//! costs, and what no server can promise, is in [`guide::serving`](crate::guide::serving).

#[cfg(feature = "tokio")]
mod asynchronous;
mod blocking;
mod line;
mod request;
mod shared;
#[cfg(feature = "tokio")]
mod under_tokio;

#[cfg(feature = "tokio")]
pub use self::asynchronous::{AsyncHandled, AsyncRequest};

pub use self::blocking::Ended;
pub use self::request::{Handled, Request};
pub use self::shared::SharedResponder;
