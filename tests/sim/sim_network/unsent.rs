//! What cannot leave a host: whoever sends it learns so at once, whatever it is, and it does not count as sent. And what
//! is left of the books when an endpoint or an observer panics.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use udp_retry::fault::{Direction, Profile};
use udp_retry::sim::{Client, Endpoint, Happened, HostId, Outbox, Outcome, SimError, SimNet, SimTransport, echo};
use udp_retry::size::Plpmtu;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Execution, Failure, Timeline, Transaction};
use udp_retry::transport::{PathError, PathIndex, Transport};
use udp_retry::{Impairments, LossySink, ReliableRequester, RetryPolicy, Seed, transaction_id};

use super::{SERVER, at, balanced, hear, ms, recording, spec, two};

/// All that a front reports of a failure.
#[derive(PartialEq, Debug)]
struct Failed {
    failure: Failure,
    transmissions: u32,
    elapsed: Duration,
    execution: Execution,
    last_path_error: Option<PathError>,
    timeline: Timeline,
}

/// A network whose only path refuses what does not fit, and the client's host.
fn narrow() -> (SimNet, HostId) {
    let net = recording(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("mtu 100 error"))).unwrap();
    net.serve(SERVER, echo()).unwrap();
    (net, client)
}

fn by_requester(net: &SimNet, client: HostId, server: SocketAddr, request: &[u8]) -> Failed {
    let builder = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN).seed(Seed::new(2));
    let mut requester = builder.over(net.connect(client, server).unwrap()).unwrap();
    let error = requester.request(request).unwrap_err();
    Failed {
        failure: error.failure(),
        transmissions: error.transmissions(),
        elapsed: error.elapsed(),
        execution: error.execution(),
        last_path_error: error.last_path_error(),
        timeline: *error.timeline(),
    }
}

fn by_client(net: &SimNet, client: HostId, server: SocketAddr, request: &[u8]) -> Failed {
    let (failed, request, mut asked) = (Rc::new(RefCell::new(None)), request.to_vec(), false);
    let noted = failed.clone();
    let next = move |now: Timestamp, outcome: Outcome<'_>, bytes: &mut Vec<u8>| {
        if let Outcome::Failed { failure, transmissions, elapsed, execution, last_path_error, timeline, .. } = outcome {
            let timeline = *timeline;
            noted.replace(Some(Failed { failure, transmissions, elapsed, execution, last_path_error, timeline }));
        }
        bytes.extend_from_slice(&request);
        (!std::mem::replace(&mut asked, true)).then_some(now)
    };
    let transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..1));
    net.serve_connected(client, server, Client::new(server, transaction, Seed::new(2), next)).unwrap();
    net.run_to_the_end(Timestamp::MAX);
    failed.take().unwrap()
}

#[test]
fn a_requester_and_a_client_in_the_network_say_the_same_of_what_cannot_be_sent() {
    let nowhere = at("10.9.9.9:1");
    let mut failures = Vec::new();
    for (server, len) in [(SERVER, 500), (SERVER, 73), (SERVER, 65_508), (nowhere, 9), (nowhere, 70_000)] {
        let [one, other] = [by_requester, by_client].map(|ask| {
            let (net, client) = narrow();
            let failed = ask(&net, client, server, &vec![9; len]);
            assert_eq!(net.stats().sent, 0, "nothing has left the host");
            let entered = net.events().iter().filter(|it| matches!(it.what, Happened::Sent { .. })).count();
            balanced_but_unsent(&net);
            (failed, net.stats(), entered)
        });
        assert_eq!(one.0, other.0, "{len} bytes to {server}");
        assert_eq!((one.1.dropped, one.2), (other.1.dropped, other.2));
        assert!(one.1.unsent == 0 && other.1.unsent > 0, "an endpoint has no other place to leave this");
        failures.push((one.0.failure, one.0.transmissions, one.0.execution));
    }
    assert!(
        failures[..3].iter().all(|it| matches!(it, (Failure::TooLarge { .. }, 0, Execution::NotSent))),
        "{failures:?}"
    );
    assert!(
        failures.iter().all(|(_, transmissions, execution)| (*transmissions, *execution) == (0, Execution::NotSent))
    );
    // And what fits leaves, at the same time.
    let (net, client) = narrow();
    let mut transport = net.connect(client, SERVER).unwrap();
    transport.send(PathIndex::FIRST, &[9; 72]).unwrap();
    assert!(hear(&mut transport, ms(1)).is_some());
}

