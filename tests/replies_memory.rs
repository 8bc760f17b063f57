//! What a cache of replies takes of the heap, and that it is all taken at the start: counted by the allocator, for this
//! thread alone.
#![expect(unsafe_code, reason = "an allocator cannot be written without")]

#[path = "common/held.rs"]
mod held;

use std::net::{Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;

use held::{grown, peak};
use udp_retry::Seed;
use udp_retry::replies::{ReplyCache, ReplyLimits, RequestKey, Responder, Todo, Verdict, WhenFull, same_id};
use udp_retry::time::Timestamp;
use udp_retry::transport::Route;

const SECRET: [u8; 32] = [7; 32];

#[test]
fn an_entry_takes_at_most_64_bytes_besides_its_reply() {
    const REPLY: usize = 64;
    for entries in [100_000, 1_000_000] {
        let mut kept = None;
        let limits = limits(entries).with_bytes(entries as usize * (REPLY + 20));
        let taken = grown(|| {
            let mut cache = ReplyCache::new(limits, &SECRET);
            for n in 0..entries {
                let Verdict::Fresh(ticket) = cache.on_request(Timestamp::ZERO, &key(n.into(), &n.to_le_bytes())) else {
                    panic!("{n}")
                };
                cache.on_reply(Timestamp::ZERO, ticket, &[7; REPLY]);
            }
            // The last reply has forgotten none.
            let first = key(0, &[0; 4]);
            assert!(matches!(cache.on_request(Timestamp::ZERO, &first), Verdict::Replay(reply) if reply == [7; REPLY]));
            assert!((cache.memory() - (entries as usize * REPLY)) / entries as usize <= 64);
            kept = Some(cache);
        });
        let each = taken / i64::from(entries) - REPLY as i64;
        println!("{each} bytes an entry of {entries}, besides its reply");
        assert!(each <= 64 && taken.abs_diff(kept.unwrap().memory() as i64) < 1_000, "{taken}");
    }
}

#[test]
fn ten_million_peers_take_no_more_than_none() {
    // 10⁵ and 10⁶ a second.
    let floods = [
        (WhenFull::Refuse, false, 10_000),
        (WhenFull::Forget, false, 10_000),
        (WhenFull::Refuse, true, 1_000),
        (WhenFull::Forget, true, 1_000),
    ];
    for (when_full, per_peer, apart) in floods {
        let limits = limits(65_536).when_full(when_full);
        let limits = if per_peer { limits.with_per_peer(NonZeroU32::new(1_000).unwrap()) } else { limits };
        let mut cache = ReplyCache::new(limits, &SECRET);
        let (draws, memory) = (Seed::new(7), cache.memory());
        let taken = peak(|| {
            for n in 0..10_000_000 {
                let now = Timestamp::from_nanos(n * apart);
                if let Verdict::Fresh(ticket) = cache.on_request(now, &key(draws.draw(n), &n.to_le_bytes())) {
                    cache.on_reply(now, ticket, &[7; 40][..n as usize % 40]);
                }
            }
        });
        assert_eq!((taken, cache.memory()), (0, memory), "{when_full:?}");
    }
}

#[test]
fn a_responder_allocates_nothing_with_an_envelope_either() {
    use udp_retry::envelope::{Incarnation, RequestHeader};
    let incarnation = Incarnation::new(7);
    let mut made = None;
    let taken = grown(|| {
        let responder = Responder::new(ReplyLimits::default(), same_id(0..8), &SECRET, Timestamp::ZERO);
        made = Some(responder.envelope(incarnation.unwrap()));
    });
    let mut responder = made.unwrap();
    assert!(taken.abs_diff(responder.memory() as i64) < 1_000, "{taken}, not {}", responder.memory());
    let from = Route::from(SocketAddr::from(([192, 0, 2, 1], 700)));
    let header = RequestHeader::new(1, None, incarnation).encode();
    let reply = [7; 65_507 - 16];
    let taken = peak(|| {
        let mut datagram = [0; 24];
        datagram[..16].copy_from_slice(&header);
        for n in 0..1_000_u64 {
            datagram[16..].copy_from_slice(&n.to_le_bytes());
            let Todo::Execute { job, .. } = responder.on_datagram(Timestamp::ZERO, from, &datagram, 24) else {
                panic!()
            };
            assert_eq!(responder.finish(Timestamp::ZERO, job, &reply).unwrap().datagram.len(), 65_507);
            let todo = responder.on_datagram(Timestamp::ZERO, from, &datagram, 24);
            assert!(matches!(todo, Todo::Send(answer) if answer.datagram.len() == 65_507));
        }
    });
    assert_eq!(taken, 0);
}

fn limits(entries: u32) -> ReplyLimits {
    ReplyLimits::default().with_entries(NonZeroU32::new(entries).unwrap())
}

fn key(peer: u64, id: &[u8]) -> RequestKey<'_> {
    RequestKey::new(SocketAddr::new(Ipv6Addr::from(u128::from(peer) << 64 | 1).into(), 700), id)
}
