//! The window: as many on the wire as it has places, and no place free while one waits.

use std::num::NonZeroU32;

use udp_retry::time::Timestamp;
use udp_retry::transaction::{Arrived, Handle, Limits};
use udp_retry::transport::PathError;

use super::dice::Dice;
use super::settings::ms;
use super::{PEERS, START, Stamped, looked, stamped, submitted, transmitted};

#[test]
fn no_more_than_the_window_are_on_the_wire_and_no_place_is_free_while_one_waits() {
    let (mut waited, mut failed) = (0, 0);
    for number in 0..300 {
        let mut world = World::new(number);
        for turn in 0.. {
            assert!(turn < 10_000, "world {number} forgets {:?}", world.open);
            if world.tokens < 100 {
                (0..world.dice.within(0..=12)).for_each(|_| world.submit());
            } else if world.open.is_empty() {
                break;
            }
            match world.dice.within(0..=4) {
                0 | 1 => world.answer(),
                2 => world.cancel(),
                3 => world.fail_to_send(),
                _ => {}
            }
            waited += world.count();
            world.transmit();
            failed += world.look();
        }
        assert_eq!((world.requests.len(), transmitted(&mut world.requests, world.now)), (0, 0));
    }
    println!("{waited} waits, {failed} failures");
    assert!(waited > 10_000 && failed > 1_000, "too few to prove anything");
}

struct World {
    requests: Stamped,
    window: usize,
    open: Vec<Open>,
    tokens: u64,
    now: Timestamp,
    dice: Dice,
}

/// A request that has not ended.
#[derive(Debug)]
struct Open {
    token: u64,
    peer: u32,
    handle: Handle,
    reply: Vec<u8>,
    /// It was sent, or should have been: the next one's turn has come.
    had_its_turn: bool,
    was_sent: bool,
}

impl World {
    fn new(number: u64) -> Self {
        let mut dice = Dice::new(number);
        let window = dice.within(1..=9) as u32;
        let requests = stamped(8, Limits::default().window(NonZeroU32::new(window).unwrap()));
        Self { requests, window: window as usize, open: Vec::new(), tokens: 0, now: START, dice }
    }

    fn submit(&mut self) {
        let (token, peer) = (self.tokens, self.dice.pick(&PEERS));
        let handle = submitted(&mut self.requests, self.now, peer, token);
        let reply = self.requests.request(handle).unwrap().to_vec();
        self.open.push(Open { token, peer, handle, reply, had_its_turn: false, was_sent: false });
        self.tokens += 1;
    }

    fn answer(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let place = self.dice.index(self.open.len());
        let Open { peer, ref reply, was_sent, .. } = self.open[place];
        let arrived = self.requests.on_datagram(self.now, peer, reply, reply.len());
        assert_eq!(matches!(arrived, Arrived::Reply(_)), was_sent, "{arrived:?}");
        if was_sent {
            self.open.remove(place);
        }
    }

    fn cancel(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let Open { token, handle, .. } = self.open.remove(self.dice.index(self.open.len()));
        assert_eq!(self.requests.cancel(self.now, handle).unwrap().token, token);
    }

    /// The first one does not leave: the same error twice is the system's own.
    fn fail_to_send(&mut self) {
        let Some(first) = self.requests.transmits().next().map(|first| first.handle) else { return };
        self.takes_its_turn(first);
        for _ in 0..2 {
            assert_eq!(self.requests.transmits().next().map(|next| next.handle), Some(first));
            self.requests.on_not_transmitted(self.now, PathError::Other(5));
        }
    }

    fn transmit(&mut self) {
        let leave = self.requests.transmits().count().min(self.dice.within(0..=12) as usize);
        let leaving: Vec<Handle> = self.requests.transmits().take(leave).map(|transmit| transmit.handle).collect();
        self.requests.on_transmitted(self.now, leave);
        for handle in leaving {
            self.takes_its_turn(handle).was_sent = true;
        }
    }

    /// In the order of submission, at each peer.
    fn takes_its_turn(&mut self, handle: Handle) -> &mut Open {
        let place = self.open.iter().position(|open| open.handle == handle).unwrap();
        let peer = self.open[place].peer;
        let first = self.open.iter().position(|open| open.peer == peer && !open.had_its_turn);
        assert!(self.open[place].had_its_turn || first == Some(place), "{place} before {first:?}: {:?}", self.open);
        self.open[place].had_its_turn = true;
        &mut self.open[place]
    }

    /// How many wait for a place.
    fn count(&self) -> usize {
        let waiting = PEERS.into_iter().map(|address| {
            let open = self.open.iter().filter(|open| open.peer == address).count();
            let on_wire = self.requests.on_wire(self.requests.peer(address).unwrap());
            assert_eq!(on_wire, open.min(self.window), "of {open} to {address}");
            open - on_wire
        });
        waiting.sum()
    }

    /// How many have failed.
    fn look(&mut self) -> usize {
        self.now = self.now.after(ms(self.dice.within(0..=40)));
        let ended = looked(&mut self.requests, self.now);
        for ended in &ended {
            let place = self.open.iter().position(|open| open.token == ended.token).expect("it had ended");
            self.open.remove(place);
        }
        ended.len()
    }
}
