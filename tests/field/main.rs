//! What users of the field complain of, shown on the loop that everybody writes and not on ours.

mod complaints;
mod complaints_close_behind;
mod complaints_of_many;
mod naive;
mod naive_client;
mod naive_sockets;
#[path = "../common/waits.rs"]
mod waits;
#[path = "../common/watchdog.rs"]
mod watchdog;
