//! A scenario whose runs differ is called so, wherever that comes to light.

use std::cell::Cell;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::policy::{Backoff, Jitter};
use udp_retry::sim::{Choice, SimNet, echo, exhaust, explore};
use udp_retry::transport::{PathIndex, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, transaction_id};

use super::found;

#[test]
fn a_run_that_does_not_fail_again_is_called_not_deterministic() {
    for which in [1, 4, 50] {
        let runs = Cell::new(0);
        let scenario = |_: &SimNet| {
            runs.set(runs.get() + 1);
            if runs.get() == which { Err("flaky") } else { Ok(()) }
        };
        let failure = explore(0..100, scenario).unwrap_err();
        let told = failure.to_string();
        assert!(told.contains("the same seed did not fail again: the scenario is not deterministic"), "{told}");
        assert!(told.starts_with(&format!("seed {}: flaky\n", which - 1)), "{told}");
        assert_eq!((failure.faults.as_deref(), failure.as_test()), (None, None), "{told}");

        runs.set(0);
        let told = exhaust(6, &[Choice::Deliver, Choice::Drop], scenario).unwrap_err().to_string();
        assert!(told.contains("did not fail again: the scenario is not deterministic"), "{told}");
    }
}

#[test]
fn the_first_event_in_which_two_runs_differ_is_shown() {
    // Each run asks another server, and the first of all fails.
    let runs = Cell::new(0_u8);
    let scenario = |net: &SimNet| {
        let other = if runs.get() % 2 == 0 { "10.0.0.3:7" } else { "10.0.0.4:7" };
        asks(net, &[(b"always this", "10.0.0.3:7"), (b"now that", other)]);
        runs.set(runs.get() + 1);
        if runs.get() == 1 { Err("the first run") } else { Ok(()) }
    };
    let told = explore(0..9, scenario).unwrap_err().to_string();
    // A request and its reply, each sent and arrived, come before.
    assert!(told.contains("two runs differ at event 4:"), "{told}");
    assert!(
        told.contains("10.0.0.3:7, 8 bytes [6e 6f 77 20 74 68 61 74]") && told.contains("10.0.0.4:7, 8 bytes"),
        "{told}"
    );
}

#[test]
fn a_run_that_fails_again_in_another_manner_is_called_so_and_shrunk_all_the_same() {
    let runs = Cell::new(0_u8);
    let scenario = |net: &SimNet| {
        runs.set(runs.get().wrapping_add(1));
        asks(net, &[(&[runs.get()], "10.0.0.3:7")]);
        Err::<(), _>("always")
    };
    let failure = explore(0..9, scenario).unwrap_err();
    let told = failure.to_string();
    assert!(
        told.contains("the same seed failed again, but in another run: the scenario is not deterministic"),
        "{told}"
    );
    assert!(told.contains("two runs differ at event 0:"), "{told}");
    assert_eq!(failure.faults.as_deref(), Some(&[][..]), "{told}");
}

/// Without a seed of its own, its jitter follows from the network's: the waits that make it fail come again.
#[test]
fn a_requester_with_jitter_and_without_a_seed_fails_again_with_the_same_faults() {
    let jittered = Backoff::exponential(Duration::from_millis(100), Duration::from_secs(3)).unwrap();
    let policy = RetryPolicy::new(jittered.with_jitter(Jitter::between(1.0, 3.0).unwrap()).unwrap());
    let policy = policy.with_max_transmissions(5).unwrap();
    let scenario = |net: &SimNet| {
        let (client, server) = (host(net, "10.0.0.1"), host(net, "10.0.0.2"));
        net.path(client, server, Profile::both("loss 30%; delay 20ms ~5ms".parse().unwrap())).unwrap();
        net.serve("10.0.0.2:7".parse().unwrap(), echo()).unwrap();
        let transport = net.connect(client, "10.0.0.2:7".parse().unwrap()).unwrap();
        let mut requester = ReliableRequester::builder(transaction_id(0..1)).policy(policy).over(transport).unwrap();
        for id in 0..3 {
            // The wait that a jitter of 1 to 3 makes of 100 ms has to be one of the long ones.
            let Ok(reply) = requester.request(&[id, 0]) else { continue };
            if reply.elapsed() > Duration::from_millis(330) && reply.transmissions() == 2 {
                return Err(format!("{:?}", reply.elapsed()));
            }
        }
        Ok(())
    };
    let failure = found(scenario);
    let told = failure.to_string();
    assert!(!told.contains("deterministic") && failure.faults.is_some(), "{told}");
    let again = explore(failure.seed.number()..failure.seed.number() + 1, scenario).unwrap_err();
    assert_eq!((again.error, again.faults), (failure.error, failure.faults));
}

/// A client's request to each of these, one after the other.
fn asks(net: &SimNet, requests: &[(&[u8], &str)]) {
    let client = host(net, "10.0.0.1");
    for server in ["10.0.0.3", "10.0.0.4"] {
        host(net, server);
        net.serve(format!("{server}:7").parse().unwrap(), echo()).unwrap();
    }
    for (datagram, server) in requests {
        let mut transport = net.connect(client, server.parse().unwrap()).unwrap();
        transport.send(PathIndex::FIRST, datagram).unwrap();
        net.run_until(net.now().after(Duration::from_millis(1)));
    }
}

fn host(net: &SimNet, address: &str) -> udp_retry::sim::HostId {
    net.host(address.parse().unwrap()).unwrap()
}
