//! Clients and servers that move, end and come back.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::sim::{Happened, Outbox, SimNet, echo};
use udp_retry::time::Timestamp;
use udp_retry::transport::{PathIndex, Renewal, Renewed, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, any_reply};

use super::{SERVER, balanced, hear, ms, recording, spec, two};

#[test]
fn a_fresh_port_hears_nothing_of_the_old_one() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 5ms"))).unwrap();
    net.serve(SERVER, echo()).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    let old = transport.local_addr();
    transport.send(PathIndex::FIRST, b"queued").unwrap();
    net.run_until(ms(10));
    transport.send(PathIndex::FIRST, b"on its way").unwrap();
    assert_eq!(transport.renew(PathIndex::FIRST, Renewal::Required), Ok(Renewed::FreshPort));
    assert_ne!(transport.local_addr(), old);
    assert_eq!(hear(&mut transport, ms(100)), None);
    transport.send(PathIndex::FIRST, b"new").unwrap();
    assert_eq!(hear(&mut transport, ms(200)).map(|(datagram, _)| datagram), Some(b"new".to_vec()));
    // Nor of errors.
    net.stop(SERVER);
    transport.send(PathIndex::FIRST, b"refused").unwrap();
    net.run_until(ms(300));
    transport.renew(PathIndex::FIRST, Renewal::Required).unwrap();
    assert_eq!(transport.send(PathIndex::FIRST, b"x"), Ok(()));
    let ports: Vec<_> = (0..500)
        .map(|_| transport.renew(PathIndex::FIRST, Renewal::Required).map(|_| transport.local_addr()))
        .collect();
    let mut distinct = ports.clone();
    distinct.sort_by_key(|port| port.unwrap());
    distinct.dedup();
    assert_eq!(distinct.len(), 500);
    balanced(&net);
}

#[test]
fn a_nat_that_forgets_moves_its_clients_and_swallows_what_comes_to_the_old_ports() {
    let net = recording(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 5ms"))).unwrap();
    let peers = Rc::new(RefCell::new(Vec::new()));
    let seen = peers.clone();
    net.serve(SERVER, move |_, from, datagram, out| {
        seen.borrow_mut().push(from);
        out.send(from, datagram);
    })
    .unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    transport.send(PathIndex::FIRST, b"1").unwrap();
    net.at(Duration::from_millis(7), move |net| net.rebind(client).unwrap());
    assert_eq!(hear(&mut transport, ms(50)), None, "the reply went to the old port");
    transport.send(PathIndex::FIRST, b"2").unwrap();
    assert_eq!(hear(&mut transport, ms(100)).map(|(datagram, _)| datagram), Some(b"2".to_vec()));
    let peers = peers.borrow();
    assert!(peers[0] != peers[1] && peers[0].ip() == peers[1].ip(), "{peers:?}");
    assert!(net.events().iter().all(|event| event.what != Happened::Refused), "it vanished without a word");
    balanced(&net);
}

#[test]
fn a_server_that_comes_back_has_forgotten_everything() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 1ms"))).unwrap();
    let counting = || {
        let mut count = 0_u8;
        move |_: Timestamp, from: SocketAddr, _: &[u8], out: &mut Outbox| {
            count += 1;
            out.send(from, &[count]);
        }
    };
    net.serve(SERVER, counting()).unwrap();
    let mut requester = ReliableRequester::builder(any_reply())
        .policy(RetryPolicy::LAN)
        .over(net.connect(client, SERVER).unwrap())
        .unwrap();
    assert_eq!(requester.request(b"?").unwrap().payload(), [1]);
    assert_eq!(requester.request(b"?").unwrap().payload(), [2]);
    net.stop(SERVER);
    net.at(Duration::from_millis(150), move |net| net.serve(SERVER, counting()).unwrap());
    let reply = requester.request(b"?").unwrap();
    assert_eq!((reply.payload(), reply.transmissions()), (&[1][..], 3), "sent at 4, 104 and 304 ms");
    balanced(&net);
}

#[test]
fn a_partition_has_the_directions_that_it_was_given_until_it_is_healed() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    let heard = Rc::new(Cell::new(0));
    let count = heard.clone();
    net.serve(SERVER, move |_, from, datagram, out| {
        count.set(count.get() + 1);
        out.send(from, datagram);
    })
    .unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    let mut timer = |partitioned: u64| {
        let (before, sent) = (heard.get(), net.stats().partitioned);
        transport.send(PathIndex::FIRST, b"x").unwrap();
        let answered = hear(&mut transport, net.now()).is_some();
        assert_eq!(net.stats().partitioned - sent, partitioned);
        (heard.get() - before, answered)
    };
    assert_eq!(timer(0), (1, true));
    net.partition_one_way(server, client).unwrap();
    assert_eq!(timer(1), (1, false));
    net.heal(client, server).unwrap();
    net.partition_one_way(client, server).unwrap();
    assert_eq!(timer(1), (0, false));
    net.heal(client, server).unwrap();
    // Whichever end is named first.
    net.partition(server, client).unwrap();
    assert_eq!(timer(1), (0, false));
    net.heal(server, client).unwrap();
    assert_eq!(timer(0), (1, true));
    net.take_down(server).unwrap();
    assert_eq!(timer(0), (0, false), "silent, not refusing");
    net.bring_up(server).unwrap();
    net.take_down(client).unwrap();
    assert_eq!(timer(1), (0, false));
    net.bring_up(client).unwrap();
    assert_eq!(timer(0), (1, true));
    balanced(&net);
}

#[test]
fn a_socket_that_is_dropped_is_closed() {
    let net = recording(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 5ms"))).unwrap();
    net.serve(SERVER, echo()).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    transport.send(PathIndex::FIRST, b"x").unwrap();
    drop(transport);
    net.run_until(ms(100));
    let whats: Vec<_> = net.events().into_iter().map(|event| event.what).collect();
    assert_eq!(whats.iter().filter(|&&what| what == Happened::Refused).count(), 1);
    assert_eq!(whats.last(), Some(&Happened::RefusalLost), "a server on an unconnected socket hears nothing of it");
    assert_eq!(net.next_due(), None);
    balanced(&net);
}
