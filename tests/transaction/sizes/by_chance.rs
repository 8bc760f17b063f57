//! Losses that no size explains, and what they do to the search for those that one does.

use super::{Asking, BASE, LARGE, SMALL, seconds};

/// Requests over many networks that lose this many of a hundred, and how often a hole was found that is not there.
fn imagined(loss: u32, networks: u64, requests: u32, mixed: bool) -> u32 {
    let mut imagined = 0;
    for seed in 0..networks {
        let mut asking = Asking::new(seed);
        asking.lossy(loss, None);
        for request in 0..requests {
            if mixed && request % 2 == 1 {
                let _ = asking.request(SMALL);
            }
            if asking.build(LARGE).asked[0].is_some() {
                println!("seed {seed}, {loss} %: request {request}");
                imagined += 1;
                asking.pass(seconds(600));
            }
        }
    }
    imagined
}

#[test]
fn loss_is_not_taken_for_a_hole() {
    for (loss, mixed) in [(10, false), (36, false), (51, false), (36, true), (51, true)] {
        let (networks, requests) = (100, 1_000);
        let found = imagined(loss, networks, requests, mixed);
        let all = networks * u64::from(requests);
        println!("{loss} %, mixed {mixed}: {found} in {all}");
        assert!(u64::from(found) * 20_000 <= all, "{loss} %: {found} in {all}: above 0.5 in 10,000");
    }
}

#[test]
fn a_hole_is_found_under_loss_within_eighteen_large_requests() {
    for (loss, most) in [(0, 4), (10, 6), (36, 18)] {
        let mut counts: Vec<usize> = (0..300)
            .map(|seed| {
                let mut asking = Asking::new(seed);
                asking.lossy(loss, None);
                (0..50).for_each(|_| _ = asking.build(LARGE));
                asking.lossy(loss, Some(1400));
                (0..).find(|_| asking.build(LARGE).asked[0] == BASE).unwrap()
            })
            .collect();
        counts.sort_unstable();
        println!("{loss} %: {} median, {} p99, {} at most", counts[150], counts[297], counts[299]);
        assert!(counts[297] <= most, "{loss} %: {counts:?}");
    }
}

#[test]
fn an_outage_teaches_nothing() {
    for seed in 0..100 {
        let mut asking = Asking::new(seed);
        asking.lossy([0, 10, 36, 51][seed as usize % 4], None);
        for _ in 0..20 {
            let _ = (asking.build(LARGE), asking.request(SMALL));
        }
        asking.net.partition(asking.hosts[0], asking.hosts[1]).unwrap();
        let end = asking.net.now().after(seconds(60 + seed));
        while asking.net.now() < end {
            assert_eq!(asking.build(LARGE).transmissions, None);
            let error = asking.request(LARGE).unwrap_err();
            assert_eq!(error.suspected_path_mtu(), None, "seed {seed}");
            asking.request(SMALL).unwrap_err();
        }
        asking.net.heal(asking.hosts[0], asking.hosts[1]).unwrap();
        for request in 0..20 {
            assert_eq!(asking.build(LARGE).asked[0], None, "seed {seed}: request {request} after the outage");
        }
    }
}

#[test]
fn a_server_that_is_slower_than_the_schedule_is_no_hole() {
    // The third transmission, the first small one, leaves after 300 ms. The reply to the first, which comes then, may be its own.
    for (round_trip, asked) in [(160, 2), (240, 2), (302, 3), (400, 3), (600, 3), (760, 4)] {
        let mut asking = Asking::new(round_trip);
        asking.path(&format!("delay {}ms", round_trip / 2), &format!("delay {}ms", round_trip - round_trip / 2));
        for request in 0..100 {
            let told = asking.build(LARGE);
            assert_eq!((told.asked[0], told.asked.len()), (None, asked), "{round_trip} ms: {request}");
        }
    }
}
