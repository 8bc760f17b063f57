use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use udp_retry::net::UnconnectedUdp;
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, transaction_id};

use super::listeners::Listeners;
use super::process::Process;
use super::running::Running;
use super::{Listener, NAME};
use crate::terminal::Outcome;

/// A service that repeats what it hears, and a client with twenty requests.
pub(super) fn show(arguments: &Listener, process: &Process) -> Outcome {
    let mut service = UnconnectedUdp::bind("127.0.0.1:0")?;
    let upstream = service.local_addr();
    thread::spawn(move || {
        let mut buffer = [0; 64];
        loop {
            if let Incoming::Datagram(heard) = service.recv(&mut buffer, service.now(), Timestamp::MAX) {
                let _ = service.send(heard.from, &buffer[..heard.len]);
            }
        }
    });
    let running = Running::new(NAME, arguments, SocketAddr::from(([127, 0, 0, 1], 0)), upstream)?;
    let address = running.proxy.local_addr();
    let listeners = Listeners::new(vec![running], process)?;
    listeners.announce()?;
    let ended = Arc::new(AtomicBool::new(false));
    let (client, done) = (thread::spawn(move || ask(address)), ended.clone());
    thread::spawn(move || {
        let asked = client.join();
        done.store(true, Ordering::Relaxed);
        asked
    });
    listeners.until(&ended)
}

fn ask(address: SocketAddr) -> Outcome {
    let mut requester = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).connect(address)?;
    for n in 1..=20_u32 {
        let told = match requester.request(&n.to_be_bytes()) {
            Ok(reply) => format!("request {n}: answered after transmission {}", reply.transmissions()),
            Err(error) => format!("request {n}: {error}"),
        };
        writeln!(io::stderr(), "{told}")?;
    }
    Ok(())
}
