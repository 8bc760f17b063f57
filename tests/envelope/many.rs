//! A thousand requests in flight, and calls of futures, to servers that restart and over networks that lose half of all.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::envelope::Incarnation;
use udp_retry::fault::Profile;
use udp_retry::policy::RttEstimator;
use udp_retry::replies::{ReplyLimits, Responder, SameId, same_id};
use udp_retry::requester::Concurrent;
use udp_retry::sim::{HostId, ResponderEndpoint, SimNet, explore};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Execution, Failure, Limits};
use udp_retry::{AsyncRequester, ConcurrentRequester, RequestError, RetryPolicy, Seed, transaction_id};

use crate::round_trips::{Logged, connected, policy};
use crate::{CLIENT, SERVER, ms};

const BAD: &str = "loss 20%; duplicate 30% late 300ms ~300ms; delay 50ms ~45ms unordered";

#[test]
fn under_half_of_all_lost_and_many_repeated_no_round_trip_of_many_in_flight_is_anothers() {
    let bad = "loss 50%; duplicate 30% late 70ms ~60ms; delay 50ms ~45ms unordered";
    let (mut replies, mut after_more, mut unmeasured) = (0, 0, 0);
    for seed in 0..20 {
        let transport = Logged::over(connected(seed, bad));
        let builder = ConcurrentRequester::builder(transaction_id(0..4)).policy(policy()).envelope();
        let mut requester = builder.limits(wide()).over(transport).unwrap();
        for n in 0..200_u32 {
            requester.submit(&n.to_be_bytes()[..], n.into()).unwrap();
        }
        while let Some(done) = requester.wait() {
            let (id, round_trip, transmissions) =
                ((done.token() as u32).to_be_bytes(), done.round_trip(), done.transmissions());
            let Ok(reply) = done.reply().map(<[u8]>::to_vec) else { continue };
            let (asked, answered) = reply.split_at(4);
            assert_eq!(asked, id);
            let transport = requester.transport();
            // The server sends back the header that it answers: no other transmission of this request has the same.
            let is_it = |sent: &&(Timestamp, Vec<u8>)| sent.1[..16] == *answered && sent.1[16..] == *asked;
            let sent_at = transport.sent.iter().rev().find(is_it).expect("it was sent").0;
            match round_trip {
                Some(round_trip) => assert_eq!(round_trip, transport.received_at.since(sent_at), "seed {seed}"),
                // It came in the fraction of a millisecond before the next transmission was seen to be due.
                None => unmeasured += 1,
            }
            replies += 1;
            after_more += u32::from(transmissions > 1);
        }
    }
    println!(
        "{replies} replies of 4000, {after_more} of them after more than one transmission, {unmeasured} unmeasured"
    );
    assert!(
        replies > 3_500 && after_more > 2_000 && unmeasured * 100 <= replies,
        "{replies}, {after_more}, {unmeasured}"
    );
}

#[test]
fn an_estimator_learns_from_every_reply_of_many_what_the_path_takes() {
    let estimator = RttEstimator::new(ms(1_000), ms(50), ms(60_000)).unwrap();
    let builder = ConcurrentRequester::builder(transaction_id(0..4)).policy(policy()).envelope();
    let mut requester = builder.estimator(estimator.clone()).over(connected(1, "loss 30%; delay 40ms")).unwrap();
    for n in 0..500_u32 {
        requester.submit(&n.to_be_bytes()[..], n.into()).unwrap();
    }
    let (mut answered, mut after_more) = (0, 0);
    while let Some(done) = requester.wait() {
        answered += u32::from(done.reply().is_ok());
        after_more += u32::from(done.transmissions() > 1);
        assert!(done.round_trip().is_none_or(|it| it == ms(80)), "{:?}", done.round_trip());
    }
    assert!(answered > 480 && after_more > 150, "{answered}, {after_more}");
    let now = requester.now();
    assert_eq!(estimator.srtt(now), Some(ms(80)));
    assert!(estimator.rto(now) < ms(200), "{:?}", estimator.rto(now));
}

