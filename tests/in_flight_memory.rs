//! What a request in flight holds, and that nothing is taken from the heap once there was as much of everything: counted by
//! the allocator, for this thread alone.
#![expect(unsafe_code, reason = "an allocator cannot be written without")]

#[path = "common/held.rs"]
mod held;

use std::num::NonZeroU32;
use std::time::Duration;

use held::{grown, peak};
use udp_retry::entropy::IdSource;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Arrived, InFlight, Limits, PeerId, TransactionId};
use udp_retry::{RetryBudget, RetryPolicy, Seed, transaction_id};

type Engine = InFlight<u32, TransactionId>;

#[test]
fn a_million_requests_of_32_bytes_take_92_bytes_each_and_230_in_an_outage() {
    let (mut engine, peer) = engine(transaction_id(0..8).stamped());
    let clean = grown(|| {
        for token in 0..MILLION {
            engine.submit(Timestamp::ZERO, peer, &[0x5a; 32], token).unwrap();
        }
        engine.on_transmitted(Timestamp::ZERO, engine.len());
    });
    println!("{} bytes a request", clean / MILLION as i64);
    assert!((80..=92).contains(&(clean / MILLION as i64)), "{clean}");
    let in_trouble = grown(|| {
        // After the first wait, whatever is drawn.
        let later = Timestamp::ZERO.after(Duration::from_secs(2));
        engine.on_time_up(later);
        assert_eq!(engine.transmits().count() as u64, MILLION);
        engine.on_transmitted(later, engine.len());
    });
    let all = (clean + in_trouble) / MILLION as i64;
    println!("{all} bytes a request in an outage");
    assert!((150..=230).contains(&all), "{all}");
}

#[test]
fn what_was_there_once_is_there_again_and_nothing_is_allocated() {
    for matcher in [transaction_id(0..8).stamped(), transaction_id(0..2).stamped(), transaction_id(0..8)] {
        let (mut engine, peer) = engine(matcher);
        let mut round = |first: u64| {
            for token in first..first + 1000 {
                let mut request = [0x5a; 40];
                request[..8].copy_from_slice(&token.to_le_bytes());
                engine.submit(at(first), peer, &request[..], token).unwrap();
            }
            let mut replies = [[0; 40]; 1000];
            engine.transmits().zip(&mut replies).for_each(|(it, reply)| reply.copy_from_slice(it.datagram));
            engine.on_transmitted(at(first), 1000);
            // Half of them are sent twice.
            for reply in &replies[..500] {
                assert!(matches!(engine.on_datagram(at(first), 1, reply, 40), Arrived::Reply(_)));
            }
            engine.on_time_up(at(first + 500));
            engine.on_transmitted(at(first + 500), 500);
            for reply in &replies[500..] {
                assert!(matches!(engine.on_datagram(at(first + 500), 1, reply, 40), Arrived::Reply(_)));
            }
            assert!(engine.is_empty());
        };
        (0..100).for_each(|n| round(n * 1000));
        assert_eq!(peak(|| (100..110).for_each(|n| round(n * 1000))), 0);
    }
}

#[test]
fn no_request_waits_for_memory_to_be_moved_while_they_grow_to_a_million_fail_and_are_answered() {
    for matcher in [transaction_id(0..8).stamped(), transaction_id(0..8)] {
        // Its jitter spreads what is due.
        let policy = RetryPolicy::default().with_max_transmissions(2).unwrap();
        let (mut engine, peer) = engine_with(policy, matcher);
        let (mut most, mut sent) = ([0; 4], 0);
        for token in 0..MILLION {
            let mut request = [0x5a; 32];
            request[..8].copy_from_slice(&token.to_le_bytes());
            let grown = peak(|| {
                engine.submit(Timestamp::ZERO, peer, &request, token).unwrap();
                engine.on_transmitted(Timestamp::ZERO, 1);
            });
            most[0] = grown.max(most[0]);
        }
        let mut reply = [0; 32];
        while !engine.is_empty() {
            let now = engine.next_deadline().unwrap();
            most[1] = peak(|| engine.on_time_up(now)).max(most[1]);
            while engine.transmits().next().map(|next| reply.copy_from_slice(next.datagram)).is_some() {
                most[2] = peak(|| engine.on_transmitted(now, 1)).max(most[2]);
                sent += 1;
                if sent % 16 == 0 {
                    assert!(matches!(engine.on_datagram(now, 1, &reply, 32), Arrived::Reply(_)));
                }
            }
            most[3] = peak(|| while engine.next_finished().is_some() {}).max(most[3]);
        }
        assert_eq!(sent, MILLION);
        println!(
            "bytes at once, at most: submitted {}, due {}, sent again {}, failed {}",
            most[0], most[1], most[2], most[3]
        );
        // Two chunks of everything.
        assert!(most.iter().all(|&bytes| bytes <= 256 << 10), "{most:?}");
        assert!(most[0] >= 48 << 10 && most[1] >= 100 << 10, "{most:?}");
    }
}

fn at(ms: u64) -> Timestamp {
    Timestamp::ZERO.after(Duration::from_millis(ms))
}

fn engine(matcher: TransactionId) -> (Engine, PeerId) {
    engine_with(RetryPolicy::LAN, matcher)
}

fn engine_with(policy: RetryPolicy, matcher: TransactionId) -> (Engine, PeerId) {
    let all = NonZeroU32::new(2_000_000).unwrap();
    let limits = Limits::default().requests(all).window(all).bytes(1 << 30).rest(Duration::ZERO, Duration::ZERO);
    let ids = IdSource::from_seed(Seed::new(1));
    let mut engine = InFlight::new(policy, matcher, limits, Seed::new(1), Some(ids));
    let peer = engine.add_peer(1, RetryBudget::unlimited(), None);
    (engine, peer)
}

const MILLION: u64 = 1_000_000;
