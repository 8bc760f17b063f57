//! The simulated network is one: what arrives, when, where and in what order, what a kernel would say of it, and that
//! all of it can be repeated.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::fault::{Direction, Link, Profile};
use udp_retry::policy::{Backoff, Jitter};
use udp_retry::sim::{
    Client, Endpoint, Happened, NetStats, Outbox, Outcome, SimError, SimNet, SimTransport, check_determinism, echo,
};
use udp_retry::size::Plpmtu;
use udp_retry::time::Timestamp;
use udp_retry::transaction::Transaction;
use udp_retry::transport::{PathError, Received, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, any_reply, transaction_id};

// Time and ways.

#[test]
fn a_datagram_takes_the_time_of_its_way_there_and_back_over_either_family() {
    for (here, there) in [("10.0.0.1", "10.0.0.2:7"), ("fd00::1", "[fd00::2]:7")] {
        let net = SimNet::new(Seed::new(1));
        let (client, server) = (net.host(ip(here)).unwrap(), net.host(at(there).ip()).unwrap());
        net.path(client, server, Profile { to_server: spec("delay 30ms"), to_client: spec("delay 50ms") });
        net.serve(at(there), echo()).unwrap();
        let mut transport = net.connect(client, at(there)).unwrap();
        transport.send(0, b"ping").unwrap();
        let mut buffer = [0; 2];
        assert_eq!(transport.recv_until(&mut buffer, ms(79)), Ok(None));
        assert_eq!(net.now(), ms(79));
        let received = transport.recv_until(&mut buffer, ms(80)).unwrap();
        assert_eq!(received, Some(Received { from: 0, len: 2, actual: 4, at: ms(80) }), "due at the end of the wait");
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
    net.path(client, server, profile.clone());
    net.serve(SERVER, echo()).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    for n in 0..300_u64 {
        transport.send(0, &n.to_be_bytes()).unwrap();
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
            net.path(client, server, Profile::both(spec(delay)));
        }
        transport.send(0, b"x").unwrap();
        assert_eq!(hear(&mut transport, ms(100)).map(|(_, at)| at), Some(ms(arrives)));
    }
    // Seen from the other end it is the same path.
    net.path(server, client, Profile { to_server: spec("delay 20ms"), to_client: spec("delay 3ms") });
    transport.send(0, b"x").unwrap();
    assert_eq!(hear(&mut transport, ms(100)).map(|(_, at)| at), Some(ms(35)));
}

#[test]
fn what_is_due_at_one_moment_happens_in_the_order_in_which_it_was_caused() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 5ms")));
    let order = Rc::new(RefCell::new(Vec::new()));
    let heard = order.clone();
    net.serve(SERVER, move |_: Timestamp, _: SocketAddr, datagram: &[u8], _: &mut Outbox| {
        heard.borrow_mut().push(datagram[0]);
    })
    .unwrap();
    for n in 0..4 {
        let order = order.clone();
        net.at(Duration::from_millis(5), move |_| order.borrow_mut().push(100 + n));
    }
    let mut transport = net.connect(client, SERVER).unwrap();
    for n in 0..5 {
        transport.send(0, &[n]).unwrap();
    }
    net.run_until(ms(20));
    assert_eq!(*order.borrow(), [0, 1, 2, 3, 4, 100, 101, 102, 103]);
    assert_eq!((net.now(), net.next_due()), (ms(20), None));
}

#[test]
fn answers_leave_before_what_arrives_at_the_same_moment() {
    let net = recording(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 5ms")));
    net.serve(SERVER, |_: Timestamp, from: SocketAddr, datagram: &[u8], out: &mut Outbox| {
        out.send_after(Duration::from_millis(5), from, datagram);
    })
    .unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    transport.send(0, b"1").unwrap();
    net.run_until(ms(5));
    transport.send(0, b"2").unwrap();
    net.run_until(ms(10));
    let at_ten: Vec<_> = net.events().into_iter().filter(|event| event.at == ms(10)).collect();
    assert!(matches!(at_ten[0].what, Happened::Sent { direction: Direction::ToClient, .. }), "{at_ten:?}");
    assert_eq!((at_ten[1].what, at_ten.len()), (Happened::Arrived, 2));
}

// The kernel of the client.

#[test]
fn a_refusal_swallows_the_next_send_which_is_re_issued_once() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 1ms")));
    let mut transport = net.connect(client, SERVER).unwrap();
    // Alternately: every other datagram never leaves.
    for sent in [1, 1, 2, 2, 3] {
        let outcome = transport.send(0, b"x");
        assert_eq!((outcome.is_ok(), net.stats().sent), (sent != net.stats().sent || outcome.is_ok(), sent));
        net.run_until(net.now().after(Duration::from_millis(10)));
    }
    assert_eq!(transport.send_again(0, b"x"), Ok(Some(PathError::Refused)));
    assert_eq!(net.stats().sent, 4);
    balanced(&net);
}

