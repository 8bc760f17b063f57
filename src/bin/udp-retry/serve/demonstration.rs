use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::net::system_seed;
use udp_retry::proxy::Proxy;
use udp_retry::{ConcurrentRequester, RetryPolicy, transaction_id};

use super::services::Service;
use super::{Arguments, Server};
use crate::terminal::{Outcome, say};

/// The counter, a bad network in front of it, and a client.
pub(super) fn show(arguments: &Arguments) -> Outcome {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(arguments, Service::Counter, loopback)?;
    let profile = Profile::both(NETWORK.parse()?);
    let mut network = Proxy::builder().profile(profile).seed(system_seed()?).bind(loopback, server.address)?;
    let address = network.local_addr();
    if !arguments.json {
        say(format_args!("listening on {}, behind {address}: {NETWORK}, in each direction", server.address))?;
    }

    let is_over = &AtomicBool::new(false);
    let (asked, report) = thread::scope(|scope| {
        let serving = scope.spawn(move || server.run(|| is_over.load(Ordering::Relaxed)));
        scope.spawn(move || while !is_over.load(Ordering::Relaxed) && network.run_for(TURN).is_ok() {});
        let asked = ask(arguments, address);
        is_over.store(true, Ordering::Relaxed);
        (asked, serving.join())
    });
    let (asked, report) = (asked?, report.map_err(|_| "the server has panicked")??);
    if !arguments.json {
        say(format_args!("{asked} of {INCREMENTS} increments were answered"))?;
    }
    say(report.shown(arguments.json))?;
    // One that was not answered may have been executed, once.
    if !(asked..=INCREMENTS).contains(&report.counter) {
        return Err(format!("counted {} for {asked} answers", report.counter).into());
    }
    Ok(())
}

/// How many were answered.
fn ask(arguments: &Arguments, address: SocketAddr) -> Outcome<u64> {
    let policy: RetryPolicy = "50ms x2 max 400ms 12 transmissions".parse()?;
    let id = transaction_id(0..8).stamped();
    let mut client = ConcurrentRequester::builder(id).policy(policy);
    if arguments.envelope {
        // A server that is as young as a request cannot tell whether the one before has executed it.
        thread::sleep(YOUNG);
        client = client.envelope();
    }
    let mut client = client.connect(address)?;
    // Alone, as no request names a server that has not answered yet: a young one has each of those asked once more.
    let first = u64::from(arguments.envelope);
    let mut answered = 0;
    for burst in [0..first, first..INCREMENTS] {
        for increment in burst {
            client.submit(b"........+1", increment)?;
        }
        while let Some(done) = client.wait() {
            answered += u64::from(done.reply().is_ok());
        }
    }
    Ok(answered)
}

const INCREMENTS: u64 = 100;
const NETWORK: &str = "loss 20%; duplicate 20%; delay 5ms";
const TURN: Duration = Duration::from_millis(20);
/// More than a datagram takes, however busy the machine is.
const YOUNG: Duration = Duration::from_millis(500);
