//! Exploring finds what fails, says how to repeat it, and boils it down to what matters; exhausting leaves nothing out.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::Seed;
use udp_retry::fault::{Direction, Profile, Rule};
use udp_retry::sim::{Choice, Fault, Outbox, SimNet, exhaust, explore};
use udp_retry::time::Timestamp;
use udp_retry::transport::{PathIndex, Transport};

use crate::watchdog::{MINUTE, within};

#[test]
fn a_scenario_that_holds_is_run_for_every_seed() {
    let hashes = RefCell::new(BTreeSet::new());
    let runs = explore(10..60, |net| {
        arrivals(net, "loss 50%; delay 5ms ~5ms", 20);
        hashes.borrow_mut().insert(net.trace_hash());
        Ok::<_, String>(())
    });
    assert_eq!(runs, Ok(50));
    assert_eq!(hashes.borrow().len(), 50);
    // What runs nothing proves nothing.
    let nothing = explore(5..5, |_| Ok::<_, String>(())).unwrap_err();
    assert_eq!((nothing.to_string().as_str(), nothing.faults), ("5..5: no seed to run", None));
}

#[test]
fn a_failure_is_boiled_down_to_the_faults_that_matter() {
    // It takes both: the third datagram lost, and the seventh more than 4 ms late.
    let scenario = |net: &SimNet| {
        let arrived = arrivals(net, "loss 30%; duplicate 20%; corrupt 10%; delay 25ms ~5ms unordered", 12);
        let third = arrived.iter().any(|(n, _)| *n == 3);
        let seventh = arrived.iter().find(|(n, _)| *n == 7);
        let late = seventh.is_some_and(|(_, at)| at.since(ms(70)) > Duration::from_millis(24));
        if !third && late { Err("both") } else { Ok(()) }
    };
    let failure = explore(0..1000, scenario).unwrap_err();
    let faults = failure.faults.clone().unwrap();
    let [first, second] = faults[..] else { panic!("{faults:?}") };
    assert_eq!((first.path, first.direction, first.n, first.rule), (0, Direction::ToServer, 3, Rule::Drop));
    assert_eq!((second.path, second.direction, second.n), (0, Direction::ToServer, 7));
    assert!(matches!(second.rule, Rule::Delay { by } if by > Duration::from_millis(4)), "{second}");
    assert_eq!((failure.error.as_str(), failure.shrunk_error.as_deref()), ("both", Some("both")));

    let told = failure.to_string();
    let script =
        format!("\"drop 3; delay 7 by {}\".parse::<Script>()?", second.to_string().rsplit_once(' ').unwrap().1);
    assert!(told.starts_with(&format!("seed {}: both\n", failure.seed)), "{told}");
    assert!(told.contains(&format!("UDP_RETRY_SEED={}", failure.seed)) && told.contains(&script), "{told}");
    // The seed that is told fails by itself, and those before it do not.
    let seed = failure.seed.number();
    assert!(scenario(&SimNet::new(failure.seed)).is_err());
    assert_eq!(explore(0..seed, scenario), Ok(seed));
}

#[test]
fn every_kind_of_fault_is_kept_as_it_was() {
    // A copy that comes late, cut and with flipped bits: found by its content.
    let scenario = |net: &SimNet| {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let server = serve(net, "duplicate 50% late 5ms; truncate 30%; corrupt 30% bits 2", heard.clone());
        let mut client = net.connect(server, SERVER).unwrap();
        client.send(PathIndex::FIRST, &[0; 40]).unwrap();
        net.run_until(ms(100));
        let heard = heard.borrow();
        let second = heard.get(1).filter(|(_, datagram)| {
            datagram.len() < 40 && datagram.iter().map(|byte| byte.count_ones()).sum::<u32>() == 2
        });
        second.map_or(Ok(()), |_| Err("a damaged copy"))
    };
    let faults = explore(0..1000, scenario).unwrap_err().faults.unwrap();
    let rules: Vec<Rule> = faults.iter().map(|fault| fault.rule).collect();
    assert!(
        matches!(
            rules[..],
            [
                Rule::Duplicate { .. },
                Rule::Truncate { copy: 1, .. },
                Rule::Corrupt { copy: 1, .. },
                Rule::Corrupt { .. }
            ]
        ),
        "{faults:?}"
    );
}

#[test]
fn what_fails_without_any_fault_and_what_faults_do_not_explain_are_told_apart() {
    let always = explore(3..9, |_| Err::<(), _>("always")).unwrap_err();
    assert_eq!((always.seed, always.faults.as_deref()), (Seed::new(3), Some(&[][..])));
    assert!(always.to_string().contains("none at all"), "{always}");

    let runs = Cell::new(0);
    let once = explore(3..9, |_| {
        runs.set(runs.get() + 1);
        if runs.get() == 4 { Err("once") } else { Ok(()) }
    });
    let once = once.unwrap_err();
    assert_eq!((once.seed, once.faults.clone()), (Seed::new(6), None));
    assert!(once.to_string().contains("do not repeat it"), "{once}");
}

