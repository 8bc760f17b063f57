//! A scenario without end is stopped, and reported with its seed; a network by itself goes quiet.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::sim::{
    Choice, Counterexample, Endpoint, Limits, Outbox, SimNet, Stopped, echo, exhaust, explore, replay,
};
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, PathError, PathIndex, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, transaction_id};

use crate::watchdog::{MINUTE, within};

#[test]
fn two_servers_that_answer_each_other_at_once_are_stopped_with_the_seed() {
    within(5 * MINUTE, || {
        let failure = failure(|net| {
            echoes(net, "none");
            net.run_until(at(1_000));
        });
        assert_eq!(failure.error, "the network was stopped: time does not get past 0.000 ms, in 1000000 steps");
        let told = failure.to_string();
        assert!(told.starts_with("seed 5: the network was stopped") && told.contains("UDP_RETRY_SEED=5"), "{told}");
        // The log says who.
        assert!(told.contains("10.0.0.2:7 -> 10.0.0.1:7") && told.contains("events more"), "{told}");
    });
}

#[test]
fn two_servers_that_answer_each_other_after_a_while_are_stopped_with_the_seed() {
    within(MINUTE, || {
        let failure = failure(|net| {
            net.limit(Limits::EXPLORED.with_steps(10_000));
            echoes(net, "delay 10ms");
            net.run_to_the_end(Timestamp::MAX);
        });
        assert_eq!(
            failure.error, "the network was stopped: 10000 steps were not enough, time got to 100000.000 ms",
            "a step each 10 ms"
        );
    });
}

#[test]
fn an_endpoint_that_wants_to_be_woken_in_the_past_is_stopped_with_the_seed() {
    within(MINUTE, || {
        let failure = failure(|net| {
            net.limit(FEW);
            net.host("10.0.0.1".parse().unwrap()).unwrap();
            net.serve_endpoint("10.0.0.1:7".parse().unwrap(), Restless).unwrap();
            net.run_until(at(1_000));
        });
        assert!(failure.error.contains("time does not get past 5.000 ms"), "{failure}");
    });
}

#[test]
fn an_endless_heartbeat_is_stopped_with_the_seed() {
    within(MINUTE, || {
        let failure = failure(|net| {
            net.limit(Limits::EXPLORED.with_steps(100_000));
            heartbeat(net);
            net.run_to_the_end(Timestamp::MAX);
        });
        assert!(failure.error.contains("100000 steps were not enough"), "{failure}");
    });
}

#[test]
fn a_time_that_is_allowed_is_a_limit_too() {
    let failure = failure(|net| {
        net.limit(Limits::EXPLORED.with_time(Duration::from_secs(3600)));
        heartbeat(net);
        net.run_to_the_end(Timestamp::MAX);
    });
    assert_eq!(failure.error, "the network was stopped: its time ends at 3600000.000 ms");
    // What lies within it is not stopped.
    let runs = explore(5..6, |net| {
        net.limit(Limits::EXPLORED.with_time(Duration::from_secs(3600)));
        heartbeat(net);
        net.run_until(at(3_600_000));
        net.stopped().map_or(Ok(()), Err)
    });
    assert_eq!(runs, Ok(1));
}

#[test]
fn steps_at_one_instant_are_counted_anew_at_each() {
    let beats = |many| {
        let net = SimNet::new(Seed::new(1));
        net.limit(Limits::default().with_steps_at_one_instant(many));
        heartbeat(&net);
        net.run_until(at(1_000_000));
        net.stopped()
    };
    assert_eq!(beats(3), None);
    assert_eq!(beats(0), Some(Stopped::AtOneInstant { at: Timestamp::ZERO, limit: 0 }));
}

/// No event happens there at all: only the scenario asks, again and again.
#[test]
fn a_loop_of_the_scenarios_own_is_left_once_its_network_is_stopped() {
    within(MINUTE, || {
        let waits = failure(|net| {
            net.limit(FEW);
            let (client, _) = two(net, "none");
            let mut transport = net.connect(client, "10.0.0.2:9".parse().unwrap()).unwrap();
            loop {
                transport.recv(&mut [0; 9], Timestamp::ZERO, Timestamp::ZERO);
            }
        });
        assert!(waits.error.contains("time does not get past 0.000 ms"), "{waits}");
        let asks = failure(|net| {
            net.limit(FEW);
            loop {
                net.run_until(Timestamp::ZERO);
            }
        });
        assert!(asks.error.contains("time does not get past 0.000 ms"), "{asks}");
        let requests = failure(|net| {
            net.limit(Limits::EXPLORED.with_steps(10_000));
            let (client, _) = two(net, "loss 100%");
            let transport = net.connect(client, "10.0.0.2:9".parse().unwrap()).unwrap();
            let builder = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN);
            let mut requester = builder.over(transport).unwrap();
            while requester.request(&[1]).is_err() {}
        });
        assert!(requests.error.contains("10000 steps were not enough"), "{requests}");
    });
}

#[test]
fn small_worlds_and_replays_are_stopped_too() {
    within(MINUTE, || {
        let scenario = |net: &SimNet| {
            net.limit(FEW);
            echoes(net, "none");
            net.run_until(at(1_000));
            Ok::<_, String>(())
        };
        // The first datagram is lost in every other world.
        let failure = exhaust(1, &[Choice::Drop, Choice::Deliver], scenario).unwrap_err();
        assert!(
            failure.error.contains("time does not get past") && failure.to_string().contains("CHOICES=\"deliver\"")
        );
        let failure = replay(5, &[(0, "none", "none")], scenario).unwrap_err();
        assert!(failure.error.contains("time does not get past"), "{failure}");
    });
}