#[test]
fn whenever_the_server_restarts_nothing_of_a_thousand_in_flight_is_executed_twice() {
    let tally = Tally::default();
    explore(0..40, |net| {
        let world = World::new(net);
        let transport = net.connect(world.client, SERVER).unwrap();
        let mut requester = world.builder().over(transport).unwrap();
        let (mut next, mut handed) = (0, false);
        loop {
            // Half of them at once, the others as space comes: these name an incarnation.
            while next < 2_000 && requester.in_flight() < if handed { 500 } else { 1_000 } {
                requester.submit(&increment(next)[..], next).unwrap();
                next += 1;
            }
            handed = true;
            let Some(done) = requester.wait() else { break };
            let token = done.token();
            tally.note(&world, token, done.reply().map(<[u8]>::to_vec))?;
        }
        drop(requester);
        world.none_twice()
    })
    .unwrap_or_else(|failure| panic!("{failure}"));
    tally.shows_something();
}

#[test]
fn whenever_the_server_restarts_nothing_that_futures_ask_for_is_executed_twice() {
    let tally = Rc::new(Tally::default());
    explore(0..40, |net| {
        let world = World::new(net);
        let transport = net.connect(world.client, SERVER).unwrap();
        let asked = net.block_on(|tasks| {
            let (world, tally) = (world.clone(), Rc::clone(&tally));
            async move {
                let builder = AsyncRequester::builder(transaction_id(0..8).stamped()).policy(RetryPolicy::LAN);
                let requester = builder.limits(wide()).envelope().over_simulated(&tasks, transport).unwrap();
                let callers = (0..100_u64).map(|caller| {
                    let (requester, world, tally) = (requester.clone(), world.clone(), Rc::clone(&tally));
                    tasks.spawn(async move {
                        for n in 0..10 {
                            let number = caller * 10 + n;
                            let reply = requester.request(&increment(number)[..]).await;
                            tally.note(&world, number, reply.map(|reply| reply.payload().to_vec()))?;
                        }
                        Ok::<(), String>(())
                    })
                });
                for caller in callers.collect::<Vec<_>>() {
                    caller.await?;
                }
                Ok::<(), String>(())
            }
        });
        asked.map_err(|error| error.to_string())??;
        world.none_twice()
    })
    .unwrap_or_else(|failure| panic!("{failure}"));
    tally.shows_something();
}

#[test]
fn a_server_that_sends_no_envelope_completes_nothing_and_is_counted() {
    let net = SimNet::new(Seed::new(1));
    let (client, _server) = (net.host(CLIENT).unwrap(), net.host(SERVER.ip()).unwrap());
    net.serve(SERVER, |_, from, request, out| out.send(from, &request[16..])).unwrap();
    let once = RetryPolicy::LAN.with_max_transmissions(1).unwrap();
    let builder = ConcurrentRequester::builder(transaction_id(0..4)).policy(once).envelope();
    let mut requester = builder.over(net.connect(client, SERVER).unwrap()).unwrap();
    for n in 0..10_u32 {
        let request = [&n.to_be_bytes()[..], b" and what is longer than a header"].concat();
        requester.submit(&request[..], n.into()).unwrap();
    }
    while let Some(done) = requester.wait() {
        assert!(done.reply().is_err_and(|error| error.is_timeout()));
    }
    assert_eq!((requester.strays().envelope, requester.strays().total()), (10, 10));
}

#[test]
fn a_reply_as_long_as_the_buffer_fits_with_its_envelope() {
    for (buffer, fits) in [(100, true), (99, false)] {
        let transport = connected(1, "delay 1ms");
        let builder = ConcurrentRequester::builder(transaction_id(0..4)).envelope().buffer(buffer);
        let mut requester = builder.over(transport).unwrap();
        // The server adds the header of 16 bytes that it received.
        requester.submit(&[7; 84], 1).unwrap();
        let done = requester.wait().unwrap();
        match done.reply() {
            Ok(reply) => assert!(fits && reply.len() == 100 && reply[..84] == [7; 84]),
            Err(error) => {
                let cut = matches!(error.failure(), Failure::Truncated { received: 99, actual: 100, .. });
                assert!(!fits && cut, "{error}");
            }
        }
    }
}

/// What has come of requests.
#[derive(Default)]
struct Tally {
    answered: Cell<u32>,
    restarted: Cell<u32>,
    /// Of these, those that had been executed.
    executed: Cell<u32>,
    timed_out: Cell<u32>,
}

impl Tally {
    fn note(&self, world: &World, number: u64, reply: Result<Vec<u8>, RequestError>) -> Result<(), String> {
        let add = |to: &Cell<u32>, more: u32| to.set(to.get() + more);
        let times = world.executions.borrow().get(&number).map_or(0, Vec::len);
        match reply {
            Ok(reply) => {
                assert_eq!(reply[8..16], increment(number)[8..]);
                add(&self.answered, 1);
                if times != 1 {
                    return Err(format!("request {number} was answered and executed {times} times"));
                }
            }
            Err(error) if error.failure() == Failure::ServerRestarted => {
                assert_eq!(error.execution(), Execution::Unknown);
                add(&self.restarted, 1);
                add(&self.executed, times as u32);
            }
            Err(error) => {
                assert!(error.is_timeout(), "{error}");
                add(&self.timed_out, 1);
            }
        }
        Ok(())
    }