#[track_caller]
fn balanced_but_unsent(net: &SimNet) {
    let stats = net.stats();
    assert_eq!(stats.sent + stats.duplicates, stats.partitioned + stats.dropped + stats.delivered, "{stats:?}");
    assert_eq!(stats.delivered, stats.arrived + stats.lost_on_arrival + stats.discarded + stats.in_flight, "{stats:?}");
}

type Errors = Rc<RefCell<Vec<(Timestamp, PathError)>>>;

/// Does something once, at 1 ms, and notes what it learns.
struct Once<F> {
    pending: bool,
    act: F,
    errors: Errors,
}

impl<F: FnMut(&mut Outbox<'_>)> Endpoint for Once<F> {
    fn on_datagram(&mut self, _: Timestamp, _: SocketAddr, _: &[u8], _: &mut Outbox<'_>) {}
    fn on_path_error(&mut self, now: Timestamp, error: PathError, _: &mut Outbox<'_>) {
        self.errors.borrow_mut().push((now, error));
    }
    fn on_wake(&mut self, _: Timestamp, out: &mut Outbox<'_>) {
        self.pending = false;
        (self.act)(out);
    }
    fn wake_at(&self) -> Option<Timestamp> {
        self.pending.then_some(ms(1))
    }
}

#[test]
fn an_endpoint_learns_what_did_not_leave_whether_it_is_connected_or_not() {
    let too_big = PathError::too_big(Some(Plpmtu::new(72)));
    for connected in [true, false] {
        let (net, client) = narrow();
        let errors = Errors::default();
        let act = |out: &mut Outbox<'_>| {
            out.send(SERVER, &[1; 73]);
            out.send(SERVER, &[2; 72]);
            out.send(at("10.9.9.9:1"), &[3]);
            out.send_after(Duration::from_millis(5), SERVER, &[4; 74]);
            assert_eq!(out.try_send(SERVER, &[5; 75]), Err(PathError::too_big(Some(Plpmtu::new(72)))));
            assert_eq!(out.try_send(SERVER, &[6; 70]), Ok(()));
        };
        let once = Once { pending: true, act, errors: errors.clone() };
        if connected {
            net.serve_connected(client, SERVER, once).unwrap();
        } else {
            net.serve_endpoint(at("10.0.0.1:9"), once).unwrap();
        }
        net.run_until(ms(50));
        assert_eq!(*errors.borrow(), [(ms(1), too_big), (ms(1), PathError::Unreachable), (ms(6), too_big)]);
        // Two of its own, and two answers.
        assert_eq!((net.stats().sent, net.stats().unsent), (4, 4), "connected: {connected}");
        balanced_but_unsent(&net);
    }
}

#[test]
fn an_endpoint_learns_that_its_host_has_no_port_left() {
    let (net, client) = narrow();
    let errors = Errors::default();
    let act = |out: &mut Outbox<'_>| {
        assert_eq!(out.try_renew(), Err(PathError::Other(98)));
        out.renew();
    };
    net.serve_connected(client, SERVER, Once { pending: true, act, errors: errors.clone() }).unwrap();
    let taken: Vec<SimTransport> = (1..16_384).map(|_| net.connect(client, SERVER).unwrap()).collect();
    net.run_until(ms(5));
    assert_eq!(*errors.borrow(), [(ms(1), PathError::Other(98))]);
    drop(taken);
}

#[test]
fn an_endpoint_that_sends_again_when_a_send_failed_learns_so_again_at_the_same_moment() {
    struct Stubborn(Rc<Cell<u32>>);
    impl Endpoint for Stubborn {
        fn on_datagram(&mut self, _: Timestamp, _: SocketAddr, _: &[u8], out: &mut Outbox<'_>) {
            out.send(at("10.9.9.9:1"), b"again");
        }
        fn on_path_error(&mut self, now: Timestamp, _: PathError, out: &mut Outbox<'_>) {
            assert_eq!(now, ms(0));
            self.0.set(self.0.get() + 1);
            if self.0.get() < 1_000 {
                self.on_datagram(now, SERVER, b"", out);
            }
        }
    }
    let (net, client) = narrow();
    let tried = Rc::new(Cell::new(0));
    net.stop(SERVER);
    net.serve_endpoint(SERVER, Stubborn(tried.clone())).unwrap();
    net.connect(client, SERVER).unwrap().send(PathIndex::FIRST, b"x").unwrap();
    net.run_until(ms(1));
    assert_eq!((tried.get(), net.stats().unsent), (1_000, 1_000));
}

