//! What stands for the entropy of a system in a simulated network: unlike at each call, and the same in each run.

use std::cell::RefCell;
use std::time::Duration;

use udp_retry::policy::{Backoff, Jitter};
use udp_retry::sim::{SimNet, SimTransport, check_determinism, echo};
use udp_retry::transport::Transport;
use udp_retry::{ReliableRequester, RetryPolicy, Seed, transaction_id};

use crate::world::{SERVER, World, ms, request};

#[test]
fn no_two_keys_are_alike_and_a_run_draws_the_same_again() {
    let mut all = Vec::new();
    for seed in [1, 2] {
        let keys = keys(seed);
        assert_eq!(keys, self::keys(seed), "seed {seed}");
        all.extend(keys);
    }
    assert_eq!(all.len(), 8);
    let mut distinct = all.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), all.len(), "{all:?}");
    // Nor is one a piece of another.
    for quarter in all.iter().flat_map(|key| key.chunks(8)) {
        let times = all.iter().flat_map(|key| key.chunks(8)).filter(|it| *it == quarter).count();
        assert_eq!(times, 1, "{all:?}");
    }
}

/// Two each of two transports.
fn keys(seed: u64) -> Vec<[u8; 32]> {
    let net = SimNet::new(Seed::new(seed));
    let world = World::new(&net, "none", "none");
    let connect = || net.connect(world.client, SERVER).unwrap();
    let (mut one, mut other) = (connect(), connect());
    let key = |transport: &mut SimTransport| {
        let mut key = [0; 32];
        transport.entropy(&mut key).unwrap();
        key
    };
    vec![key(&mut one), key(&mut other), key(&mut one), key(&mut other)]
}

#[test]
fn who_draws_entropy_changes_no_fate() {
    let hash = |keys: u32| {
        let net = SimNet::new(Seed::new(5));
        let world = World::new(&net, "loss 40%; delay 5ms ~5ms", "loss 40%; delay 5ms ~5ms");
        net.serve(SERVER, echo()).unwrap();
        let mut transport = net.connect(world.client, SERVER).unwrap();
        for n in 0..100_u32 {
            for _ in 0..keys {
                transport.entropy(&mut [0; 32]).unwrap();
            }
            transport.send(udp_retry::transport::PathIndex::FIRST, &n.to_be_bytes()).unwrap();
            net.run_until(net.now().after(ms(20)));
        }
        net.trace_hash()
    };
    assert_eq!(hash(0), hash(3));
}

#[test]
fn a_requester_without_a_seed_of_its_own_repeats_with_the_networks() {
    let jittered = Backoff::exponential(ms(100), Duration::from_secs(3)).unwrap().with_jitter(Jitter::UPWARD).unwrap();
    let policy = RetryPolicy::new(jittered).with_max_transmissions(5).unwrap();
    let retransmissions = RefCell::new(Vec::new());
    let run = |net: &SimNet| {
        let world = World::new(net, "loss 40%; delay 20ms ~10ms", "loss 40%; delay 20ms ~10ms");
        net.serve(SERVER, echo()).unwrap();
        let connect = || net.connect(world.client, SERVER).unwrap();
        let requesters =
            [(); 2].map(|()| ReliableRequester::builder(transaction_id(0..8)).policy(policy).over(connect()).unwrap());
        for (requester, id) in requesters.into_iter().zip(0_u64..) {
            let mut requester = requester;
            let sent = (0..20).map(|n| match requester.request(request(id.to_be_bytes(), n, 0)) {
                Ok(reply) => reply.timeline().transmissions().collect::<Vec<_>>(),
                Err(error) => error.timeline().transmissions().collect(),
            });
            retransmissions.borrow_mut().extend(sent.flatten().filter(|at| !at.is_zero()));
        }
    };
    for seed in (0..20).map(Seed::new) {
        check_determinism(seed, run).unwrap_or_else(|divergence| panic!("seed {seed}: {divergence}"));
    }
    // Their draws differ within a run, and between runs.
    let mut waits = retransmissions.into_inner();
    let all = waits.len() / 2; // each run is made twice
    waits.sort_unstable();
    waits.dedup();
    assert!(all > 500 && waits.len() * 100 > all * 99, "{} of {all} retransmissions differ", waits.len());
}
