//! What a failure shows: which request or reply each fault met, and what happened then.

use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::sim::{Choice, SimNet, echo, exhaust, explore};
use udp_retry::{ReliableRequester, RetryPolicy, transaction_id};

use super::found;
use super::panics::{alone_with, texts};
use super::scenarios::needs_no_retransmission;
use crate::watchdog::{MINUTE, within};

/// The whole of it, once.
#[test]
fn a_failure_is_told_from_its_seed_to_a_test_that_repeats_it() {
    let scenario = |net: &SimNet| {
        let (client, server) = two(net);
        net.path(client, server, Profile { to_server: "loss pattern 01".parse().unwrap(), ..delayed() }).unwrap();
        requests(net, client, 2)
    };
    let told = explore(7..8, scenario).unwrap_err().to_string();
    let expected = r#"seed 7: request 1 took 2 transmissions
  repeat with UDP_RETRY_SEED=7
  these faults are enough:
    path 0, to_server: "drop 2".parse::<Script>()?
      2 is a request of 12 bytes [01 61 62 63 64 65 66 67 ..], 10.0.0.1:49152 -> 10.0.0.2:1060, sent at 15.000 ms
  with these faults alone, this happens:
           0.000 ms  10.0.0.1:49152 -> 10.0.0.2:1060, 12 bytes [00 61 62 63 64 65 66 67 ..]: sent as number 1, arrives at 0.000 ms
           0.000 ms  10.0.0.1:49152 -> 10.0.0.2:1060, 12 bytes [00 61 62 63 64 65 66 67 ..]: arrived
           0.000 ms  10.0.0.2:1060 -> 10.0.0.1:49152, 12 bytes [00 61 62 63 64 65 66 67 ..]: sent as number 1, arrives at 15.000 ms
          15.000 ms  10.0.0.2:1060 -> 10.0.0.1:49152, 12 bytes [00 61 62 63 64 65 66 67 ..]: arrived
          15.000 ms  10.0.0.1:49152 -> 10.0.0.2:1060, 12 bytes [01 61 62 63 64 65 66 67 ..]: sent as number 2, dropped (script)
         115.000 ms  10.0.0.1:49152 -> 10.0.0.2:1060, 12 bytes [01 61 62 63 64 65 66 67 ..]: sent as number 3, arrives at 115.000 ms
         115.000 ms  10.0.0.1:49152 -> 10.0.0.2:1060, 12 bytes [01 61 62 63 64 65 66 67 ..]: arrived
         115.000 ms  10.0.0.2:1060 -> 10.0.0.1:49152, 12 bytes [01 61 62 63 64 65 66 67 ..]: sent as number 2, arrives at 130.000 ms
         130.000 ms  10.0.0.2:1060 -> 10.0.0.1:49152, 12 bytes [01 61 62 63 64 65 66 67 ..]: arrived
  as a test, to be pasted beside the scenario:

#[test]
fn scenario_with_the_faults_of_seed_7() {
    // request 1 took 2 transmissions
    let paths = [
        // Requests go from 10.0.0.1 to 10.0.0.2.
        (0, "script { drop 2 }", "delay 15ms"),
    ];
    // The scenario is a closure; make it a function of this name.
    udp_retry::sim::replay(7, &paths, scenario)
        .unwrap_or_else(|failure| panic!("{failure}"));
}
"#;
    assert_eq!(told, expected, "{told}");
    // As `unwrap` shows it.
    assert_eq!(format!("{:?}", explore(7..8, scenario).unwrap_err()), expected);
}

#[test]
fn a_reply_and_a_refusal_are_called_so() {
    // Only replies are lost.
    let reply = found(|net| {
        let (client, server) = two(net);
        net.path(client, server, Profile { to_client: "loss 30%".parse().unwrap(), ..Profile::default() }).unwrap();
        requests(net, client, 3)
    });
    let told = reply.to_string();
    assert!(told.contains("path 0, to_client: \"drop ") && told.contains(" is a reply of 12 bytes ["), "{told}");
    assert!(told.contains("10.0.0.2:1060 -> 10.0.0.1:49152, sent at "), "{told}");

    let refusal = found(|net| {
        let client = net.host("10.0.0.1".parse().unwrap()).unwrap();
        let server = net.host("10.0.0.2".parse().unwrap()).unwrap();
        net.path(client, server, Profile { to_client: "loss 30%".parse().unwrap(), ..Profile::default() }).unwrap();
        let transport = net.connect(client, "10.0.0.2:1060".parse().unwrap()).unwrap();
        let builder = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN);
        let mut requester = builder.over(transport).unwrap();
        let error = requester.request(b"refused?").unwrap_err();
        // Each transmission is refused, unless that gets lost.
        let refused = error.timeline().events().filter(|(_, event)| format!("{event:?}").contains("Refused")).count();
        if refused < 5 { Err(format!("{refused} refusals")) } else { Ok(()) }
    });
    let told = refusal.to_string();
    assert!(told.contains(" is a refusal of 36 bytes"), "{told}");
}

/// A datagram of a path among several is found by the addresses of its hosts.
#[test]
fn the_hosts_of_a_fault_are_named_where_there_are_many_paths() {
    let failure = found(|net| {
        let server = net.host("10.0.1.1".parse().unwrap()).unwrap();
        net.serve("10.0.1.1:1060".parse().unwrap(), echo()).unwrap();
        for n in 1..=8 {
            let client = net.host(format!("10.0.0.{n}").parse().unwrap()).unwrap();
            let path = if n == 7 { "loss 50%; delay 3ms" } else { "delay 2ms" };
            net.path(client, server, Profile::both(path.parse().unwrap())).unwrap();
            let transport = net.connect(client, "10.0.1.1:1060".parse().unwrap()).unwrap();
            let builder = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN);
            let mut requester = builder.over(transport).unwrap();
            if requester.request(b"whose?").map_or(0, |reply| reply.transmissions()) != 1 {
                return Err("not at once");
            }
        }
        Ok(())
    });
    let told = failure.to_string();
    assert!(told.contains("    path 6, to_") && told.contains("10.0.0.7:49152"), "{told}");
    // Of many paths the test has those that have a fault.
    let test = failure.as_test().unwrap();
    assert!(
        test.contains("// Requests go from 10.0.0.7 to 10.0.1.1.\n        (6, ") && !test.contains("10.0.0.6"),
        "{test}"
    );
}

