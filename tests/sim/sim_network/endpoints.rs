//! Endpoints.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::sim::{Client, Endpoint, Outbox, Outcome, SimNet, echo};
use udp_retry::time::Timestamp;
use udp_retry::transaction::Transaction;
use udp_retry::transport::{PathError, PathIndex, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, any_reply, transaction_id};

use super::{Every, SERVER, at, balanced, hear, jittered, ms, spec, two};

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
    net.serve_endpoint(SERVER, ticking).unwrap();
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
    net.path(client, server, Profile::both(spec("delay 1ms"))).unwrap();
    net.serve(SERVER, |_, from, datagram, out| {
        out.send_after(Duration::from_millis(u64::from(datagram[0])), from, datagram);
    })
    .unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    for work in [30, 10, 20] {
        transport.send(PathIndex::FIRST, &[work]).unwrap();
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
        net.path(client, server, profile()).unwrap();
        net.serve(SERVER, echo()).unwrap();
        let transport = net.connect(client, SERVER).unwrap();
        let mut requester = ReliableRequester::builder(transaction_id(0..8))
            .policy(jittered())
            .seed(Seed::new(2))
            .over(transport)
            .unwrap();
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
        net.path(client, server, profile()).unwrap();
        net.serve(SERVER, echo()).unwrap();
        let outcomes = Rc::new(RefCell::new(Vec::new()));
        let (noted, mut id) = (outcomes.clone(), 0);
        let next = move |now: Timestamp, outcome: Outcome<'_>, request: &mut Vec<u8>| {
            match outcome {
                Outcome::Reply { payload, transmissions, elapsed, .. } => {
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
    net.path(client, server, Profile::both(spec("delay 5ms; duplicate 50% late 30ms"))).unwrap();
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
    net.path(client, server, Profile::both(spec("delay 2ms"))).unwrap();
    let (connected, free) = (Rc::default(), Rc::default());
    net.serve_connected(client, SERVER, Prober(Rc::clone(&connected), Some(ms(1)))).unwrap();
    net.serve_endpoint(at("10.0.0.1:9"), Prober(Rc::clone(&free), Some(ms(1)))).unwrap();
    net.run_until(ms(50));
    assert_eq!(*connected.borrow(), [(ms(5), PathError::Refused)]);
    assert_eq!(*free.borrow(), []);
    balanced(&net);
}
