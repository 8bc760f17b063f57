//! The window: as many on the wire as it has places, and no place free while one waits.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use udp_retry::transaction::{Arrived, Handle, Limits};
use udp_retry::transport::PathError;

use super::dice::Dice;
use super::settings::ms;
use super::{PEERS, START, stamped, submitted, transmitted};

#[test]
fn no_more_than_the_window_are_on_the_wire_and_no_place_is_free_while_one_waits() {
    let (mut waited, mut ended) = (0, 0);
    for world in 0..300 {
        let mut dice = Dice::new(world);
        let window = dice.within(1..=9) as u32;
        let mut requests = stamped(8, Limits::default().window(NonZeroU32::new(window).unwrap()));
        let mut now = START;
        // By peer: those that are open, and those of them that were never sent.
        let mut open: Vec<Vec<(u64, Handle, Vec<u8>)>> = vec![Vec::new(); PEERS.len()];
        let mut unsent: Vec<Vec<u64>> = vec![Vec::new(); PEERS.len()];
        let mut sent = BTreeSet::new();
        let mut tokens = 0;
        let mut turns = 0;
        while tokens < 100 || open.iter().any(|open| !open.is_empty()) {
            turns += 1;
            assert!(turns < 10_000, "world {world}: {open:?} are forgotten");
            for _ in 0..if tokens < 100 { dice.within(0..=12) } else { 0 } {
                let peer = dice.index(PEERS.len());
                let handle = submitted(&mut requests, now, PEERS[peer], tokens);
                open[peer].push((tokens, handle, requests.request(handle).unwrap().to_vec()));
                unsent[peer].push(tokens);
                tokens += 1;
            }
            let peer = dice.index(PEERS.len());
            match dice.within(0..=4) {
                0 | 1 if !open[peer].is_empty() => {
                    let at = dice.index(open[peer].len());
                    let (token, _, reply) = open[peer][at].clone();
                    let arrived = requests.on_datagram(now, PEERS[peer], &reply, reply.len());
                    let was_sent = sent.contains(&token);
                    assert_eq!(matches!(arrived, Arrived::Reply(_)), was_sent, "{arrived:?}");
                    if was_sent {
                        open[peer].remove(at);
                    }
                }
                2 if !open[peer].is_empty() => {
                    let at = dice.index(open[peer].len());
                    let (token, handle, _) = open[peer].remove(at);
                    assert_eq!(requests.cancel(now, handle).unwrap().token, token);
                    unsent[peer].retain(|&unsent| unsent != token);
                }
                3 => {
                    // The first one is never sent: the same error twice is the system's own.
                    let first = requests.transmits().next().map(|first| first.handle);
                    for _ in 0..2 {
                        if first.is_some() && requests.transmits().next().map(|first| first.handle) == first {
                            requests.on_not_transmitted(now, PathError::Other(5));
                        }
                    }
                    for (open, unsent) in open.iter().zip(&mut unsent) {
                        let failed = open.iter().find(|(_, handle, _)| Some(*handle) == first);
                        if let Some((token, ..)) = failed.filter(|(token, ..)| unsent.contains(token)) {
                            assert_eq!(unsent.first(), Some(token), "another one's turn");
                            unsent.remove(0);
                        }
                    }
                }
                _ => {}
            }
            for (place, address) in PEERS.into_iter().enumerate() {
                let on_wire = requests.on_wire(requests.peer(address).unwrap());
                assert_eq!(on_wire, open[place].len().min(window as usize), "world {world}, peer {address}");
                waited += open[place].len() - on_wire;
            }
            let leave = requests.transmits().count().min(dice.within(0..=12) as usize);
            let leaving: Vec<Handle> = requests.transmits().take(leave).map(|transmit| transmit.handle).collect();
            requests.on_transmitted(now, leave);
            for handle in leaving {
                let peer = open.iter().position(|open| open.iter().any(|(_, other, _)| *other == handle)).unwrap();
                let (token, ..) = open[peer].iter().find(|(_, other, _)| *other == handle).unwrap();
                sent.insert(*token);
                if unsent[peer].contains(token) {
                    assert_eq!(unsent[peer].first(), Some(token), "world {world}: not in the order of submission");
                    unsent[peer].remove(0);
                }
            }
            now = now.after(ms(dice.within(0..=40)));
            requests.on_time_up(now);
            while let Some(finished) = requests.next_finished() {
                let of =
                    |open: &Vec<(u64, Handle, Vec<u8>)>| open.iter().position(|(token, ..)| *token == finished.token);
                let (peer, at) =
                    open.iter().enumerate().find_map(|(peer, open)| Some((peer, of(open)?))).expect("ended twice");
                open[peer].remove(at);
                unsent[peer].retain(|&unsent| unsent != finished.token);
                ended += 1;
            }
        }
        assert_eq!((requests.len(), transmitted(&mut requests, now)), (0, 0));
    }
    println!("{waited} waits, {ended} failures");
    assert!(waited > 10_000 && ended > 1_000, "too few to prove anything");
}