#[test]
fn a_pending_error_hides_a_queued_reply_and_there_is_room_for_one() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 1ms")));
    net.serve(SERVER, echo()).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    transport.send(0, b"ping").unwrap();
    net.run_until(ms(2));
    assert!(net.stop(SERVER) && !net.stop(SERVER));
    for _ in 0..3 {
        transport.send(0, b"refused").unwrap();
    }
    net.run_until(ms(10));
    let mut buffer = [0; 8];
    assert_eq!(transport.recv_until(&mut buffer, ms(20)), Err(PathError::Refused));
    assert_eq!(net.now(), ms(10), "at once");
    assert_eq!(transport.recv_until(&mut buffer, ms(20)).unwrap().map(|heard| heard.at), Some(ms(2)));
    assert_eq!(transport.recv_until(&mut buffer, ms(20)), Ok(None), "three refusals, one error");
}

#[test]
fn a_refusal_wakes_whoever_waits_and_takes_as_long_as_a_reply() {
    let net = recording(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile { to_server: spec("delay 10ms"), to_client: spec("delay 7ms") });
    let mut transport = net.connect(client, SERVER).unwrap();
    transport.send(0, b"x").unwrap();
    assert_eq!(transport.recv_until(&mut [0; 8], ms(500)), Err(PathError::Refused));
    assert_eq!(net.now(), ms(17));
    let whats: Vec<_> = net.events().iter().map(|event| event.what).collect();
    assert!(
        matches!(
            whats[..],
            [Happened::Sent { .. }, Happened::Refused, Happened::RefusalSent { .. }, Happened::RefusalArrived]
        ),
        "{whats:?}"
    );
    // A way that loses everything loses refusals too.
    net.path(client, server, Profile { to_server: spec("none"), to_client: spec("loss 100%") });
    transport.send(0, b"x").unwrap();
    assert_eq!(transport.recv_until(&mut [0; 8], ms(500)), Ok(None));
    // And so does a partition.
    net.path(client, server, Profile::default());
    net.partition_one_way(server, client);
    transport.send(0, b"x").unwrap();
    assert_eq!(transport.recv_until(&mut [0; 8], ms(900)), Ok(None));
    balanced(&net);
}

#[test]
fn a_connected_socket_hears_its_peer_alone() {
    let net = recording(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 1ms")));
    let stranger = at("10.0.0.2:666");
    // A forger on the server's own host, with another port.
    let target = Rc::new(Cell::new(None));
    let shot = target.clone();
    net.serve(
        stranger,
        Every {
            period: Duration::from_millis(1),
            next: ms(1),
            shoot: move |out: &mut Outbox| {
                if let Some(client) = shot.get() {
                    out.send(client, b"forged");
                }
            },
        },
    )
    .unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    target.set(transport.local_addr());
    assert_eq!(transport.recv_until(&mut [0; 8], ms(10)), Ok(None));
    let foreign = net.events().iter().filter(|event| event.what == Happened::Foreign).count();
    assert_eq!((foreign as u64, net.stats().lost_on_arrival), (9, 9));
    balanced(&net);
}

#[test]
fn a_full_receive_buffer_loses_what_comes_then() {
    let net = recording(Seed::new(1));
    let (client, _) = two(&net);
    net.serve(SERVER, echo()).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap().with_receive_buffer(3 * (768 + 100));
    for n in 0..5 {
        transport.send(0, &[n; 100]).unwrap();
    }
    let heard: Vec<u8> = std::iter::from_fn(|| hear(&mut transport, ms(0)).map(|(datagram, _)| datagram[0])).collect();
    assert_eq!(heard, [0, 1, 2]);
    assert_eq!(net.events().iter().filter(|event| event.what == Happened::Overflowed).count(), 2);
    transport.send(0, &[9; 100]).unwrap();
    assert!(hear(&mut transport, ms(0)).is_some(), "there is room again");
    balanced(&net);
}

#[test]
fn what_cannot_be_sent_is_an_error_at_once() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    let mut transport = net.connect(client, SERVER).unwrap();
    assert_eq!(transport.send(0, &[0; 65_508]), Err(PathError::TooBig { limit: Some(Plpmtu::new(65_507)) }));
    net.path(client, server, Profile::both(spec("mtu 1400 error")));
    assert_eq!(transport.send(0, &[0; 1373]), Err(PathError::TooBig { limit: Some(Plpmtu::new(1372)) }));
    let mut nowhere = net.connect(client, at("10.9.9.9:1")).unwrap();
    assert_eq!(nowhere.send(0, b"x"), Err(PathError::Unreachable));
    assert_eq!(net.connect(client, at("[fd00::2]:7")).unwrap_err(), SimError::OtherFamily(at("[fd00::2]:7")));
    assert_eq!(net.host(ip("10.0.0.1")), Err(SimError::AddressTaken(ip("10.0.0.1"))));
    net.serve(SERVER, echo()).unwrap();
    assert_eq!(net.serve(SERVER, echo()), Err(SimError::InUse(SERVER)));
    assert_eq!(net.serve(at("10.9.9.9:1"), echo()), Err(SimError::NoSuchHost(ip("10.9.9.9"))));
    balanced(&net);
}

