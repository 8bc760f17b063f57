//! Programs on unconnected sockets that run beside others, turn by turn.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::sim::{SimNet, SimUnconnected, check_determinism};
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, PathIndex, Route, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, transaction_id};

use super::{SERVER, at, balanced, hear, ms, spec, two};
use crate::waits::Waits;
use crate::watchdog::{MINUTE, within};

#[test]
fn a_turn_comes_at_the_start_whenever_something_has_arrived_and_when_it_asked_for_one() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 5ms"))).unwrap();
    let turns = Rc::new(RefCell::new(Vec::new()));
    let noted = turns.clone();
    net.run_in_turns(net.bind(server, SERVER).unwrap(), move |end: &mut SimUnconnected| {
        noted.borrow_mut().push((end.now(), drain(end)));
        Some(end.now().after(Duration::from_millis(20)))
    });
    let mut transport = net.connect(client, SERVER).unwrap();
    transport.send(PathIndex::FIRST, b"x").unwrap();
    transport.send(PathIndex::FIRST, b"y").unwrap();
    net.run_until(ms(10));
    transport.send(PathIndex::FIRST, b"z").unwrap();
    net.run_until(ms(60));
    assert_eq!(*turns.borrow(), [(ms(0), 0), (ms(5), 2), (ms(15), 1), (ms(35), 0), (ms(55), 0)]);
    balanced(&net);
}

#[test]
fn what_a_turn_leaves_queued_is_there_for_the_next_one() {
    within(MINUTE, leaves_queued);
}

fn leaves_queued() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    let mut transport = net.connect(client, SERVER).unwrap();
    let (taken, turns) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (took, turned) = (taken.clone(), turns.clone());
    net.run_in_turns(net.bind(server, SERVER).unwrap(), move |end: &mut SimUnconnected| {
        turned.set(turned.get() + 1);
        let now = end.now();
        // Busy in the first 10 ms; then one at a time.
        if now < ms(10) {
            return Some(ms(10));
        }
        took.set(took.get() + usize::from(end.wait(&mut [0; 8], now).unwrap().is_some()));
        None
    });
    for _ in 0..3 {
        transport.send(PathIndex::FIRST, b"x").unwrap();
    }
    net.run_until(ms(9));
    assert_eq!((taken.get(), turns.get() <= 4), (0, true), "nothing spins");
    net.run_until(ms(10));
    assert_eq!(taken.get(), 3);
    balanced(&net);
}

#[test]
fn a_program_ends_with_its_address_and_with_the_network() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    let alive = Rc::new(());
    for address in ["10.0.0.2:1", "0.0.0.0:2", "10.0.0.2:3"] {
        let held = alive.clone();
        net.run_in_turns(net.bind(server, at(address)).unwrap(), move |end: &mut SimUnconnected| {
            let _ = &held;
            drain(end);
            None
        });
    }
    net.run_until(ms(1));
    assert_eq!(Rc::strong_count(&alive), 4);
    assert!(net.stop(at("10.0.0.2:1")) && net.stop(at("10.0.0.2:2")));
    assert_eq!(Rc::strong_count(&alive), 2);
    let mut transport = net.connect(client, at("10.0.0.2:1")).unwrap();
    transport.send(PathIndex::FIRST, b"x").unwrap();
    assert!(transport.wait(&mut [0; 8], ms(5)).is_err(), "nothing listens there any more");
    // From within the run, too.
    net.at(Duration::from_millis(10), |net| assert!(net.stop(at("10.0.0.2:3"))));
    net.run_until(ms(20));
    assert_eq!(Rc::strong_count(&alive), 1);
    let held = alive.clone();
    net.run_in_turns(net.bind(server, at("10.0.0.2:1")).unwrap(), move |_: &mut SimUnconnected| {
        let _ = &held;
        None
    });
    drop((net, transport));
    assert_eq!(Rc::strong_count(&alive), 1, "a network that no one holds is gone with all that runs in it");
}

#[test]
fn a_turn_may_wait_and_the_network_goes_on_meanwhile() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 5ms"))).unwrap();
    net.run_in_turns(net.bind(server, SERVER).unwrap(), move |end: &mut SimUnconnected| {
        let now = end.now();
        while let Some(asked) = end.wait(&mut [0; 8], now).unwrap() {
            // 3 ms of work; what comes meanwhile waits.
            let done = end.now().after(Duration::from_millis(3));
            let mut aside = end.net().bind(server, at("10.0.0.2:0")).unwrap();
            assert_eq!((aside.wait(&mut [0; 8], done), end.now()), (Ok(None), done));
            end.send(asked.from, b"done").unwrap();
        }
        None
    });
    let mut transport = net.connect(client, SERVER).unwrap();
    for _ in 0..2 {
        transport.send(PathIndex::FIRST, b"x").unwrap();
    }
    let times: Vec<Timestamp> = (0..2).map(|_| hear(&mut transport, ms(100)).unwrap().1).collect();
    assert_eq!(times, [ms(13), ms(16)]);
    balanced(&net);
}

#[test]
fn programs_in_turns_are_a_run_that_can_be_repeated() {
    let run = |net: &SimNet| {
        let (client, server) = two(net);
        net.path(client, server, Profile::both(spec("loss 30%; duplicate 20%; delay 5ms ~5ms"))).unwrap();
        net.run_in_turns(net.bind(server, at("0.0.0.0:1060")).unwrap(), |end: &mut SimUnconnected| {
            let (mut buffer, now) = ([0; 64], end.now());
            while let Incoming::Datagram(asked) = end.recv(&mut buffer, now, now) {
                end.send(asked.from, &buffer[..asked.len]).unwrap();
            }
            None
        });
        let builder = ReliableRequester::builder(transaction_id(0..4).stamped()).policy(RetryPolicy::LAN);
        let mut requester = builder.over(net.connect(client, SERVER).unwrap()).unwrap();
        (0..50).filter(|_| requester.request(b"....?").is_ok()).count()
    };
    check_determinism(Seed::new(3), run).unwrap();
    let net = SimNet::new(Seed::new(3));
    assert!((40..50).contains(&run(&net)), "{}", run(&net));
}

/// Takes all that is queued, and returns how much that was.
fn drain(end: &mut impl Transport<Peer = Route>) -> usize {
    let now = end.now();
    std::iter::from_fn(|| end.wait(&mut [0; 64], now).unwrap()).count()
}
