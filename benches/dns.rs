//! A DNS client with many queries in flight: what `benches/dns.sh` puts beside dnsperf, on the same server.
//!
//! ```text
//! dns --server ADDRESS [--window 64] [--queries 1000] FILE   FILE has lines such as "www.example.org A", as dnsperf's
//! dns                                                        asks a responder in this process, window after window
//! ```
//!
//! Each line that it prints says how many queries were answered, were lost (five transmissions brought no answer) or
//! got a wrong answer (to another question, or without a record), which fails; and how many were answered in a second
//! of the client thread's processor, and in all.

fn main() {
    #[cfg(target_os = "linux")]
    command::main();
    #[cfg(not(target_os = "linux"))]
    println!("skipped: the processor time of a thread is there on Linux only");
}

#[cfg(target_os = "linux")]
#[path = "dns/client.rs"]
mod client;
#[cfg(target_os = "linux")]
#[path = "dns/command.rs"]
mod command;
#[cfg(target_os = "linux")]
#[path = "dns/message.rs"]
mod message;
#[cfg(target_os = "linux")]
#[path = "dns/responder.rs"]
mod responder;