#[test]
fn a_late_wake_up_finds_what_has_come_meanwhile() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 6ms")));
    net.serve(SERVER, echo()).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap().late_by(Duration::from_millis(5));
    assert_eq!(transport.recv_until(&mut [0; 8], ms(10)), Ok(None));
    assert_eq!(net.now(), ms(15));
    transport.send(0, b"x").unwrap();
    let heard = transport.recv_until(&mut [0; 8], ms(25)).unwrap().unwrap();
    assert_eq!((heard.at, net.now()), (ms(27), ms(30)));
}

// Clients and servers that move, end and come back.

#[test]
fn a_fresh_port_hears_nothing_of_the_old_one() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 5ms")));
    net.serve(SERVER, echo()).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    let old = transport.local_addr();
    transport.send(0, b"queued").unwrap();
    net.run_until(ms(10));
    transport.send(0, b"on its way").unwrap();
    assert_eq!(transport.renew(), Ok(()));
    assert_ne!(transport.local_addr(), old);
    assert_eq!(hear(&mut transport, ms(100)), None);
    transport.send(0, b"new").unwrap();
    assert_eq!(hear(&mut transport, ms(200)).map(|(datagram, _)| datagram), Some(b"new".to_vec()));
    // Nor of errors.
    net.stop(SERVER);
    transport.send(0, b"refused").unwrap();
    net.run_until(ms(300));
    transport.renew().unwrap();
    assert_eq!(transport.send(0, b"x"), Ok(()));
    let ports: Vec<_> = (0..500).map(|_| transport.renew().map(|()| transport.local_addr())).collect();
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
    net.path(client, server, Profile::both(spec("delay 5ms")));
    let peers = Rc::new(RefCell::new(Vec::new()));
    let seen = peers.clone();
    net.serve(SERVER, move |_: Timestamp, from: SocketAddr, datagram: &[u8], out: &mut Outbox| {
        seen.borrow_mut().push(from);
        out.send(from, datagram);
    })
    .unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    transport.send(0, b"1").unwrap();
    net.at(Duration::from_millis(7), move |net| net.rebind(client));
    assert_eq!(hear(&mut transport, ms(50)), None, "the reply went to the old port");
    transport.send(0, b"2").unwrap();
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
    net.path(client, server, Profile::both(spec("delay 1ms")));
    let counting = || {
        let mut count = 0_u8;
        move |_: Timestamp, from: SocketAddr, _: &[u8], out: &mut Outbox| {
            count += 1;
            out.send(from, &[count]);
        }
    };
    net.serve(SERVER, counting()).unwrap();
    let mut requester =
        ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN).over(net.connect(client, SERVER).unwrap());
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
    net.serve(SERVER, move |_: Timestamp, from: SocketAddr, datagram: &[u8], out: &mut Outbox| {
        count.set(count.get() + 1);
        out.send(from, datagram);
    })
    .unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    let mut timer = |partitioned: u64| {
        let (before, sent) = (heard.get(), net.stats().partitioned);
        transport.send(0, b"x").unwrap();
        let answered = hear(&mut transport, net.now()).is_some();
        assert_eq!(net.stats().partitioned - sent, partitioned);
        (heard.get() - before, answered)
    };
    assert_eq!(timer(0), (1, true));
    net.partition_one_way(server, client);
    assert_eq!(timer(1), (1, false));
    net.heal(client, server);
    net.partition_one_way(client, server);
    assert_eq!(timer(1), (0, false));
    net.heal(client, server);
    // Whichever end is named first.
    net.partition(server, client);
    assert_eq!(timer(1), (0, false));
    net.heal(server, client);
    assert_eq!(timer(0), (1, true));
    net.take_down(server);
    assert_eq!(timer(0), (0, false), "silent, not refusing");
    net.bring_up(server);
    net.take_down(client);
    assert_eq!(timer(1), (0, false));
    net.bring_up(client);
    assert_eq!(timer(0), (1, true));
    balanced(&net);
}

