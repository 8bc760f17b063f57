use super::trial::Trial;
use udp_retry::Seed;

/// 2,000 runs of each, of few datagrams: rare events, long delays and short samples.
#[test]
fn what_does_as_it_is_told_is_never_called_broken() {
    for (told, datagrams) in [
        ("delay 2502h", 4),
        ("delay 2502h ~10ns", 20),
        ("delay 2502h ~10ns", 5000),
        ("delay 20000h ~50ns", 5000),
        ("delay 20000h normal 20ns", 5000),
        ("delay 20000h exponential 20ns", 5000),
        ("delay 2502h normal 1h", 10),
        ("delay 0ms exponential 20ms", 1),
        ("delay 0ms exponential 20ms", 7),
        ("delay quantiles 1ms,1ms,1ms,1ms,1ms,1ms,1ms,1ms,1ms,1ms,10s", 3),
        ("delay 50ms ~10ms correlation 90% unordered", 5),
        ("delay 1ms normal 2ms correlation 50%", 12),
        ("loss 5% burst 3", 10),
        ("loss 50% burst 100; duplicate 10% late 5ms exponential 9ms", 10),
        ("loss 90%; truncate 20% to 9; corrupt 20% bits 3", 6),
        ("reorder 20% by 30ms; outage from 10s for 200ms every 15s", 10),
        ("rate 10mbit queue 5 datagrams; loss 30%; dose 3 of 10 drops 1", 10),
        ("duplicate 1% late 2s ~1s; truncate 1%; corrupt 1%", 3),
        // All is spared, so that nothing had to be seen.
        ("truncate 100% to 9; corrupt 100% bits 3; dose 0 of 1", 10),
    ] {
        let spec = told.parse().unwrap_or_else(|error| panic!("{told}: {error}"));
        let runs = if datagrams > 1000 { 20 } else { 2000 };
        for seed in 0..runs {
            let trial = Trial::run(&spec, Seed::new(seed), datagrams);
            assert_eq!(trial.broken(), [""; 0], "{told}, seed {seed}: {:?}", trial.rates);
        }
    }
}
