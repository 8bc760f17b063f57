//! Two fronts around one machine, in 200 bad networks: the blocking requester over a transport, and the client that lives
//! in the network, have the same outcomes and the same timelines.

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use udp_retry::policy::{Backoff, Jitter};
use udp_retry::sim::{Client, Outcome, SimNet};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Event, Failure, OnUnreachable, Transaction};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, any_reply, transaction_id};

use crate::world::{Manners, SERVER, World, ms, request};

#[test]
fn the_client_in_the_network_and_the_blocking_requester_do_the_same_in_200_bad_networks() {
    let mut seen = Seen::default();
    for seed in (0..200).map(Seed::new) {
        let (blocking, living) = (blocking(seed), living(seed));
        assert_eq!(blocking.outcomes.len(), REQUESTS as usize, "seed {seed}");
        for (n, (one, other)) in blocking.outcomes.iter().zip(&living.outcomes).enumerate() {
            assert_eq!(one, other, "seed {seed}, request {n}");
        }
        assert_eq!(blocking.outcomes.len(), living.outcomes.len(), "seed {seed}");
        let differ = blocking.events.iter().zip(&living.events).position(|(one, other)| one != other);
        assert_eq!(differ.map(|at| (blocking.events[at], living.events[at])), None, "seed {seed}, event {differ:?}");
        assert_eq!(blocking.events.len(), living.events.len(), "seed {seed}");
        seen.note(&blocking);
    }
    seen.is_enough();
}

/// What one front did in one network.
struct Run {
    outcomes: Vec<Ended>,
    events: Vec<(Duration, Event)>,
}

#[derive(Clone, PartialEq, Debug)]
struct Ended {
    at: Timestamp,
    elapsed: Duration,
    transmissions: u32,
    reply: Result<Vec<u8>, Failure>,
}

fn blocking(seed: Seed) -> Run {
    let net = SimNet::new(seed);
    let bad = Bad::network(&net);
    let (events, observer) = recording();
    let builder = if bad.by_id {
        ReliableRequester::builder(transaction_id(0..8))
    } else {
        ReliableRequester::builder(any_reply())
    };
    let transport = net.connect(bad.world.client, SERVER).unwrap();
    let builder = builder.policy(bad.policy).on_unreachable(bad.on_unreachable).observer(observer).seed(bad.draws);
    let mut requester = builder.over(transport).unwrap();
    let outcomes = (0..REQUESTS).map(|n| {
        let (elapsed, transmissions, reply) = match requester.request(bad.request(n)) {
            Ok(reply) => (reply.elapsed(), reply.transmissions(), Ok(reply.payload().to_vec())),
            Err(error) => (error.elapsed(), error.transmissions(), Err(error.failure())),
        };
        Ended { at: net.now(), elapsed, transmissions, reply }
    });
    Run { outcomes: outcomes.collect(), events: taken(&events) }
}

fn living(seed: Seed) -> Run {
    let net = SimNet::new(seed);
    let bad = Bad::network(&net);
    let (events, observer) = recording();
    let (outcomes, noted) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(0)));
    let (ended, world, asked) = (outcomes.clone(), bad.world.clone(), noted);
    let on_unreachable = bad.on_unreachable;
    let (by_id, policy, draws) = (bad.by_id, bad.policy, bad.draws);
    let next = move |now: Timestamp, outcome: Outcome<'_>, bytes: &mut Vec<u8>| {
        match outcome {
            Outcome::Reply { payload, transmissions, elapsed, .. } => {
                ended.borrow_mut().push(Ended { at: now, elapsed, transmissions, reply: Ok(payload.to_vec()) });
            }
            Outcome::Failed { failure, transmissions, elapsed, .. } => {
                ended.borrow_mut().push(Ended { at: now, elapsed, transmissions, reply: Err(failure) });
            }
            _ => {}
        }
        let n = asked.replace_with(|n| *n + 1);
        bytes.extend_from_slice(&bad.request(n));
        (n < REQUESTS).then_some(now)
    };
    if by_id {
        let transaction = Transaction::new(policy, transaction_id(0..8));
        let transaction = transaction.with_on_unreachable(on_unreachable).with_observer(observer);
        net.serve_connected(world.client, SERVER, Client::new(SERVER, transaction, draws, next)).unwrap();
    } else {
        let transaction = Transaction::new(policy, any_reply());
        let transaction = transaction.with_on_unreachable(on_unreachable).with_observer(observer);
        net.serve_connected(world.client, SERVER, Client::new(SERVER, transaction, draws, next)).unwrap();
    }
    net.run_to_the_end(Timestamp::MAX);
    let outcomes = outcomes.take();
    Run { outcomes, events: taken(&events) }
}