#[test]
fn an_endpoint_that_panicked_is_gone_and_the_books_say_so() {
    let net = recording(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 1ms"))).unwrap();
    net.serve(SERVER, |_, from, datagram, out| {
        out.send_after(Duration::from_millis(20), from, datagram);
        assert_ne!(datagram, b"die");
    })
    .unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    transport.send(PathIndex::FIRST, b"worked on").unwrap();
    transport.send(PathIndex::FIRST, b"die").unwrap();
    let died = catch_unwind(AssertUnwindSafe(|| net.run_until(ms(10))));
    assert!(died.is_err(), "the panic is the caller's to see");
    assert_eq!((net.stats().arrived, net.stats().panicked), (2, 1));
    balanced_but_unsent(&net);

    for n in 0..5 {
        transport.send(PathIndex::FIRST, b"in vain").unwrap();
        assert_eq!(hear(&mut transport, ms(30 + 10 * n)), None, "no answer, not even the one that was worked on");
    }
    let stats = net.stats();
    assert_eq!((stats.arrived, stats.lost_on_arrival, stats.unsent, stats.panicked), (2, 5, 2, 1));
    let lost = net.events().into_iter().filter(|it| it.what == Happened::Panicked);
    let lost: Vec<String> = lost.map(|event| event.to_string()).collect();
    assert!(lost.len() == 5 && lost[0].ends_with("lost, as the endpoint there has panicked"), "{lost:?}");
    balanced_but_unsent(&net);

    // Its address is in use until it is stopped, and then another may serve there.
    assert_eq!(net.serve(SERVER, echo()), Err(SimError::InUse(SERVER)));
    assert!(net.stop(SERVER));
    net.serve(SERVER, echo()).unwrap();
    transport.send(PathIndex::FIRST, b"again").unwrap();
    assert!(hear(&mut transport, ms(100)).is_some());
    assert_eq!(net.stats().panicked, 1, "and it stays on record");
}

#[test]
fn an_endpoint_that_panics_when_it_is_woken_or_has_an_error_is_never_called_again() {
    struct Fragile(Rc<Cell<u32>>);
    impl Endpoint for Fragile {
        fn on_datagram(&mut self, _: Timestamp, _: SocketAddr, _: &[u8], _: &mut Outbox<'_>) {}
        fn on_path_error(&mut self, _: Timestamp, _: PathError, _: &mut Outbox<'_>) {
            self.0.set(self.0.get() + 1);
            panic!("an error");
        }
        fn on_wake(&mut self, now: Timestamp, out: &mut Outbox<'_>) {
            self.0.set(self.0.get() + 1);
            out.send(SERVER, b"refused");
            out.send(SERVER, b"refused too");
            assert_ne!(now, ms(9), "woken");
        }
        fn wake_at(&self) -> Option<Timestamp> {
            (self.0.get() == 0).then_some(ms(3))
        }
    }
    let net = recording(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 1ms"))).unwrap();
    let calls = Rc::new(Cell::new(0));
    net.serve_connected(client, SERVER, Fragile(calls.clone())).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| net.run_until(ms(50)))).is_err());
    net.run_until(ms(100));
    assert_eq!((calls.get(), net.stats().panicked, net.next_due()), (2, 1, None));
    assert_eq!(net.events().last().map(|event| event.what), Some(Happened::RefusalLost));
    balanced(&net);
}

#[test]
fn a_sink_keeps_its_books_when_its_observer_panics() {
    for both_ways in ["none", "delay 1ms", "duplicate 100%", "headers 28; mtu 28 error"] {
        let net = SimNet::new(Seed::new(1));
        let (client, _) = two(&net);
        net.serve(SERVER, echo()).unwrap();
        let mut seen = 0;
        let both_ways: Impairments = both_ways.parse().unwrap();
        let inner = net.connect(client, SERVER).unwrap();
        let mut sink = LossySink::new(inner, both_ways.clone(), Seed::new(1)).observed(move |_, _| {
            seen += 1;
            assert!(seen % 3 != 2);
        });
        let mut panics = 0;
        for n in 0..9 {
            let used = AssertUnwindSafe(|| {
                let _ = sink.send(PathIndex::FIRST, b"x");
                let now = sink.now();
                let _ = sink.recv(&mut [0; 9], now, ms(10 * n));
            });
            panics += u32::from(catch_unwind(used).is_err());
        }
        assert!(panics >= 3, "{both_ways}: {panics}");
        for direction in [Direction::ToServer, Direction::ToClient] {
            let it = sink.stats(direction);
            let left = it.passed + it.in_flight + it.discarded + it.failed;
            assert_eq!(it.fates.delivered, left, "{both_ways}, {direction:?}: {it:?}");
        }
    }
}
