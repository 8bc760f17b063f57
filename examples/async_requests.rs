//! Asks as 200 callers at once, each a task of tokio's: a slow server, and one behind a network that loses a fifth of everything.
//!
//! A caller whose client hangs up drops its request, and that is all that it takes to cancel it.
#![expect(clippy::disallowed_methods, reason = "the servers have threads")]

mod support {
    pub(crate) mod outcome;
}

use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Parser;
use support::outcome::{Outcome, exit_code, say};
use tokio::time::{Instant, sleep};
use udp_retry::net::UnconnectedUdp;
use udp_retry::transport::{Incoming, Transport};
use udp_retry::{AsyncRequester, Impairments, LossySink, RetryPolicy, Seed, transaction_id};

/// Asks as many callers at once, under tokio
#[derive(Parser)]
struct Arguments {
    /// How many callers there are
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    callers: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    exit_code(runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(&arguments))))
}

async fn run(arguments: &Arguments) -> Outcome {
    // Each way: twice the delay is still less than the first wait, of 0.1 s.
    let (slow, lossy) = (server("delay 20ms")?, server("loss 20%")?);
    // Eight bytes of id, written over the dots, which replies repeat.
    let builder = AsyncRequester::builder(transaction_id(0..8).stamped()).policy(RetryPolicy::LAN);
    let requester = builder.over(UnconnectedUdp::bind("127.0.0.1:0")?)?;
    let start = Instant::now();
    let callers: Vec<_> = (0..arguments.callers)
        .map(|caller| {
            let requester = requester.clone();
            tokio::spawn(async move {
                let server = if caller % 2 == 0 { slow } else { lossy };
                // Every tenth client hangs up before a slow server can have answered.
                let patience = Duration::from_millis(if caller % 10 == 0 { 20 } else { 10_000 });
                // Whichever ends first; the other one is dropped.
                tokio::select! {
                    asked = requester.request_to(server, b"........how are you?") => Some(asked),
                    () = sleep(patience) => None,
                }
            })
        })
        .collect();

    let (mut answered, mut again, mut gone) = (0, 0, 0);
    for caller in callers {
        match caller.await? {
            Some(Ok(reply)) => {
                answered += 1;
                again += u32::from(reply.transmissions() > 1);
            }
            Some(Err(error)) => say(format_args!("{error}"))?,
            None => gone += 1,
        }
    }
    say(format_args!(
        "{answered} of {} callers got their answers, {again} of them not the first time, and {gone} went away; {:.1} s",
        arguments.callers,
        start.elapsed().as_secs_f64()
    ))?;
    requester.shutdown().await;
    Ok(())
}

/// An echo over a bad network, in a thread of its own.
fn server(network: &str) -> Outcome<SocketAddr> {
    let socket = UnconnectedUdp::bind("127.0.0.1:0")?;
    let (address, network) = (socket.local_addr(), network.parse::<Impairments>()?);
    let mut transport = LossySink::new(socket, network, Seed::new(7));
    let mut buffer = [0; 2048];
    thread::spawn(move || {
        loop {
            let now = transport.now();
            if let Incoming::Datagram(asked) = transport.recv(&mut buffer, now, now.after(Duration::from_secs(1))) {
                let _ = transport.send(asked.from, &buffer[..asked.len]);
            }
        }
    });
    Ok(address)
}
