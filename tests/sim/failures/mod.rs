//! What a failure says: how to repeat it, why it fails, and a test that fails in the same way. Whatever a scenario does,
//! it is reported.

mod budget;
mod endless;
mod panics;
mod pasted;
mod repeating;
mod scenarios;
mod story;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use udp_retry::sim::{Counterexample, Outbox, SimNet, explore};
use udp_retry::time::Timestamp;
use udp_retry::transport::{PathIndex, Transport};

use crate::world::{SERVER, World, ms};

/// The failure of a scenario that must have one.
#[track_caller]
fn found<E: ToString>(scenario: impl Fn(&SimNet) -> Result<(), E>) -> Counterexample {
    match explore(0..1_000, scenario) {
        Err(failure) => failure,
        Ok(runs) => panic!("{runs} runs have passed"),
    }
}

/// Which of so many datagrams do not arrive, from 0.
fn lost(net: &SimNet, to_server: &str, datagrams: usize) -> Vec<usize> {
    let world = World::new(net, to_server, "none");
    let all = Rc::new(RefCell::new(vec![true; datagrams]));
    let note = all.clone();
    let server = move |_: Timestamp, _: SocketAddr, datagram: &[u8], _: &mut Outbox<'_>| {
        let number = u32::from_be_bytes(datagram.try_into().unwrap());
        note.borrow_mut()[number as usize] = false;
    };
    net.serve(SERVER, server).unwrap();
    let mut transport = net.connect(world.client, SERVER).unwrap();
    for n in 0..datagrams as u32 {
        transport.send(PathIndex::FIRST, &n.to_be_bytes()).unwrap();
        net.run_until(net.now().after(ms(1)));
    }
    net.run_until(net.now().after(ms(1_000)));
    let all = all.borrow();
    all.iter().enumerate().filter(|(_, lost)| **lost).map(|(n, _)| n).collect()
}
