//! The port that all requests to a peer leave from, and when they should leave from another.

use core::fmt::Debug;

use super::InFlight;
use super::peers::Peer;
use crate::time::Timestamp;
use crate::transaction::active_request::ActiveRequest;
use crate::transaction::{Failure, GiveUp, KeyedMatcher};
use crate::transport::{PathError, Renewed};

/// What is known of it.
///
/// Others may be on their way from there, so it takes more than one request that ended unanswered: nothing came from the
/// peer all that time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Port {
    is_in_vain: bool,
    renewed: Timestamp,
}

impl Port {
    /// A request ended that began then, and this was heard of the peer last.
    #[cold]
    pub(super) fn on_end(&mut self, began: Timestamp, heard: Option<Timestamp>, ended: &ActiveRequest) {
        let waited = match ended.failure() {
            Some(Failure::TimedOut(GiveUp::Unanswered)) => true,
            // One that was in a hurry says nothing of the path.
            Some(Failure::TimedOut(GiveUp::Deadline)) => ended.transmissions() > 1,
            _ => false,
        };
        let was_silent = heard.is_none_or(|heard| heard < began);
        self.is_in_vain |= waited && was_silent && began >= self.renewed;
    }

    /// Something came.
    #[inline]
    pub(super) fn on_heard(&mut self) {
        self.is_in_vain = false;
    }
}

impl<P> Peer<P> {
    /// Whether what is sent next should leave from another port.
    #[inline]
    pub(super) fn is_renewal_due(&self) -> bool {
        self.port.is_in_vain || self.path.is_buried()
    }
}