#[test]
fn the_environment_picks_one_seed_or_their_number() {
    within(MINUTE, || {
        let inside = std::env::var_os("UDP_RETRY_TEST_INSIDE").is_some();
        if inside {
            let seeds = RefCell::new(Vec::new());
            let runs = explore(100..103, |net| {
                seeds.borrow_mut().push(net.trace_hash());
                Ok::<_, String>(())
            });
            println!("ran {:?}: {:?}", runs, seeds.borrow());
            return;
        }
        for (variable, value, said) in [
            ("UDP_RETRY_SEED", "7", "ran Ok(1): [7]"),
            ("UDP_RETRY_SEEDS", "5", "ran Ok(5): [100, 101, 102, 103, 104]"),
            ("UDP_RETRY_SEEDS", "nonsense", "ran Err(UDP_RETRY_SEEDS=nonsense: "),
        ] {
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "explore::the_environment_picks_one_seed_or_their_number", "--nocapture"])
                .env_remove("UDP_RETRY_SEEDS")
                .env_remove("UDP_RETRY_SEED")
                .env("UDP_RETRY_TEST_INSIDE", "1")
                .env(variable, value)
                .output()
                .unwrap();
            let stdout = String::from_utf8(output.stdout).unwrap();
            assert!(stdout.contains(said), "{variable}={value}: {stdout}");
        }
    });
}

#[test]
fn every_sequence_of_choices_is_tried_once() {
    let late = Choice::Late { by: Duration::from_millis(500) };
    let double = Choice::Duplicate { after: Duration::from_millis(300) };
    let choices = [Choice::Deliver, Choice::Drop, double, late];
    let seen = RefCell::new(BTreeSet::new());
    let runs = exhaust(5, &choices, |net| {
        let arrived = arrivals(net, "delay 1ms", 7);
        // What is sent later meets nothing.
        assert!(arrived.contains(&(6, ms(61))) && arrived.contains(&(7, ms(71))), "{arrived:?}");
        let fates: Vec<usize> = (1..=5_u64)
            .map(|n| {
                let times: Vec<_> = arrived.iter().filter(|(of, _)| u64::from(*of) == n).map(|(_, at)| *at).collect();
                let sent = ms(n * 10);
                match times[..] {
                    [] => 1,
                    [at] if at == sent.after(Duration::from_millis(1)) => 0,
                    [at] if at == sent.after(Duration::from_millis(501)) => 3,
                    [one, two] if two.since(one) == Duration::from_millis(300) => 2,
                    _ => panic!("{arrived:?}"),
                }
            })
            .collect();
        seen.borrow_mut().insert(fates);
        Ok::<_, String>(())
    });
    assert_eq!((runs, seen.borrow().len()), (Ok(1024), 1024));
    assert_eq!(exhaust(0, &choices, |_| Ok::<_, String>(())), Ok(1));
    assert_eq!(exhaust(3, &[], |_| Ok::<_, String>(())), Ok(1));
}

#[test]
fn a_failure_of_a_small_world_is_boiled_down_too() {
    let choices = [Choice::Deliver, Choice::Drop, Choice::Late { by: Duration::from_millis(55) }];
    let failure = exhaust(6, &choices, |net| {
        let arrived = arrivals(net, "delay 1ms", 6);
        let order: Vec<u8> = arrived.iter().map(|(n, _)| *n).collect();
        if order.first() == Some(&2) && order.contains(&1) { Err(format!("{order:?}")) } else { Ok(()) }
    });
    let failure = failure.unwrap_err();
    let late = Rule::Delay { by: Duration::from_millis(55) };
    let faults: Vec<(u64, Rule)> = failure.faults.unwrap().iter().map(|fault: &Fault| (fault.n, fault.rule)).collect();
    assert_eq!(faults, [(1, late)]);
    assert_eq!(failure.shrunk_error.as_deref(), Some("[2, 3, 4, 5, 6, 1]"));
}

/// So many datagrams at equal distances over a path like this: which arrived, and when. They count from 1.
fn arrivals(net: &SimNet, spec: &str, datagrams: u8) -> Vec<(u8, Timestamp)> {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let client = serve(net, spec, heard.clone());
    let mut client = net.connect(client, SERVER).unwrap();
    for n in 1..=datagrams {
        net.run_until(ms(u64::from(n) * 10));
        client.send(PathIndex::FIRST, &[n; 8]).unwrap();
    }
    net.run_until(ms(10_000));
    heard.borrow().iter().map(|(at, datagram)| (datagram.get(3).copied().unwrap_or(0), *at)).collect()
}

type Heard = Rc<RefCell<Vec<(Timestamp, Vec<u8>)>>>;

/// A server that notes what it hears, and the host of a client.
fn serve(net: &SimNet, spec: &str, heard: Heard) -> udp_retry::sim::HostId {
    let client = net.host("10.0.0.1".parse().unwrap()).unwrap();
    let server = net.host(SERVER.ip()).unwrap();
    net.path(client, server, Profile { to_server: spec.parse().unwrap(), ..Profile::default() }).unwrap();
    let note = move |now: Timestamp, _: SocketAddr, datagram: &[u8], _: &mut Outbox| {
        heard.borrow_mut().push((now, datagram.to_vec()));
    };
    net.serve(SERVER, note).unwrap();
    client
}

fn ms(millis: u64) -> Timestamp {
    Timestamp::ZERO.after(Duration::from_millis(millis))
}

const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 1060);