#[test]
fn a_socket_that_is_dropped_is_closed() {
    let net = recording(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 5ms")));
    net.serve(SERVER, echo()).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    transport.send(0, b"x").unwrap();
    drop(transport);
    net.run_until(ms(100));
    let whats: Vec<_> = net.events().into_iter().map(|event| event.what).collect();
    assert_eq!(whats.iter().filter(|&&what| what == Happened::Refused).count(), 1);
    assert_eq!(whats.last(), Some(&Happened::RefusalLost), "a server on an unconnected socket hears nothing of it");
    assert_eq!(net.next_due(), None);
    balanced(&net);
}

// Endpoints.

#[test]
fn endpoints_are_woken_when_they_asked_for_it() {
    let net = SimNet::new(Seed::new(1));
    two(&net);
    let times = Rc::new(RefCell::new(Vec::new()));
    let seen = times.clone();
    let now = Rc::new(Cell::new(Timestamp::ZERO));
    let clock = now.clone();
    let ticking = Every {
        period: Duration::from_millis(3),
        next: ms(2),
        shoot: move |_: &mut Outbox| seen.borrow_mut().push(clock.get()),
    };
    net.serve(SERVER, ticking).unwrap();
    for at in 1..12 {
        net.run_until(ms(at));
        now.set(ms(at + 1));
    }
    assert_eq!(*times.borrow(), [ms(2), ms(5), ms(8), ms(11)]);
    net.stop(SERVER);
    net.run_until(ms(100));
    assert_eq!(times.borrow().len(), 4, "who has ended is not woken");
    assert_eq!(net.next_due(), None);
}

#[test]
fn an_answer_leaves_when_it_is_worked_out() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 1ms")));
    net.serve(SERVER, |_: Timestamp, from: SocketAddr, datagram: &[u8], out: &mut Outbox| {
        out.send_after(Duration::from_millis(u64::from(datagram[0])), from, datagram);
    })
    .unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    for work in [30, 10, 20] {
        transport.send(0, &[work]).unwrap();
    }
    let heard: Vec<_> = std::iter::from_fn(|| hear(&mut transport, ms(100))).collect();
    assert_eq!(heard, [(vec![10], ms(12)), (vec![20], ms(22)), (vec![30], ms(32))]);
    balanced(&net);
}

#[test]
fn a_client_endpoint_does_what_a_requester_does() {
    let profile = || Profile::both(spec("loss 40%; delay 5ms ~3ms; duplicate 10%"));
    let requests = 50_u64;
    let by_requester = {
        let net = SimNet::new(Seed::new(5));
        let (client, server) = two(&net);
        net.path(client, server, profile());
        net.serve(SERVER, echo()).unwrap();
        let transport = net.connect(client, SERVER).unwrap();
        let mut requester =
            ReliableRequester::builder(transaction_id(0..8)).policy(jittered()).seed(Seed::new(2)).over(transport);
        let outcomes: Vec<_> = (0..requests)
            .map(|id| match requester.request(&id.to_be_bytes()) {
                Ok(reply) => (reply.payload().to_vec(), reply.transmissions(), reply.elapsed()),
                Err(error) => (Vec::new(), error.transmissions(), error.elapsed()),
            })
            .collect();
        (outcomes, net.stats().sent, net.now())
    };
    let by_endpoint = {
        let net = SimNet::new(Seed::new(5));
        let (client, server) = two(&net);
        net.path(client, server, profile());
        net.serve(SERVER, echo()).unwrap();
        let outcomes = Rc::new(RefCell::new(Vec::new()));
        let (noted, mut id) = (outcomes.clone(), 0);
        let next = move |now: Timestamp, outcome: Outcome<'_>, request: &mut Vec<u8>| {
            match outcome {
                Outcome::Reply { payload, transmissions, elapsed } => {
                    noted.borrow_mut().push((payload.to_vec(), transmissions, elapsed));
                }
                Outcome::Failed { transmissions, elapsed, .. } => {
                    noted.borrow_mut().push((Vec::new(), transmissions, elapsed));
                }
                _ => {}
            }
            request.extend_from_slice(&u64::to_be_bytes(id));
            id += 1;
            (id <= requests).then_some(now)
        };
        let transaction = Transaction::new(jittered(), transaction_id(0..8));
        net.serve_connected(client, SERVER, Client::new(SERVER, transaction, Seed::new(2), next)).unwrap();
        net.run_to_the_end(Timestamp::MAX);
        let outcomes = outcomes.borrow().clone();
        let last: Duration = outcomes.iter().map(|(.., elapsed)| *elapsed).sum();
        (outcomes, net.stats().sent, Timestamp::ZERO.after(last))
    };
    assert_eq!(by_endpoint, by_requester);
    assert!(by_requester.0.iter().any(|(payload, ..)| payload.is_empty()), "some fail");
}

