//! The same again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::sim::{SimNet, check_determinism, echo};
use udp_retry::transport::{PathIndex, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, transaction_id};

use super::{SERVER, ip, ms, spec, two};

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
        net.connect(client, SERVER).unwrap().send(PathIndex::FIRST, payload).unwrap();
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

/// The address is the one thing that differs: neither the order of the hosts nor the number of their path.
#[test]
fn runs_of_other_hosts_differ() {
    for addresses in [["10.0.0.2", "10.0.0.3", "10.0.0.4"], ["fd00::2", "fd00::1:2", "fd00::4"]] {
        for asks_other_server in [false, true] {
            let (runs, hashes) = (Cell::new(0), RefCell::new(Vec::new()));
            let divergence = check_determinism(Seed::new(3), |net| {
                let other = ip(addresses[runs.replace(runs.get() + 1)]);
                let same = ip(addresses[2]);
                let (from, to) = if asks_other_server { (same, other) } else { (other, same) };
                let (client, server) = (net.host(from).unwrap(), net.host(to).unwrap());
                net.path(client, server, Profile::default()).unwrap();
                let at = std::net::SocketAddr::new(to, 7);
                net.serve(at, echo()).unwrap();
                net.connect(client, at).unwrap().send(PathIndex::FIRST, b"x").unwrap();
                net.run_until(ms(10));
                hashes.borrow_mut().push(net.trace_hash());
            });
            let divergence = divergence.unwrap_err();
            assert_eq!(divergence.event, 0, "{divergence}");
            assert_ne!(hashes.borrow()[0], hashes.borrow()[1], "{divergence}");
            let told = divergence.to_string();
            assert!(addresses.iter().all(|address| told.contains(&ip(address).to_string())), "{told}");
        }
    }
}

#[test]
fn what_is_lost_is_in_the_hash_with_its_time_and_what_is_on_its_way_with_its_damage() {
    let hash = |to_server: &str, sent: u64, size: usize| {
        let net = SimNet::new(Seed::new(1));
        let (client, server) = two(&net);
        net.path(client, server, Profile { to_server: spec(to_server), ..Profile::default() }).unwrap();
        let mut transport = net.connect(client, SERVER).unwrap();
        net.run_until(ms(sent));
        transport.send(PathIndex::FIRST, &vec![0; size]).unwrap();
        net.trace_hash()
    };
    let all = [
        hash("loss 100%", 1, 9),
        hash("loss 100%", 2, 9),
        hash("script { drop 1 }", 1, 9),
        hash("outage from 0ms for 1s", 1, 9),
        hash("delay 10ms", 1, 9),
        hash("delay 11ms", 1, 9),
        hash("delay 10ms; script { corrupt 1 bit 3 }", 1, 9),
        hash("delay 10ms; script { corrupt 1 bit 4 }", 1, 9),
        hash("delay 10ms; script { corrupt 1 bit 3; corrupt 1 bit 4 }", 1, 9),
        hash("delay 10ms; script { truncate 1 to 3 }", 1, 9),
        hash("delay 10ms; script { truncate 1 to 4 }", 1, 9),
        hash("delay 10ms; script { duplicate 1 after 1ms }", 1, 9),
        hash("delay 10ms; script { duplicate 1 after 2ms }", 1, 9),
        hash("delay 10ms; script { duplicate 1 after 1ms; corrupt 1.1 bit 3 }", 1, 9),
    ];
    let mut different = all.to_vec();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), all.len(), "{all:?}");
    assert_eq!(hash("loss 100%", 1, 9), all[0]);
}

/// Only the first events are kept, and later ones are compared all the same.
#[test]
fn runs_that_differ_after_all_that_is_kept_differ() {
    let runs = Cell::new(0);
    let divergence = check_determinism(Seed::new(3), |net| {
        let mut transport = into_nothing(net);
        let other = runs.replace(runs.get() + 1);
        for n in 0..110_000_u32 {
            let datagram = if n == 109_000 { [other; 4] } else { n.to_be_bytes() };
            transport.send(PathIndex::FIRST, &datagram).unwrap();
        }
    });
    let divergence = divergence.unwrap_err();
    assert_eq!((divergence.event, divergence.first, divergence.second), (100_000, None, None));
    assert_eq!(divergence.to_string(), "two runs differ after event 100000; no more was kept of them");
}

#[test]
fn a_run_that_ends_before_the_other_differs_from_it() {
    for more in [[3, 5], [5, 3]] {
        let runs = Cell::new(0);
        let divergence = check_determinism(Seed::new(3), |net| {
            let mut transport = into_nothing(net);
            for n in 0..more[runs.replace(runs.get() + 1)] {
                transport.send(PathIndex::FIRST, &[n]).unwrap();
            }
        });
        let divergence = divergence.unwrap_err();
        assert_eq!((divergence.event, divergence.first.is_some()), (3, more[0] == 5), "{divergence}");
        assert_eq!(divergence.second.is_some(), more[0] == 3, "{divergence}");
    }
}

/// An event for each datagram, and no more.
fn into_nothing(net: &SimNet) -> udp_retry::sim::SimTransport {
    let (client, server) = two(net);
    net.path(client, server, Profile::both(spec("loss 100%"))).unwrap();
    net.connect(client, SERVER).unwrap()
}

#[test]
fn an_event_shows_the_first_bytes_of_its_datagram() {
    let shown = |payload: &[u8]| {
        let net = super::recording(Seed::new(1));
        let (client, _) = two(&net);
        net.connect(client, SERVER).unwrap().send(PathIndex::FIRST, payload).unwrap();
        (net.events()[0].head, net.events()[0].to_string())
    };
    let line = |bytes: &str| {
        format!("       0.000 ms  10.0.0.1:49152 -> 10.0.0.2:1060, {bytes}: sent as number 1, arrives at 0.000 ms")
    };
    assert_eq!(shown(&[]), ([0; 8], line("0 bytes []")));
    assert_eq!(shown(&[1, 0xab]), ([1, 0xab, 0, 0, 0, 0, 0, 0], line("2 bytes [01 ab]")));
    assert_eq!(shown(&[7; 8]), ([7; 8], line("8 bytes [07 07 07 07 07 07 07 07]")));
    assert_eq!(shown(&[7; 9]), ([7; 8], line("9 bytes [07 07 07 07 07 07 07 07 ..]")));
}

/// Requests through all that is bad; the fifth of them says how often this has run, if anybody counts.
fn scenario(runs: Option<Rc<Cell<u8>>>) -> impl Fn(&SimNet) {
    move |net| {
        let run = runs.as_ref().map_or(0, |runs| runs.replace(runs.get() + 1));
        let (client, server) = two(net);
        net.path(client, server, Profile::both(spec("loss 30%; duplicate 20%; corrupt 5%; delay 5ms ~5ms unordered")))
            .unwrap();
        net.serve(SERVER, echo()).unwrap();
        net.at(Duration::from_millis(40), move |net| net.rebind(client).unwrap());
        let transport = net.connect(client, SERVER).unwrap();
        let mut requester = ReliableRequester::builder(transaction_id(0..1))
            .policy(RetryPolicy::LAN)
            .seed(Seed::new(1))
            .over(transport)
            .unwrap();
        for id in 0..20 {
            let _ = requester.request(&[id, if id == 4 { run } else { 0 }]);
        }
    }
}
