//! The same again.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::sim::{SimNet, check_determinism, echo};
use udp_retry::transport::{PathIndex, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, transaction_id};

use super::{SERVER, spec, two};

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