#[test]
fn a_client_endpoint_without_ids_asks_from_a_fresh_port_each_time() {
    let net = SimNet::new(Seed::new(3));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 5ms; duplicate 50% late 30ms")));
    net.serve(SERVER, echo()).unwrap();
    let (wrong, mut asked) = (Rc::new(Cell::new((0, 0))), 0_u64);
    let counts = wrong.clone();
    let next = move |now: Timestamp, outcome: Outcome<'_>, request: &mut Vec<u8>| {
        if let Outcome::Reply { payload, .. } = outcome {
            let (right, wrong) = counts.get();
            counts.set(if payload == asked.to_be_bytes() { (right + 1, wrong) } else { (right, wrong + 1) });
        }
        asked += 1;
        request.extend_from_slice(&asked.to_be_bytes());
        (asked <= 200).then_some(now)
    };
    let transaction = Transaction::new(RetryPolicy::LAN, any_reply());
    net.serve_connected(client, SERVER, Client::new(SERVER, transaction, Seed::new(2), next)).unwrap();
    net.run_to_the_end(Timestamp::MAX);
    assert_eq!(wrong.get(), (200, 0));
}

#[test]
fn a_connected_endpoint_hears_of_refusals_and_an_unconnected_one_does_not() {
    struct Prober(Rc<RefCell<Vec<(Timestamp, PathError)>>>, Option<Timestamp>);
    impl Endpoint for Prober {
        fn on_datagram(&mut self, _: Timestamp, _: SocketAddr, _: &[u8], _: &mut Outbox) {}
        fn on_path_error(&mut self, now: Timestamp, error: PathError, _: &mut Outbox) {
            self.0.borrow_mut().push((now, error));
        }
        fn on_wake(&mut self, _: Timestamp, out: &mut Outbox) {
            self.1 = None;
            out.send(SERVER, b"?");
        }
        fn wake_at(&self) -> Option<Timestamp> {
            self.1
        }
    }
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 2ms")));
    let (connected, free) = (Rc::default(), Rc::default());
    net.serve_connected(client, SERVER, Prober(Rc::clone(&connected), Some(ms(1)))).unwrap();
    net.serve(at("10.0.0.1:9"), Prober(Rc::clone(&free), Some(ms(1)))).unwrap();
    net.run_until(ms(50));
    assert_eq!(*connected.borrow(), [(ms(5), PathError::Refused)]);
    assert_eq!(*free.borrow(), []);
    balanced(&net);
}

// The same again.

#[test]
fn a_run_can_be_repeated_bit_for_bit_and_another_seed_gives_another() {
    let run = |seed| check_determinism(seed, scenario(None)).unwrap();
    assert_eq!(run(Seed::new(3)), run(Seed::new(3)));
    assert_ne!(run(Seed::new(3)), run(Seed::new(4)));
    // Whether it is recorded or not.
    let net = SimNet::new(Seed::new(3));
    scenario(None)(&net);
    assert_eq!(net.trace_hash(), run(Seed::new(3)));
    assert_eq!(net.events(), []);
}

#[test]
fn a_run_that_depends_on_anything_else_is_found_with_its_first_event_that_differs() {
    let outside = Rc::new(Cell::new(0));
    let divergence = check_determinism(Seed::new(3), scenario(Some(outside))).unwrap_err();
    let (first, second) = (divergence.first.unwrap(), divergence.second.unwrap());
    assert!(divergence.event > 5, "{divergence}");
    assert_eq!((first.at, first.from, first.to), (second.at, second.from, second.to));
    assert_ne!(first.digest, second.digest, "it is the content that differs");
    assert!(divergence.to_string().contains("two runs differ at event"), "{divergence}");
}

