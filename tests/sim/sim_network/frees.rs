//! What has ended is gone: its number means no other, and its place is used again.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::Seed;
use udp_retry::fault::Profile;
use udp_retry::sim::{Endpoint, Happened, Outbox, SimError, SimNet, SimTransport, echo};
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, PathError, PathIndex, Renewal, Renewed, Transport};

use super::{SERVER, at, balanced, hear, ms, recording, spec, two};

fn asked(net: &SimNet, transport: &mut SimTransport) -> bool {
    transport.send(PathIndex::FIRST, b"?").is_ok()
        && hear(transport, net.now().after(Duration::from_millis(10))).is_some()
}

#[test]
fn a_stopped_transport_does_nothing_any_more_and_does_nothing_to_its_successor() {
    let net = recording(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 1ms"))).unwrap();
    net.serve(SERVER, echo()).unwrap();
    let mut stopped = net.connect(client, SERVER).unwrap();
    let address = stopped.local_addr().unwrap();
    stopped.send(PathIndex::FIRST, b"queued").unwrap();
    net.run_until(ms(5));
    assert!(net.stop(address) && !net.stop(address));

    net.serve(address, echo()).unwrap();
    let sent = net.stats().sent;
    assert_eq!(stopped.send(PathIndex::FIRST, b"ghost"), Err(PathError::Unsupported));
    assert_eq!(stopped.renew(PathIndex::FIRST, Renewal::Required), Err(PathError::Unsupported), "no revival");
    assert_eq!(stopped.send(PathIndex::FIRST, b"ghost"), Err(PathError::Unsupported));
    assert_eq!((net.stats().sent, stopped.local_addr()), (sent, None));
    let now = net.now();
    assert_eq!(stopped.recv(&mut [0; 9], now, ms(9)), Incoming::TimeUp(ms(9)), "nor what was queued");
    let stopped = stopped.with_receive_buffer(0);

    let mut asking = net.connect(server, address).unwrap();
    assert!(asked(&net, &mut asking), "whatever is bound there now");
    drop(stopped);
    assert!(asked(&net, &mut asking), "and it outlives the one before");
    assert_eq!(net.serve(address, echo()), Err(SimError::InUse(address)));
    assert!(net.events().iter().all(|event| event.what != Happened::Refused));
    balanced(&net);
}

/// Waits for a time and never gets there.
struct Waiting(Rc<Cell<u32>>);

impl Endpoint for Waiting {
    fn on_datagram(&mut self, _: Timestamp, _: SocketAddr, _: &[u8], _: &mut Outbox) {}
    fn on_wake(&mut self, _: Timestamp, _: &mut Outbox) {
        self.0.set(self.0.get() + 1);
    }
    fn wake_at(&self) -> Option<Timestamp> {
        Some(ms(20)).filter(|_| self.0.get() == 0)
    }
}

#[test]
fn an_answer_or_a_timer_of_an_endpoint_that_has_ended_is_not_taken_for_one_of_its_successor() {
    let net = SimNet::new(Seed::new(1));
    let (client, _) = two(&net);
    let slow = |_: Timestamp, from: SocketAddr, datagram: &[u8], out: &mut Outbox| {
        out.send_after(Duration::from_millis(30), from, datagram);
    };
    net.serve(SERVER, slow).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    transport.send(PathIndex::FIRST, b"to the first").unwrap();
    let (first, second) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    net.run_until(ms(1));
    net.stop(SERVER);
    net.serve(SERVER, echo()).unwrap();
    net.serve_endpoint(at("10.0.0.1:9"), Waiting(first.clone())).unwrap();
    net.stop(at("10.0.0.1:9"));
    net.run_until(ms(10));
    // In the places of the ones before, and awake at the same moment, once.
    net.serve_endpoint(at("10.0.0.1:9"), Waiting(second.clone())).unwrap();
    assert_eq!(hear(&mut transport, ms(100)), None);
    assert_eq!((net.stats().unsent, first.get(), second.get()), (1, 0, 1));
}

#[test]
fn a_host_moves_again_and_again_and_its_ports_come_round_again() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 1ms"))).unwrap();
    net.serve(SERVER, echo()).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    for n in 0..40_000 {
        let before = transport.local_addr();
        net.rebind(client).unwrap();
        assert_ne!(transport.local_addr(), before, "move {n}");
    }
    for n in 0..40_000 {
        let before = transport.local_addr();
        assert_eq!(transport.renew(PathIndex::FIRST, Renewal::Advised), Ok(Renewed::FreshPort), "renewal {n}");
        assert_ne!(transport.local_addr(), before);
    }
    assert!(asked(&net, &mut transport));
}

#[test]
fn a_host_without_a_port_to_move_to_says_so_and_moves_nothing() {
    let net = SimNet::new(Seed::new(1));
    let (client, _) = two(&net);
    let mut all: Vec<_> = (0..16_384).map(|_| net.connect(client, SERVER).unwrap()).collect();
    assert_eq!(net.connect(client, SERVER).unwrap_err(), SimError::NoPort);
    let places = |all: &[SimTransport]| all.iter().map(SimTransport::local_addr).collect::<Vec<_>>();
    let before = places(&all);
    assert_eq!(net.rebind(client), Err(SimError::NoPort));
    let error = all[0].renew(PathIndex::FIRST, Renewal::Required).unwrap_err();
    assert_eq!(error, PathError::Other(98), "EADDRINUSE, as on Linux");
    assert_eq!(places(&all), before);
    // As many free as are to move, and a server that moves to a port of its host's NAT is one of them.
    all.truncate(8_191);
    net.serve(at("10.0.0.1:53"), echo()).unwrap();
    net.rebind(client).unwrap();
    assert!(places(&all).iter().all(|now| !before.contains(now) || before[8_191..].contains(now)));
    all.truncate(8_190);
    assert_eq!(net.rebind(client), Ok(()));
    all.extend((0..2).map(|_| net.connect(client, SERVER).unwrap()));
    let before = places(&all);
    assert_eq!(net.rebind(client), Err(SimError::NoPort), "8,193 have only 8,191");
    assert_eq!(places(&all), before, "and not one of them has moved");
}

#[test]
fn an_endpoint_that_ends_may_hold_a_transport_which_is_closed_with_it() {
    let net = SimNet::new(Seed::new(1));
    let (client, _) = two(&net);
    let held = net.connect(client, SERVER).unwrap();
    let address = held.local_addr().unwrap();
    net.serve(SERVER, move |_, _, _, _| {
        let _ = &held;
    })
    .unwrap();
    assert!(net.stop(SERVER));
    assert!(!net.stop(address), "closed with its owner");

    // And one that is dropped in the middle of a call.
    let held = RefCell::new(Some(net.connect(client, SERVER).unwrap()));
    let address = held.borrow().as_ref().and_then(SimTransport::local_addr).unwrap();
    net.serve(SERVER, move |_, _, _, _| drop(held.take())).unwrap();
    net.connect(client, SERVER).unwrap().send(PathIndex::FIRST, b"drop it").unwrap();
    net.run_until(ms(10));
    assert!(!net.stop(address), "closed");
}