/// A reader learns that the partition proves nothing, whatever else fails.
#[test]
fn what_the_scenario_asked_for_in_vain_is_shown() {
    let scenario = |net: &SimNet| {
        let (client, server) = two(net);
        net.path(client, server, Profile::both("loss 30%; outage from 1h for 1s".parse().unwrap())).unwrap();
        let other = net.host("10.0.0.8".parse().unwrap()).unwrap();
        net.partition(client, other).unwrap();
        requests(net, client, 3)
    };
    let told = found(scenario).to_string();
    assert!(told.contains("asked for, the partition 10.0.0.1 <-> 10.0.0.8 since 0 ms met no datagram\n"), "{told}");
    assert!(told.contains("asked for, the outage 10.0.0.1 -> 10.0.0.2 from 3600s for 1s met no datagram\n"), "{told}");
}

#[test]
fn a_small_world_is_repeated_by_its_choices() {
    within(MINUTE, || {
        let scenario = |net: &SimNet| {
            let (client, server) = two(net);
            net.path(client, server, delayed()).unwrap();
            requests(net, client, 3)
        };
        let choices = [Choice::Deliver, Choice::Late { by: Duration::from_millis(50) }, Choice::Drop];
        let runs = std::cell::Cell::new(0);
        let counted = |net: &SimNet| {
            runs.set(runs.get() + 1);
            scenario(net)
        };
        let test = "a_small_world_is_repeated_by_its_choices";
        let body = || {
            let failure = exhaust(6, &choices, scenario).unwrap_err();
            println!("\n{failure}");
            assert_eq!(exhaust(6, &choices, |_: &SimNet| Ok::<_, String>(())), Ok(1));
        };
        let failure = exhaust(6, &choices, counted).unwrap_err();
        let told = failure.to_string();
        assert!(!told.contains("UDP_RETRY_SEED"), "{told}");
        let repeat = told.split("repeat with UDP_RETRY_CHOICES=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(repeat, "drop", "the first of all worlds that fails");
        let Some(output) = alone_with("story", test, &[("UDP_RETRY_CHOICES", repeat)], body) else { return };
        let (stdout, stderr) = texts(&output);
        assert!(output.status.success() && stdout.contains(&told), "{stdout}{stderr}");
    });
}

/// It has no more to say than the panic, the place and the faults.
#[test]
fn a_scenario_without_a_network_says_so_little() {
    let told = explore(3..4, |_: &SimNet| Err::<(), _>("always\nthe same\n")).unwrap_err().to_string();
    let start =
        "seed 3: always\n    the same\n  repeat with UDP_RETRY_SEED=3\n  these faults are enough:\n    none at all\n";
    assert!(told.starts_with(start), "{told}");
    assert!(told.contains("let paths = [];\n"), "{told}");
}

#[test]
fn the_scenario_is_named_if_it_has_a_name() {
    let test = |failure: udp_retry::sim::Counterexample| failure.as_test().unwrap();
    let named = test(found(needs_no_retransmission));
    let path = "crate::failures::scenarios::needs_no_retransmission";
    assert!(named.contains(&format!(", &paths, {path})\n")) && !named.contains("closure"), "{named}");
    assert!(named.contains("fn needs_no_retransmission_with_the_faults_of_seed_"), "{named}");
    // By reference it is the same function.
    let reference = &needs_no_retransmission;
    assert_eq!(test(found(reference)), named);
    let pointer: fn(&SimNet) -> Result<(), Box<dyn std::error::Error>> = needs_no_retransmission;
    for unnamed in [test(found(pointer)), test(found(|net: &SimNet| needs_no_retransmission(net)))] {
        assert!(unnamed.contains("&paths, scenario)\n") && unnamed.contains("is a closure"), "{unnamed}");
    }
}

fn two(net: &SimNet) -> (udp_retry::sim::HostId, udp_retry::sim::HostId) {
    let host = |address: &str| net.host(address.parse().unwrap()).unwrap();
    net.host("10.0.0.9".parse().unwrap()).unwrap();
    let hosts = (host("10.0.0.1"), host("10.0.0.2"));
    net.serve("10.0.0.2:1060".parse().unwrap(), echo()).unwrap();
    hosts
}

fn delayed() -> Profile {
    Profile { to_client: "delay 15ms".parse().unwrap(), ..Profile::default() }
}

/// Fails if one of so many requests has to be sent again.
fn requests(net: &SimNet, client: udp_retry::sim::HostId, many: u8) -> Result<(), String> {
    let transport = net.connect(client, "10.0.0.2:1060".parse().unwrap()).unwrap();
    let builder = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN);
    let mut requester = builder.over(transport).unwrap();
    for id in 0..many {
        let mut request = *b"\0abcdefghijk";
        request[0] = id;
        let transmissions = match requester.request(&request) {
            Ok(reply) => reply.transmissions(),
            Err(error) => error.transmissions(),
        };
        if transmissions > 1 {
            return Err(format!("request {id} took {transmissions} transmissions"));
        }
    }
    Ok(())
}
