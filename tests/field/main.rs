//! What users of the field complain of, shown on the loop that everybody writes and not on ours.
#![expect(clippy::needless_borrows_for_generic_args, reason = "an array that is not borrowed is copied to the heap")]

mod complaints;
mod complaints_close_behind;
mod complaints_of_many;
mod naive;
mod naive_client;
mod naive_sockets;
mod waits;