/// A bad network, and how it is asked; all by the network's seed.
struct Bad {
    world: World,
    policy: RetryPolicy,
    on_unreachable: OnUnreachable,
    by_id: bool,
    draws: Seed,
}

impl Bad {
    fn network(net: &SimNet) -> Self {
        let chance = net.seed().derive(77);
        let of = |label: u64, most: u64| chance.draw(label) % most;
        // No two datagrams come at one moment, as those do that wait for another to keep their order: what is queued when
        // a request ends, a client in the network never sees.
        let way = |label| {
            let lost = [0, 10, 30, 60][of(label, 4) as usize];
            let twice = [0, 30, 100][of(label + 1, 3) as usize];
            let (damaged, held) = (of(label + 2, 20), of(label + 3, 20));
            format!(
                "loss {lost}%; duplicate {twice}% late 7ms ~6ms; corrupt {damaged}% bits 2; delay {}ms ~{}ms unordered; \
                 reorder {held}% by 150ms",
                21 + of(label + 4, 60),
                3 + of(label + 5, 15),
            )
        };
        let world = World::new(net, &way(10), &way(20));
        let takes = [(0, 0), (0, 250), (100, 900)][of(3, 3) as usize];
        let manners = Manners { takes: (ms(takes.0), ms(takes.1)), ..Manners::default() };
        if of(4, 8) > 0 {
            world.serve(manners);
        }
        for n in 0..of(5, 6) {
            let server = world.clone();
            net.at(ms(311 + 1700 * n), |net| {
                net.stop(SERVER);
            });
            net.at(ms(911 + 1700 * n), move |net| {
                net.stop(SERVER);
                server.serve(manners);
            });
        }
        for n in 0..of(6, 4) {
            let client = world.client;
            net.at(ms(457 + 900 * n), move |net| net.rebind(client).unwrap());
        }
        let backoff = Backoff::exponential(ms(80 + of(7, 90)), Duration::from_secs(2)).unwrap();
        let policy = RetryPolicy::new(backoff.with_jitter(Jitter::UPWARD).unwrap()).with_max_transmissions(5).unwrap();
        let policy = if of(8, 3) == 0 { policy.with_deadline(ms(1_234)).unwrap() } else { policy };
        let rules = [
            OnUnreachable::KeepTrying,
            OnUnreachable::FailFast,
            OnUnreachable::FailAfter(NonZeroU32::MIN.saturating_add(1)),
        ];
        let on_unreachable = rules[of(9, 3) as usize];
        Self { world, policy, on_unreachable, by_id: of(1, 3) > 0, draws: chance.derive(1) }
    }

    fn request(&self, n: u64) -> Vec<u8> {
        request(self.world.seed.derive(2).draw(n).to_be_bytes(), n, 0)
    }
}

type Events = Arc<Mutex<Vec<(Duration, Event)>>>;

fn recording() -> (Events, impl Fn(Duration, Event) + Send + Sync + 'static) {
    let events = Events::default();
    let seen = events.clone();
    (events, move |at, event| seen.lock().unwrap().push((at, event)))
}

fn taken(events: &Events) -> Vec<(Duration, Event)> {
    std::mem::take(&mut *events.lock().unwrap())
}

/// What happened in all networks, so that all of it is compared.
#[derive(Default, Debug)]
struct Seen {
    replies: u32,
    retransmissions: u32,
    timeouts: u32,
    refused: u32,
    strays: usize,
    path_errors: usize,
    clipped: usize,
}

impl Seen {
    fn note(&mut self, run: &Run) {
        for ended in &run.outcomes {
            self.retransmissions += ended.transmissions.saturating_sub(1);
            match ended.reply {
                Ok(_) => self.replies += 1,
                Err(Failure::TimedOut(_)) => self.timeouts += 1,
                Err(Failure::Refused) => self.refused += 1,
                Err(failure) => panic!("{failure}"),
            }
        }
        let count = |what: fn(&Event) -> bool| run.events.iter().filter(|(_, event)| what(event)).count();
        self.strays += count(|event| matches!(event, Event::Stray { .. }));
        self.path_errors += count(|event| matches!(event, Event::PathError { .. }));
        self.clipped += count(|event| matches!(event, Event::Clipped { .. }));
    }

    fn is_enough(&self) {
        println!("{self:?}");
        let Self { replies, retransmissions, timeouts, refused, strays, path_errors, clipped } = *self;
        assert!(replies > 1000 && retransmissions > 1000 && timeouts > 100 && refused > 50, "{self:?}");
        assert!(strays > 300 && path_errors > 300 && clipped > 30, "{self:?}");
    }
}

const REQUESTS: u64 = 10;
