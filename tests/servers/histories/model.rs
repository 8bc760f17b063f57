//! What must be known of servers, from lists of all that has happened.

use std::time::Duration;

use udp_retry::time::Timestamp;

use super::settings::Drawn;

pub(super) struct Model {
    pub(super) drawn: Drawn,
    pub(super) servers: Vec<Modelled>,
}

#[derive(Clone, Default)]
pub(super) struct Modelled {
    pub(super) outstanding: u32,
    pub(super) transmissions: u64,
    pub(super) probes: u64,
    pub(super) expiries: u64,
    pub(super) replies: Vec<Timestamp>,
    /// Round trips, with when they were measured, since it was unknown.
    measured: Vec<(Timestamp, Duration)>,
    /// All that counted, and how many of them are older than the latest reply.
    misses: Vec<Timestamp>,
    forgiven: usize,
    /// When the next probe is due, and the wait that ends then.
    pub(super) probe: Option<(Timestamp, Duration)>,
}

impl Model {
    pub(super) fn new(drawn: Drawn) -> Self {
        Self { drawn, servers: vec![Modelled::default(); drawn.servers as usize] }
    }

    pub(super) fn live(&self) -> Vec<u32> {
        (0..).zip(&self.servers).filter(|(_, it)| !self.is_dead(it)).map(|(path, _)| path).collect()
    }

    pub(super) fn is_dead(&self, server: &Modelled) -> bool {
        server.in_a_row() >= self.drawn.dead_after as usize
    }

    pub(super) fn on_probe(&mut self, now: Timestamp, path: u32) {
        let longest = if self.live().is_empty() { self.drawn.longest_parked } else { self.drawn.longest_probe };
        let server = &mut self.servers[path as usize];
        server.probes += 1;
        if let Some((_, wait)) = server.probe {
            let wait = (wait + wait).min(longest);
            server.probe = Some((now.after(wait), wait));
        }
    }

    /// Whether that ended an outage of all.
    pub(super) fn on_reply(&mut self, at: Timestamp, path: u32, round_trip: Option<Duration>) -> bool {
        let (outage, max_age) = (self.live().is_empty(), self.drawn.max_age);
        let server = &mut self.servers[path as usize];
        if server.probe.is_some()
            || round_trip.is_some() && server.measured.last().is_some_and(|it| at.since(it.0) > max_age)
        {
            server.measured.clear();
        }
        server.measured.extend(round_trip.map(|it| (at, it)));
        server.replies.push(at);
        server.forgiven = server.misses.len();
        server.probe = None;
        outage
    }

    pub(super) fn on_expired(&mut self, now: Timestamp, path: u32, sent: Timestamp) {
        let server = &mut self.servers[path as usize];
        server.expiries += 1;
        let evidence_since = server.replies.iter().chain(&server.misses).any(|&at| at > sent);
        if !evidence_since && server.probe.is_none() {
            self.on_miss(now, path);
        }
    }

    pub(super) fn on_error(&mut self, now: Timestamp, path: u32, of_the_server: bool) {
        match &mut self.servers[path as usize].probe {
            Some((due, wait)) if *due <= now => *due = now.after(*wait),
            Some(_) => {}
            None if of_the_server => self.on_miss(now, path),
            None => {}
        }
    }

    fn on_miss(&mut self, now: Timestamp, path: u32) {
        let Drawn { first_probe, longest_parked, .. } = self.drawn;
        self.servers[path as usize].misses.push(now);
        if !self.is_dead(&self.servers[path as usize]) {
            return;
        }
        self.servers[path as usize].probe = Some((now.after(first_probe), first_probe));
        if self.live().is_empty() {
            for (due, wait) in self.servers.iter_mut().filter_map(|it| it.probe.as_mut()) {
                *due = (*due).min(now.after(longest_parked));
                *wait = (*wait).min(longest_parked);
            }
        }
    }
}

impl Modelled {
    /// The round trip without queues, in seconds: down at once, up by 1/64.
    pub(super) fn idle(&self) -> f64 {
        let round_trips = self.measured.iter().map(|(_, it)| it.as_secs_f64());
        round_trips.reduce(|idle, it| if it < idle { it } else { idle + (it - idle) / 64.0 }).unwrap()
    }

    /// Misses without a reply in between.
    pub(super) fn in_a_row(&self) -> usize {
        self.misses.len() - self.forgiven
    }
}
