//! Floods of requests from forged addresses, for 30 s or 10 s, beside 100 honest requests a second whose copies come 2 s and 30 s
//! later: what a cache of 2²⁰ entries does to these, as the documentation says.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;

use udp_retry::Seed;
use udp_retry::replies::{Busy, ReplyCache, ReplyLimits, RequestKey, Verdict, WhenFull};

use crate::wire::{SECRET, at};

#[test]
fn below_what_it_holds_a_flood_changes_nothing() {
    for when_full in [WhenFull::Refuse, WhenFull::Forget] {
        for a_second in [1_000, 10_000] {
            let flood = Flood::of(a_second, 30_000, when_full);
            assert_eq!((flood.refused, flood.twice), (0, 0), "{flood:?}");
        }
    }
}

#[test]
fn a_flood_has_honest_requests_refused_or_their_copies_executed_as_the_caller_chose() {
    let refuse = Flood::of(100_000, 30_000, WhenFull::Refuse);
    assert_eq!((refuse.twice, refuse.evicted), (0, 0), "{refuse:?}");
    assert!((0.55..0.75).contains(&refuse.share(refuse.refused)), "{refuse:?}");
    let forget = Flood::of(100_000, 30_000, WhenFull::Forget);
    assert_eq!(forget.refused, 0, "{forget:?}");
    assert!(forget.evicted > 1_000_000 && (0.5..0.8).contains(&forget.share(forget.twice)), "{forget:?}");
}

#[test]
fn ten_times_as_many_execute_no_honest_request_twice_where_new_ones_are_refused() {
    let refuse = Flood::of(1_000_000, 10_000, WhenFull::Refuse);
    assert_eq!((refuse.twice, refuse.evicted), (0, 0), "{refuse:?}");
    assert!((0.85..0.95).contains(&refuse.share(refuse.refused)), "{refuse:?}");
}

#[test]
fn ten_times_as_many_have_no_honest_request_refused_where_the_oldest_is_forgotten() {
    let forget = Flood::of(1_000_000, 10_000, WhenFull::Forget);
    assert_eq!(forget.refused, 0, "{forget:?}");
    assert!(forget.evicted > 8_900_000 && (1.45..1.7).contains(&forget.share(forget.twice)), "{forget:?}");
}

#[test]
fn a_greedy_peer_is_held_to_its_share_and_no_other_is_refused() {
    let limits = ReplyLimits::default().with_entries(NonZeroU32::new(1000).unwrap());
    let mut cache = ReplyCache::new(limits.with_per_peer(NonZeroU32::new(100).unwrap()), &SECRET);
    let mut ask = |peer: [u8; 4], port: u16, n: u32| {
        matches!(cache.on_request(at(0), &RequestKey::new((peer, port).into(), &n.to_le_bytes())), Verdict::Fresh(_))
    };
    let greedy = (0..2000).filter(|&n| ask([192, 0, 2, 1], n as u16, n)).count();
    assert_eq!(greedy, 501, "any number until half of the entries are in use");
    let others: Vec<_> = (2..=6).map(|peer| (0..200).filter(|&n| ask([192, 0, 2, peer], 700, n)).count()).collect();
    assert_eq!(others, [100, 100, 100, 100, 99], "all entries are in use");
}

#[derive(Debug)]
struct Flood {
    honest: u64,
    refused: u64,
    twice: u64,
    evicted: u64,
}

impl Flood {
    fn of(a_second: u64, lasts: u64, when_full: WhenFull) -> Self {
        let limits = ReplyLimits::default().with_entries(NonZeroU32::new(1 << 20).unwrap()).with_bytes(32 << 20);
        let mut cache = ReplyCache::new(limits.when_full(when_full), &SECRET);
        let memory = cache.memory();
        let draws = Seed::new(7);
        let mut flood = Self { honest: 0, refused: 0, twice: 0, evicted: 0 };
        // Of each honest request, when its copies come, and whether it was executed.
        let mut copies: [VecDeque<(u64, u64, bool)>; 2] = [VecDeque::new(), VecDeque::new()];
        let mut spoofed = 0;
        for ms in 0..lasts + 32_000 {
            let in_flood = if ms < lasts { a_second / 1000 } else { 0 };
            for _ in 0..in_flood {
                spoofed += 1;
                let draw = draws.draw(spoofed);
                let peer = SocketAddr::new(Ipv4Addr::from(draw as u32).into(), (draw >> 32) as u16);
                ask(&mut cache, ms, &RequestKey::new(peer, &draw.to_le_bytes()));
            }
            if ms < lasts && ms % 10 == 0 {
                flood.honest += 1;
                let executed = honest(&mut cache, ms, flood.honest);
                flood.refused += u64::from(!executed);
                copies[0].push_back((ms + 2_000, flood.honest, executed));
            }
            while let Some((number, executed)) = due(&mut copies[0], ms) {
                let again = honest(&mut cache, ms, number);
                flood.twice += u64::from(executed && again);
                copies[1].push_back((ms + 28_000, number, executed || again));
            }
            while let Some((number, executed)) = due(&mut copies[1], ms) {
                flood.twice += u64::from(executed && honest(&mut cache, ms, number));
            }
            cache.expire(at(ms));
        }
        assert_eq!(cache.memory(), memory);
        flood.evicted = cache.stats().evicted_early;
        println!(
            "{a_second} a second for {lasts} ms, {when_full:?}: {:.1} % of {} honest requests refused, {:.1} % of their copies executed",
            flood.share(flood.refused) * 100.0,
            flood.honest,
            flood.share(flood.twice) * 50.0
        );
        flood
    }

    fn share(&self, count: u64) -> f64 {
        count as f64 / self.honest as f64
    }
}

fn honest(cache: &mut ReplyCache, ms: u64, number: u64) -> bool {
    let peer = SocketAddr::new(Ipv4Addr::new(192, 0, 2, (number % 100) as u8).into(), 700);
    ask(cache, ms, &RequestKey::new(peer, &number.to_le_bytes()))
}

/// Whether it was executed.
fn ask(cache: &mut ReplyCache, ms: u64, key: &RequestKey<'_>) -> bool {
    match cache.on_request(at(ms), key) {
        Verdict::Fresh(ticket) => {
            cache.on_reply(at(ms), ticket, &[7; 32]);
            true
        }
        Verdict::Replay(_) | Verdict::ReplyForgotten | Verdict::Busy(Busy::Full) => false,
        other => panic!("{other:?}"),
    }
}

fn due(copies: &mut VecDeque<(u64, u64, bool)>, ms: u64) -> Option<(u64, bool)> {
    let &(_, number, executed) = copies.front().filter(|it| it.0 <= ms)?;
    copies.pop_front();
    Some((number, executed))
}