impl<P: Copy + Ord + Debug, M: KeyedMatcher> InFlight<P, M> {
    /// The port to a peer was renewed at `now`, as a [`Transmit::renewal_due`](super::Transmit::renewal_due) asked for, or
    /// could not be: either way what is sent to it goes on.
    pub fn on_renewed(&mut self, now: Timestamp, peer: P, renewed: Result<Renewed, PathError>) {
        let Some((_, peer)) = self.peers.at_mut(peer) else { return };
        peer.port = Port { is_in_vain: false, renewed: now };
        match renewed {
            Ok(Renewed::FreshPort) => peer.path.on_fresh_port(),
            // What is wrong with the path, the send will report.
            Ok(Renewed::SamePort) | Err(_) => peer.path.on_same_port(),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::VecDeque;
    use core::time::Duration;

    use super::*;
    use crate::entropy::{IdSource, Seed};
    use crate::policy::{RetryBudget, RetryPolicy};
    use crate::servers::{ServerSet, ServerSettings, Spread};
    use crate::transaction::{Addressee, Limits, PeerId, Request, TransactionId, transaction_id};

    /// An engine, and which of its transmissions asked for another port.
    struct World {
        engine: InFlight<u32, TransactionId>,
        peers: [PeerId; 2],
        /// Those that answer.
        alive: [bool; 2],
        now: Timestamp,
        renewed: Result<Renewed, PathError>,
        /// When, to whom, and whether the port was to be renewed.
        sent: Vec<(Timestamp, u32, bool)>,
        /// What is on its way back, and when it arrives.
        coming: VecDeque<(Timestamp, u32, Vec<u8>)>,
    }

    impl World {
        fn new(alive: [bool; 2]) -> Self {
            let (matcher, ids) = (transaction_id(0..8).stamped(), IdSource::from_seed(Seed::new(7)));
            let mut engine = InFlight::new(RetryPolicy::LAN, matcher, Limits::default(), Seed::new(7), Some(ids));
            let peers = [0, 1].map(|address| engine.add_peer(address, RetryBudget::unlimited(), None));
            let (now, renewed) = (Timestamp::ZERO, Ok(Renewed::FreshPort));
            Self { engine, peers, alive, now, renewed, sent: Vec::new(), coming: VecDeque::new() }
        }

        fn ask(&mut self, whom: impl Into<Addressee>) {
            self.engine.submit(self.now, whom, b"........ping", 0).unwrap();
        }

        /// Runs until then, or until nothing is in flight.
        fn run(&mut self, until: Timestamp) -> &mut Self {
            while self.now < until && !self.engine.is_empty() {
                self.transmit();
                self.engine.advance(self.now);
                let due = self.engine.next_deadline().unwrap_or(until).max(self.now.after(Duration::from_nanos(1)));
                match self
                    .coming
                    .front()
                    .is_some_and(|(at, ..)| *at <= due.min(until))
                    .then(|| self.coming.pop_front())
                    .flatten()
                {
                    Some((at, from, reply)) => {
                        self.now = at;
                        self.engine.on_datagram(at, from, &reply, reply.len());
                    }
                    None => {
                        self.now = due.min(until);
                        self.engine.on_time_up(self.now);
                    }
                }
                while self.engine.next_finished().is_some() {}
            }
            self
        }

        fn transmit(&mut self) {
            loop {
                let first = self.engine.transmits().next();
                let Some((to, datagram, renewal_due)) =
                    first.map(|next| (next.to, next.datagram.to_vec(), next.renewal_due))
                else {
                    return;
                };
                self.sent.push((self.now, to, renewal_due));
                if renewal_due {
                    self.engine.on_renewed(self.now, to, self.renewed);
                    assert!(self.engine.transmits().all(|next| next.to != to || !next.renewal_due), "it asks again");
                }
                self.engine.on_transmitted(self.now, 1);
                if self.alive[to as usize] {
                    self.coming.push_back((self.now.after(Duration::from_millis(1)), to, datagram));
                }
            }
        }

        fn renewals(&self) -> Vec<(Timestamp, u32)> {
            self.sent.iter().filter(|sent| sent.2).map(|&(at, to, _)| (at, to)).collect()
        }
    }

    fn ms(ms: u64) -> Timestamp {
        Timestamp::ZERO.after(Duration::from_millis(ms))
    }

    /// When the schedule of a request that began at 0 has ended.
    fn schedule() -> Timestamp {
        let mut world = World::new([false; 2]);
        world.ask(world.peers[0]);
        // To within a tick.
        world.run(ms(1_000_000)).now.after(Duration::from_millis(1))
    }

    #[test]
    fn what_follows_a_request_that_was_sent_in_vain_asks_for_another_port_once() {
        for renewed in [Ok(Renewed::FreshPort), Ok(Renewed::SamePort), Err(PathError::Unreachable)] {
            let mut world = World { renewed, ..World::new([false; 2]) };
            world.ask(world.peers[0]);
            // Others, which begin before the port is renewed, and end after it.
            for at in [300, 310, 320] {
                world.run(ms(at));
                world.ask(world.peers[0]);
            }
            let first_end = world.run(schedule()).now;
            world.ask(world.peers[0]);
            let second_end = world.run(ms(1_000_000)).now;
            assert_eq!(world.renewals(), [(first_end, 0)], "{renewed:?}");
            world.ask(world.peers[0]);
            world.run(ms(1_000_000));
            assert_eq!(world.renewals(), [(first_end, 0), (second_end, 0)], "{renewed:?}");
            assert!(world.sent.len() > 20, "{}", world.sent.len());
        }
    }

    #[test]
    fn a_peer_that_was_heard_of_keeps_the_port_of_what_is_on_its_way() {
        for heard in [ms(0), ms(500), schedule()] {
            let mut world = World::new([false; 2]);
            world.ask(world.peers[0]);
            world.run(heard).engine.on_datagram(heard, 0, b"a stray", 7);
            world.run(schedule());
            world.ask(world.peers[0]);
            world.run(schedule().after(Duration::from_millis(1)));
            assert_eq!(world.renewals(), [], "heard of at {heard:?}");
        }
        // Of another one.
        let mut world = World::new([false; 2]);
        world.ask(world.peers[0]);
        world.run(ms(500)).engine.on_datagram(ms(500), 1, b"a stray", 7);
        let end = world.run(schedule()).now;
        world.ask(world.peers[1]);
        world.ask(world.peers[0]);
        world.run(schedule().after(Duration::from_millis(1)));
        assert_eq!(world.renewals(), [(end, 0)]);
    }

    #[test]
    fn a_request_in_a_hurry_or_given_up_says_nothing_of_the_port() {
        for (deadline, renews) in [(50, false), (99, false), (250, true)] {
            let mut world = World::new([false; 2]);
            let hurried = Request::new(b"........ping").deadline(Duration::from_millis(deadline));
            world.engine.submit(ms(0), world.peers[0], &hurried, 0).unwrap();
            let end = world.run(ms(1_000)).now;
            assert!((ms(deadline)..ms(deadline + 1)).contains(&end), "{end:?}");
            world.ask(world.peers[0]);
            world.transmit();
            assert_eq!(!world.renewals().is_empty(), renews, "{deadline} ms");
        }
        let mut world = World::new([false; 2]);
        let handle = world.engine.submit(ms(0), world.peers[0], b"........ping", 0).unwrap();
        world.run(ms(2_000)).engine.cancel(ms(2_000), handle).unwrap();
        world.ask(world.peers[0]);
        world.transmit();
        assert_eq!(world.renewals(), []);
    }

    #[test]
    fn the_port_to_a_dead_server_of_a_group_is_renewed_before_it_is_probed_and_that_of_no_other() {
        for renewed in [Ok(Renewed::FreshPort), Ok(Renewed::SamePort), Err(PathError::Unreachable)] {
            let mut world = World { renewed, ..World::new([false, true]) };
            let in_order = ServerSettings::new().with_spread(Spread::InOrder).unwrap();
            let set = ServerSet::new(2, in_order, Seed::new(3)).unwrap();
            let group = world.engine.add_group(&world.peers, set, RetryBudget::unlimited()).unwrap();
            for _ in 0..200 {
                world.ask(group);
                let until = world.now.after(Duration::from_millis(500));
                world.run(until);
                world.now = until;
            }
            let renewals = world.renewals();
            assert!(matches!(renewals[..], [(_, 0)]), "{renewals:?}");
            let to_the_dead = |from| world.sent.iter().filter(|sent| sent.1 == 0 && sent.0 >= from).count();
            // Three in vain before it, and the probes from then on.
            assert_eq!(to_the_dead(ms(0)) - to_the_dead(renewals[0].0), 3);
            assert!(to_the_dead(renewals[0].0) > 1);
        }
    }

    #[test]
    fn a_server_that_was_heard_of_since_it_died_keeps_the_port() {
        let mut world = World::new([false, true]);
        let in_order = ServerSettings::new().with_spread(Spread::InOrder).unwrap();
        let set = ServerSet::new(2, in_order, Seed::new(3)).unwrap();
        let group = world.engine.add_group(&world.peers, set, RetryBudget::unlimited()).unwrap();
        while world.sent.iter().filter(|sent| sent.1 == 0).count() < 3 {
            world.ask(group);
            let until = world.now.after(Duration::from_millis(500));
            world.run(until);
            world.now = until;
        }
        let now = world.now;
        world.engine.on_datagram(now, 0, b"a stray", 7);
        for _ in 0..100 {
            world.ask(group);
            let until = world.now.after(Duration::from_millis(500));
            world.run(until);
            world.now = until;
        }
        assert!(world.sent.iter().any(|sent| sent.1 == 0 && sent.0 > now), "it is never asked again");
        assert_eq!(world.renewals(), []);
    }
}
