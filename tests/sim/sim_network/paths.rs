//! Time and ways.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::Seed;
use udp_retry::fault::{Direction, Link, Profile};
use udp_retry::sim::{Happened, SimNet, echo};
use udp_retry::transport::{PathIndex, Received, Transport};

use super::{SERVER, at, balanced, hear, ip, ms, recording, spec, two};
use crate::waits::Waits;

#[test]
fn a_datagram_takes_the_time_of_its_way_there_and_back_over_either_family() {
    for (here, there) in [("10.0.0.1", "10.0.0.2:7"), ("fd00::1", "[fd00::2]:7")] {
        let net = SimNet::new(Seed::new(1));
        let (client, server) = (net.host(ip(here)).unwrap(), net.host(at(there).ip()).unwrap());
        net.path(client, server, Profile { to_server: spec("delay 30ms"), to_client: spec("delay 50ms") }).unwrap();
        net.serve(at(there), echo()).unwrap();
        let mut transport = net.connect(client, at(there)).unwrap();
        transport.send(PathIndex::FIRST, b"ping").unwrap();
        let mut buffer = [0; 2];
        assert_eq!(transport.wait(&mut buffer, ms(79)), Ok(None));
        assert_eq!(net.now(), ms(79));
        let received = transport.wait(&mut buffer, ms(80)).unwrap();
        assert_eq!(received, Some(Received::new(PathIndex::FIRST, 2, 4, ms(80))), "due at the end of the wait");
        assert_eq!((buffer, net.now()), (*b"pi", ms(80)));
        assert_eq!((transport.local_addr().unwrap().ip(), transport.peer_addr()), (ip(here), at(there)));
        balanced(&net);
    }
}

#[test]
fn each_way_of_the_first_path_meets_the_fates_of_the_first_client_of_a_proxy() {
    let profile = Profile::both(spec("loss 40%; duplicate 20%; delay 5ms ~5ms"));
    let net = recording(Seed::new(8));
    let (client, server) = two(&net);
    net.path(client, server, profile.clone()).unwrap();
    net.serve(SERVER, echo()).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    for n in 0..300_u64 {
        transport.send(PathIndex::FIRST, &n.to_be_bytes()).unwrap();
        net.run_until(ms(n * 100 + 100));
    }
    for direction in [Direction::ToServer, Direction::ToClient] {
        let mut link = Link::new(profile.direction(direction).clone(), direction.link_seed(Seed::new(8), 0));
        let mut many = 0;
        for event in net.events() {
            let Happened::Sent { direction: way, fate, n, path } = event.what else { continue };
            if way == direction {
                many += 1;
                assert_eq!((path, n, fate), (0, many, link.transmit(event.at, &[0; 8])));
            }
        }
        assert!(many >= 150, "{many}");
    }
    balanced(&net);
}

#[test]
fn without_a_path_datagrams_arrive_at_once_and_a_path_can_change() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.serve(SERVER, echo()).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    for (delay, arrives) in [("none", 0), ("delay 5ms", 10), ("delay 1ms", 12)] {
        if delay != "none" {
            net.path(client, server, Profile::both(spec(delay))).unwrap();
        }
        transport.send(PathIndex::FIRST, b"x").unwrap();
        assert_eq!(hear(&mut transport, ms(100)).map(|(_, at)| at), Some(ms(arrives)));
    }
    // Seen from the other end it is the same path.
    net.path(server, client, Profile { to_server: spec("delay 20ms"), to_client: spec("delay 3ms") }).unwrap();
    transport.send(PathIndex::FIRST, b"x").unwrap();
    assert_eq!(hear(&mut transport, ms(100)).map(|(_, at)| at), Some(ms(35)));
}

#[test]
fn what_is_due_at_one_moment_happens_in_the_order_in_which_it_was_caused() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 5ms"))).unwrap();
    let order = Rc::new(RefCell::new(Vec::new()));
    let heard = order.clone();
    net.serve(SERVER, move |_, _, datagram, _| {
        heard.borrow_mut().push(datagram[0]);
    })
    .unwrap();
    for n in 0..4 {
        let order = order.clone();
        net.at(Duration::from_millis(5), move |_| order.borrow_mut().push(100 + n));
    }
    let mut transport = net.connect(client, SERVER).unwrap();
    for n in 0..5 {
        transport.send(PathIndex::FIRST, &[n]).unwrap();
    }
    net.run_until(ms(20));
    assert_eq!(*order.borrow(), [0, 1, 2, 3, 4, 100, 101, 102, 103]);
    assert_eq!((net.now(), net.next_due()), (ms(20), None));
}

#[test]
fn answers_leave_before_what_arrives_at_the_same_moment() {
    let net = recording(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 5ms"))).unwrap();
    net.serve(SERVER, |_, from, datagram, out| {
        out.send_after(Duration::from_millis(5), from, datagram);
    })
    .unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    transport.send(PathIndex::FIRST, b"1").unwrap();
    net.run_until(ms(5));
    transport.send(PathIndex::FIRST, b"2").unwrap();
    net.run_until(ms(10));
    let at_ten: Vec<_> = net.events().into_iter().filter(|event| event.at == ms(10)).collect();
    assert!(matches!(at_ten[0].what, Happened::Sent { direction: Direction::ToClient, .. }), "{at_ten:?}");
    assert_eq!((at_ten[1].what, at_ten.len()), (Happened::Arrived, 2));
}
