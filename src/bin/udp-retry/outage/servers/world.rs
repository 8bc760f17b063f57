//! One run in virtual time: clients, servers, and the datagrams between them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use udp_retry::time::Timestamp;
use udp_retry::transport::PathIndex;
use udp_retry::{RetryPolicy, Seed};

use super::client::{Client, Outbox};
use super::figures::Tally;
use super::rows::Row;
use super::server::{Server, fraction};
use super::situations::Situation;
use crate::terminal::Outcome;

pub(crate) struct World {
    clients: Vec<Client>,
    servers: Vec<Server>,
    /// What happens next, the soonest first, and in the order in which it was called for.
    events: BinaryHeap<Reverse<(Timestamp, u64, Event)>>,
    called: u64,
    out: Outbox,
    tally: Tally,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake { client: usize, request: u64 },
    AtServer { client: usize, request: u64, path: PathIndex },
    AtClient { client: usize, request: u64, path: PathIndex },
}

impl World {
    /// Runs `requests` of them until the last one has ended.
    pub(crate) fn run(
        situation: &Situation,
        row: &Row,
        policy: RetryPolicy,
        clients: u32,
        requests: u64,
        seed: Seed,
    ) -> Outcome<Tally> {
        let client = |number: u64| {
            let seed = seed.derive(CLIENTS).derive(number);
            let selection = (row.selection)(situation.servers.len(), seed.derive(0))?;
            Ok(Client::new(selection, policy, seed.derive(1)))
        };
        let server = |(kind, number)| Server::new(kind, seed.derive(SERVERS).derive(number));
        let mut world = Self {
            clients: (0..).take(clients as usize).map(client).collect::<Outcome<_>>()?,
            servers: situation.servers.iter().copied().zip(0..).map(server).collect(),
            events: BinaryHeap::new(),
            called: 0,
            out: Outbox::default(),
            tally: Tally::new(situation.window),
        };
        let mut arrival = Timestamp::ZERO;
        for request in 0..requests {
            // Memoryless; in (0, 1], so that the logarithm is finite.
            let share = 1.0 - fraction(seed.derive(ARRIVALS).draw(request));
            arrival = arrival.after(Duration::from_secs_f64(-libm::log(share) / situation.rate));
            world.until(arrival);
            // One stream of which each client gets its share at random is one such stream for each of them.
            let client = (fraction(seed.derive(ASKERS).draw(request)) * f64::from(clients)) as usize;
            world.tally.on_request(arrival);
            world.with(arrival, client, |client, out| client.begin(arrival, request, out));
        }
        world.until(Timestamp::MAX);
        Ok(world.tally)
    }

    /// Everything before that moment.
    fn until(&mut self, end: Timestamp) {
        while self.events.peek().is_some_and(|Reverse((at, ..))| *at < end) {
            if let Some(Reverse((now, _, event))) = self.events.pop() {
                self.happen(now, event);
            }
        }
    }

    fn happen(&mut self, now: Timestamp, event: Event) {
        match event {
            Event::Wake { client, request } => {
                self.with(now, client, |client, out| client.on_wake(now, request, out));
            }
            Event::AtServer { client, request, path } => {
                let server = self.server(path);
                let answer = server.answer(now).and_then(|leaves| server.travel(leaves));
                if let Some(at) = answer {
                    self.call(at, Event::AtClient { client, request, path });
                }
            }
            Event::AtClient { client, request, path } => {
                self.with(now, client, |client, out| client.on_reply(now, path, request, out));
            }
        }
    }

    /// Has a client act, and does what it wants done.
    fn with(&mut self, now: Timestamp, client: usize, act: impl FnOnce(&mut Client, &mut Outbox)) {
        let mut out = std::mem::take(&mut self.out);
        act(&mut self.clients[client], &mut out);
        for (path, request) in out.sends.drain(..) {
            self.tally.on_sent(now);
            if let Some(at) = self.server(path).travel(now) {
                self.call(at, Event::AtServer { client, request, path });
            }
        }
        for (at, request) in out.wakes.drain(..) {
            self.call(at, Event::Wake { client, request });
        }
        for (began, took) in out.ended.drain(..) {
            self.tally.on_end(began, took);
        }
        self.out = out;
    }

    fn server(&mut self, path: PathIndex) -> &mut Server {
        &mut self.servers[path.number() as usize]
    }

    fn call(&mut self, at: Timestamp, event: Event) {
        self.called += 1;
        self.events.push(Reverse((at, self.called, event)));
    }
}

const CLIENTS: u64 = 0;
const SERVERS: u64 = 1;
const ARRIVALS: u64 = 2;
const ASKERS: u64 = 3;