#[test]
fn what_a_scenario_makes_of_a_stopped_network_does_not_count() {
    // It catches what leaves it, and says that all is well.
    let failure = failure(|net| {
        net.limit(Limits::EXPLORED.with_steps_at_one_instant(100));
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            echoes(net, "none");
            net.run_until(at(1_000));
        }));
    });
    assert!(failure.error.contains("in 100 steps"), "{failure}");
}

#[test]
fn a_network_by_itself_goes_quiet_and_says_why() {
    let net = SimNet::new(Seed::new(1));
    net.limit(Limits::default().with_steps_at_one_instant(1_000));
    let acted = Rc::new(Cell::new(false));
    let note = acted.clone();
    net.at(Duration::from_millis(500), move |_| note.set(true));
    let (client, _) = echoes(&net, "none");
    let mut transport = net.connect(client, "10.0.0.2:7".parse().unwrap()).unwrap();
    assert_eq!(net.stopped(), None);

    net.run_until(at(1_000));
    assert_eq!(net.stopped(), Some(Stopped::AtOneInstant { at: Timestamp::ZERO, limit: 1_000 }));
    assert_eq!((net.now(), acted.get()), (at(1_000), false), "time passes, and nothing happens");

    assert_eq!(transport.send(PathIndex::FIRST, b"too late"), Err(PathError::Unreachable));
    assert_eq!(transport.recv(&mut [0; 9], net.now(), at(1_500)), Incoming::TimeUp(at(1_500)));
    net.run_to_the_end(Timestamp::MAX);
    assert_eq!(net.now(), at(1_500));
    // A requester ends as its policy says.
    let mut requester =
        ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN).over(transport).unwrap();
    assert!(requester.request(&[1]).is_err());
}

#[test]
fn the_limits_of_a_network_by_itself_are_wide() {
    within(MINUTE, || {
        let all = Limits::default();
        assert_eq!((all.steps_at_one_instant(), all.steps()), (10_000_000, 1_000_000_000));
        assert_eq!(all.time(), Duration::from_nanos(u64::MAX));
        // 547 years, a request every ten days.
        let net = SimNet::new(Seed::new(1));
        let (client, _) = two(&net, "delay 10ms");
        net.serve("10.0.0.2:7".parse().unwrap(), echo()).unwrap();
        let transport = net.connect(client, "10.0.0.2:7".parse().unwrap()).unwrap();
        let builder = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN);
        let mut requester = builder.over(transport).unwrap();
        for day in (0..200_000_u32).step_by(10) {
            net.run_until(Timestamp::ZERO.after(Duration::from_secs(86_400 * u64::from(day))));
            assert!(requester.request(&day.to_be_bytes()).is_ok(), "day {day}");
        }
        assert_eq!(net.stopped(), None);
    });
}

/// Where the default would only take longer.
const FEW: Limits = Limits::EXPLORED.with_steps_at_one_instant(10_000);

/// What is reported of a scenario that ends only because its network is stopped.
#[track_caller]
fn failure(scenario: impl Fn(&SimNet)) -> Counterexample {
    let scenario = |net: &SimNet| {
        scenario(net);
        Ok::<_, String>(())
    };
    explore(5..1_000, scenario).unwrap_err()
}

/// Two servers that send everything back, and a datagram that one seems to have sent to the other.
fn echoes(net: &SimNet, both_ways: &str) -> (udp_retry::sim::HostId, udp_retry::sim::HostId) {
    let hosts = two(net, both_ways);
    net.serve("10.0.0.2:7".parse().unwrap(), echo()).unwrap();
    net.serve_endpoint("10.0.0.1:7".parse().unwrap(), Starts(false, "10.0.0.2:7".parse().unwrap())).unwrap();
    hosts
}

fn two(net: &SimNet, both_ways: &str) -> (udp_retry::sim::HostId, udp_retry::sim::HostId) {
    let host = |address: &str| net.host(address.parse().unwrap()).unwrap();
    let hosts = (host("10.0.0.1"), host("10.0.0.2"));
    net.path(hosts.0, hosts.1, Profile::both(both_ways.parse().unwrap())).unwrap();
    hosts
}

/// Sends once of itself, then everything back.
struct Starts(bool, SocketAddr);

impl Endpoint for Starts {
    fn on_datagram(&mut self, _: Timestamp, from: SocketAddr, datagram: &[u8], out: &mut Outbox<'_>) {
        out.send(from, datagram);
    }

    fn on_wake(&mut self, _: Timestamp, out: &mut Outbox<'_>) {
        self.0 = true;
        out.send(self.1, b"ping");
    }

    fn wake_at(&self) -> Option<Timestamp> {
        (!self.0).then_some(Timestamp::ZERO)
    }
}

/// Never changes its mind about when to be woken.
struct Restless;

impl Endpoint for Restless {
    fn on_datagram(&mut self, _: Timestamp, _: SocketAddr, _: &[u8], _: &mut Outbox<'_>) {}

    fn wake_at(&self) -> Option<Timestamp> {
        Some(at(5))
    }
}

fn heartbeat(net: &SimNet) {
    fn beat(net: &SimNet, time: Duration) {
        net.at(time, move |net| beat(net, time + Duration::from_secs(1)));
    }
    beat(net, Duration::ZERO);
}

fn at(ms: u64) -> Timestamp {
    Timestamp::ZERO.after(Duration::from_millis(ms))
}
