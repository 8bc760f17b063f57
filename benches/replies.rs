//! What a server's memory of replies costs: `cargo bench --bench replies`.
//!
//! A median of rounds for each number of requests that are remembered, in time of this thread's processor: the wall clock
//! would count what runs beside it. `taskset -c 0` in front keeps it on one.

fn main() {
    #[cfg(target_os = "linux")]
    measured::main();
    #[cfg(not(target_os = "linux"))]
    println!("skipped: the processor time of a thread is there on Linux only");
}

#[cfg(target_os = "linux")]
mod measured {
    use std::hint::black_box;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::num::NonZeroU32;

    use rustix::time::{ClockId, clock_gettime};
    use udp_retry::Seed;
    use udp_retry::replies::{ReplyCache, ReplyLimits, RequestKey, Verdict, WhenFull};
    use udp_retry::time::Timestamp;

    const REPLY: usize = 64;
    const ROUNDS: usize = 9;

    pub(crate) fn main() {
        println!("nanoseconds of processor time each, replies of {REPLY} bytes, medians of {ROUNDS} rounds");
        println!("   entries   new + kept   replay   in progress   refused   turnover   bytes besides the reply");
        for entries in [10_000, 100_000, 1_000_000] {
            row(entries);
        }
    }

    fn row(entries: u32) {
        let new = median(|| {
            let mut cache = cache(entries, WhenFull::Refuse);
            timed(entries, || (0..entries).for_each(|n| execute(&mut cache, n, true)))
        });
        let mut full = cache(entries, WhenFull::Refuse);
        (0..entries).for_each(|n| execute(&mut full, n, true));
        let calls = entries.clamp(100_000, 500_000);
        // Drawn beforehand, as the draws are not what is measured.
        let draws = Seed::new(7);
        let order: Vec<u32> = (0..u64::from(calls)).map(|n| (draws.draw(n) % u64::from(entries)) as u32).collect();
        let replay = median(|| {
            timed(calls, || {
                for &n in &order {
                    let verdict = ask(&mut full, n);
                    assert!(matches!(black_box(verdict), Verdict::Replay(reply) if reply[0] == 7));
                }
            })
        });
        let refused = median(|| {
            timed(calls, || (0..calls).for_each(|n| assert!(matches!(ask(&mut full, entries + n), Verdict::Busy(_)))))
        });
        let mut working = cache(entries, WhenFull::Refuse);
        (0..entries).for_each(|n| execute(&mut working, n, false));
        let in_progress = median(|| {
            timed(calls, || order.iter().for_each(|&n| assert!(matches!(ask(&mut working, n), Verdict::InProgress))))
        });
        let (mut turning, mut next) = (cache(entries, WhenFull::Forget), 0);
        (0..entries).for_each(|_| turn(&mut turning, &mut next));
        let turnover = median(|| timed(calls, || (0..calls).for_each(|_| turn(&mut turning, &mut next))));
        let bytes = full.memory() / entries as usize - REPLY;
        println!(
            "{entries:>10} {new:>12.0} {replay:>8.0} {in_progress:>13.0} {refused:>9.0} {turnover:>10.0} {bytes:>10}"
        );
    }

    fn cache(entries: u32, when_full: WhenFull) -> ReplyCache {
        let limits = ReplyLimits::default().with_entries(NonZeroU32::new(entries).unwrap());
        // As many replays as the rounds ask for.
        let limits = limits.with_bytes(entries as usize * (REPLY + 20)).with_replays(u16::MAX).when_full(when_full);
        ReplyCache::new(limits, &[7; 32])
    }

    fn execute(cache: &mut ReplyCache, n: u32, finished: bool) {
        let Verdict::Fresh(ticket) = ask(cache, n) else { panic!("{n} was executed before") };
        if finished {
            cache.on_reply(Timestamp::ZERO, ticket, &[7; REPLY]);
        }
    }

    fn turn(cache: &mut ReplyCache, next: &mut u32) {
        execute(cache, *next, true);
        *next += 1;
    }

    fn ask(cache: &mut ReplyCache, n: u32) -> Verdict<'_> {
        let peer = SocketAddr::new(Ipv4Addr::from(0x0a00_0000 + n % 1000).into(), 700);
        cache.on_request(Timestamp::ZERO, &RequestKey::new(black_box(peer), &u64::from(n).to_le_bytes()))
    }

    fn median(mut round: impl FnMut() -> f64) -> f64 {
        let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
        rounds.sort_by(f64::total_cmp);
        rounds[ROUNDS / 2]
    }

    /// Nanoseconds of each of so many calls.
    fn timed(calls: u32, work: impl FnOnce()) -> f64 {
        let time = || {
            let now = clock_gettime(ClockId::ThreadCPUTime);
            now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
        };
        let before = time();
        work();
        (time() - before) / f64::from(calls)
    }
}
