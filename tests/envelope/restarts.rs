//! Servers that restart at any moment, in networks that lose, repeat, delay and reorder: nothing is executed twice.

use std::cell::Cell;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::sim::{SimNet, explore};
use udp_retry::transaction::{Event, Execution, Failure};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, transaction_id};

use crate::server::{Executions, Server, lives};
use crate::{CLIENT, SERVER, ms};

const BAD: &str = "loss 20%; duplicate 30% late 300ms ~300ms; delay 50ms ~45ms unordered";
/// The longest request, 1.5 s, and how long a copy may be on its way, 0.7 s, and some more.
const LIFETIME: Duration = Duration::from_millis(2_500);

#[derive(Default)]
struct Tally {
    answered: Cell<u32>,
    /// Answered by an incarnation that the request had not named at first.
    taken: Cell<u32>,
    restarted: Cell<u32>,
    /// Of these, those that had been executed.
    executed: Cell<u32>,
    timed_out: Cell<u32>,
}

fn count(of: &Cell<u32>) {
    of.set(of.get() + 1);
}

#[test]
fn whenever_the_server_restarts_nothing_is_executed_twice() {
    let tally = Tally::default();
    let seeds = 1_000;
    explore(0..seeds, |net| increments(net, &tally)).unwrap_or_else(|failure| panic!("{failure}"));
    let [answered, taken, restarted, executed, timed_out] =
        [&tally.answered, &tally.taken, &tally.restarted, &tally.executed, &tally.timed_out].map(Cell::get);
    println!(
        "of {} requests {answered} were answered ({taken} by an incarnation that was up before them), {restarted} met a \
         restart ({executed} of these had been executed), {timed_out} timed out",
        answered + restarted + timed_out
    );
    // Else nothing was proved.
    assert!(answered > 20_000 && taken > 2_000 && restarted > 1_000 && executed > 200, "too little of something");
}

/// Three requests by each of forty clients, the first of which knows no incarnation.
fn increments(net: &SimNet, tally: &Tally) -> Result<(), String> {
    let (client, server) = (net.host(CLIENT).unwrap(), net.host(SERVER.ip()).unwrap());
    net.path(client, server, Profile::both(BAD.parse().unwrap())).unwrap();
    let executions = Executions::default();
    let seed = Seed::new(net.seed().derive(903).draw(0));
    let work = [Duration::ZERO, ms(20), ms(250)][(seed.draw(0) % 3) as usize];
    let most = [ms(600), ms(3_000), ms(10_000)][(seed.draw(1) % 3) as usize];
    let lives = lives(seed, most, ms(400));
    net.serve_endpoint(SERVER, Server::new(lives, LIFETIME, work, &executions)).unwrap();
    for n in 0..40_u32 {
        // The port differs, the id does not repeat: as after a restart of the client.
        let transport = net.connect(client, SERVER).unwrap();
        let builder = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).envelope();
        let mut requester = builder.over(transport).unwrap();
        for k in 0..3_u32 {
            let id = (3 * n + k).to_be_bytes();
            let ended = requester.request(&id);
            let count_of = executions.borrow().get(&id[..]).map_or(0, Vec::len);
            match ended {
                Ok(reply) => {
                    assert_eq!(reply.payload()[..4], id);
                    let unknown = reply.timeline().events().any(|(_, event)| matches!(event, Event::Unknown { .. }));
                    count(if unknown { &tally.taken } else { &tally.answered });
                    if unknown {
                        count(&tally.answered);
                    }
                    if count_of != 1 {
                        return Err(format!("{id:?} was answered and executed {count_of} times"));
                    }
                }
                Err(error) if error.failure() == Failure::ServerRestarted => {
                    assert_eq!(error.execution(), Execution::Unknown);
                    count(&tally.restarted);
                    (0..count_of).for_each(|_| count(&tally.executed));
                }
                Err(error) => {
                    assert!(error.is_timeout(), "{error}");
                    count(&tally.timed_out);
                }
            }
        }
    }
    // Copies that are still on their way.
    net.run_until(net.now().after(ms(5_000)));
    for (id, times) in executions.borrow().iter() {
        if times.len() > 1 {
            return Err(format!("{id:?} was executed {} times: {times:?}", times.len()));
        }
    }
    Ok(())
}
