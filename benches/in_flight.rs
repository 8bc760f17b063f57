//! Many requests in flight, beside the least that any client can do: `sendmmsg` and `recvmmsg` with a full window, and
//! nothing that a request needs besides.
//!
//! `taskset -c 0 cargo bench --features tokio --bench in_flight` puts the client on one core; the echo, a process of its
//! own, goes to core 1. The ways to ask alternate in rounds, and each is compared with the batches of the same round by
//! what it takes of the client thread's processor: the rate beside it is that of both ends.
//!
//! Windows that default socket buffers do not hold get larger ones at both ends. Beyond `net.core.rmem_max` that takes
//! root; what the buffers cannot hold even so is left out.
//!
//! `-- engine`, `-- lateness` or `-- fronts` behind that measures this part alone.

fn main() {
    #[cfg(target_os = "linux")]
    compare::main();
    #[cfg(not(target_os = "linux"))]
    println!("skipped: sendmmsg and the processor time of a thread are there on Linux only");
}

#[cfg(target_os = "linux")]
#[path = "in_flight/callers.rs"]
mod callers;
#[cfg(target_os = "linux")]
#[path = "in_flight/compare.rs"]
mod compare;
#[cfg(target_os = "linux")]
#[path = "in_flight/echo.rs"]
mod echo;
#[cfg(target_os = "linux")]
#[path = "in_flight/engine.rs"]
mod engine;
#[cfg(target_os = "linux")]
#[path = "in_flight/front.rs"]
mod front;
#[cfg(target_os = "linux")]
#[path = "in_flight/futures.rs"]
mod futures;
#[cfg(target_os = "linux")]
#[path = "in_flight/lateness.rs"]
mod lateness;
#[cfg(target_os = "linux")]
#[path = "in_flight/raw.rs"]
mod raw;
#[cfg(target_os = "linux")]
#[path = "in_flight/socket.rs"]
mod socket;