    fn shows_something(&self) {
        let [answered, restarted, executed, timed_out] =
            [&self.answered, &self.restarted, &self.executed, &self.timed_out].map(Cell::get);
        println!(
            "{answered} were answered, {restarted} met a restart ({executed} of these had been executed), {timed_out} \
             timed out"
        );
        // Else nothing was proved.
        assert!(answered > 10_000 && restarted > 500 && executed > 50, "too little of something");
    }
}

/// A server that counts in several lives, and one client's host.
#[derive(Clone)]
struct World {
    net: SimNet,
    client: HostId,
    responder: Rc<RefCell<Responder<SameId>>>,
    /// By which incarnations.
    executions: Rc<RefCell<BTreeMap<u64, Vec<u64>>>>,
    lives: Rc<Cell<u64>>,
}

impl World {
    fn new(net: &SimNet) -> Self {
        let (client, server) = (net.host(CLIENT).unwrap(), net.host(SERVER.ip()).unwrap());
        net.path(client, server, Profile::both(BAD.parse().unwrap())).unwrap();
        let world = Self {
            net: net.clone(),
            client,
            responder: Rc::new(RefCell::new(responder(1, net.now()))),
            executions: Rc::default(),
            lives: Rc::new(Cell::new(1)),
        };
        world.serve();
        let draws = Seed::new(net.seed().derive(911).draw(0));
        let mut at = Duration::ZERO;
        for n in 0..12 {
            // Soon after another at times, and later than all that is in flight at others.
            at += Duration::from_nanos(draws.draw(n) % [300_000_000, 2_000_000_000, 6_000_000_000][n as usize % 3]);
            let again = world.clone();
            net.at(at, move |_| again.restart());
        }
        world
    }

    /// One that knows nothing of what those before have executed.
    fn restart(&self) {
        assert!(self.net.stop(SERVER));
        self.lives.set(self.lives.get() + 1);
        *self.responder.borrow_mut() = responder(self.lives.get(), self.net.now());
        self.serve();
    }

    fn serve(&self) {
        let (executions, life) = (Rc::clone(&self.executions), self.lives.get());
        let count = move |request: &[u8], reply: &mut Vec<u8>| {
            let number = u64::from_le_bytes(request[8..16].try_into().unwrap());
            executions.borrow_mut().entry(number).or_default().push(life);
            reply.extend_from_slice(request);
        };
        let work = [Duration::ZERO, ms(20), ms(250)][(self.net.seed().derive(912).draw(0) % 3) as usize];
        let endpoint = ResponderEndpoint::new(&self.responder, count).working_for(work);
        self.net.serve_endpoint(SERVER, endpoint).unwrap();
    }

    fn builder(&self) -> udp_retry::requester::Builder<Concurrent> {
        let builder = ConcurrentRequester::builder(transaction_id(0..8).stamped());
        builder.policy(RetryPolicy::LAN).limits(wide()).envelope()
    }

    fn none_twice(&self) -> Result<(), String> {
        // Copies that are still on their way.
        self.net.run_until(self.net.now().after(ms(5_000)));
        match self.executions.borrow().iter().find(|(_, times)| times.len() > 1) {
            Some((number, times)) => Err(format!("request {number} was executed {} times: {times:?}", times.len())),
            None => Ok(()),
        }
    }
}

fn responder(life: u64, now: Timestamp) -> Responder<SameId> {
    // LAN's last transmission leaves after 1.5 s, and this network has no datagram for longer than 0.7 s.
    let limits = ReplyLimits::for_policy(&RetryPolicy::LAN, Duration::from_secs(2)).unwrap();
    Responder::new(limits, same_id(0..8), &[life as u8; 32], now).envelope(Incarnation::new(life).unwrap())
}

fn wide() -> Limits {
    Limits::default().window(NonZeroU32::new(1_000).unwrap())
}

/// Space for the id, and the number.
fn increment(n: u64) -> [u8; 16] {
    let mut request = [0; 16];
    request[8..].copy_from_slice(&n.to_le_bytes());
    request
}