#[test]
fn every_bit_of_every_datagram_is_in_the_hash() {
    let hash = |payload: &[u8]| {
        let net = SimNet::new(Seed::new(1));
        let (client, _) = two(&net);
        net.connect(client, SERVER).unwrap().send(0, payload).unwrap();
        net.trace_hash()
    };
    let mut hashes: Vec<u64> = (0..160)
        .map(|bit| {
            let mut payload = [0; 20];
            payload[bit / 8] = 1 << (bit % 8);
            hash(&payload)
        })
        .chain((0..40).map(|len| hash(&vec![0; len])))
        .collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 200);
}

/// Requests through all that is bad; the fifth of them says how often this has run, if anybody counts.
fn scenario(runs: Option<Rc<Cell<u8>>>) -> impl Fn(&SimNet) {
    move |net| {
        let run = runs.as_ref().map_or(0, |runs| runs.replace(runs.get() + 1));
        let (client, server) = two(net);
        net.path(client, server, Profile::both(spec("loss 30%; duplicate 20%; corrupt 5%; delay 5ms ~5ms unordered")));
        net.serve(SERVER, echo()).unwrap();
        net.at(Duration::from_millis(40), move |net| net.rebind(client));
        let transport = net.connect(client, SERVER).unwrap();
        let mut requester = ReliableRequester::builder(transaction_id(0..1))
            .policy(RetryPolicy::LAN)
            .seed(Seed::new(1))
            .over(transport);
        for id in 0..20 {
            let _ = requester.request(&[id, if id == 4 { run } else { 0 }]);
        }
    }
}

/// Does something at equal distances.
struct Every<F> {
    period: Duration,
    next: Timestamp,
    shoot: F,
}

impl<F: FnMut(&mut Outbox)> Endpoint for Every<F> {
    fn on_datagram(&mut self, _: Timestamp, _: SocketAddr, _: &[u8], _: &mut Outbox) {}

    fn on_wake(&mut self, now: Timestamp, out: &mut Outbox) {
        assert_eq!(now, self.next);
        self.next = now.after(self.period);
        (self.shoot)(out);
    }

    fn wake_at(&self) -> Option<Timestamp> {
        Some(self.next)
    }
}

/// A client's host, and one for a server.
fn two(net: &SimNet) -> (udp_retry::sim::HostId, udp_retry::sim::HostId) {
    (net.host(ip("10.0.0.1")).unwrap(), net.host(SERVER.ip()).unwrap())
}

fn hear(transport: &mut SimTransport, until: Timestamp) -> Option<(Vec<u8>, Timestamp)> {
    let mut buffer = [0; 2000];
    let heard = transport.recv_until(&mut buffer, until).unwrap()?;
    Some((buffer[..heard.len].to_vec(), heard.at))
}

#[track_caller]
fn balanced(net: &SimNet) {
    let NetStats {
        sent, partitioned, dropped, delivered, duplicates, arrived, lost_on_arrival, in_flight, unsent, ..
    } = net.stats();
    assert_eq!(sent + duplicates, partitioned + dropped + delivered, "{net:?}");
    net.run_to_the_end(net.now().after(Duration::from_secs(60)));
    let NetStats { arrived: later, lost_on_arrival: lost, .. } = net.stats();
    assert!(later + lost >= arrived + lost_on_arrival && in_flight < 10_000 && unsent == 0, "{net:?}");
}

/// As the book's, each wait up to half as long again.
fn jittered() -> RetryPolicy {
    let backoff = Backoff::exponential(Duration::from_millis(100), Duration::from_secs(3)).unwrap();
    let backoff = backoff.with_jitter(Jitter::between(1.0, 1.5).unwrap()).unwrap();
    RetryPolicy::new(backoff).with_max_transmissions(5).unwrap()
}

fn spec(text: &str) -> udp_retry::Impairments {
    text.parse().unwrap()
}

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

fn ip(address: &str) -> std::net::IpAddr {
    address.parse().unwrap()
}

fn ms(millis: u64) -> Timestamp {
    Timestamp::ZERO.after(Duration::from_millis(millis))
}

const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), 1060);

fn recording(seed: Seed) -> SimNet {
    let net = SimNet::new(seed);
    net.record();
    net
}
