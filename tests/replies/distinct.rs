//! What differs is not taken for a copy, whatever the number of requests.

use std::num::NonZeroU32;

use udp_retry::replies::{ReplyCache, ReplyLimits, RequestKey, Verdict};

use crate::wire::{SECRET, at, peer};

/// 32 bits are the same by chance in more than a hundred pairs of a million.
#[test]
fn of_a_million_requests_none_is_taken_for_another_and_each_copy_has_its_own_reply() {
    const MILLION: u32 = 1_000_000;
    let limits = ReplyLimits::default().with_entries(NonZeroU32::new(MILLION).unwrap()).with_bytes(64 << 20);
    let mut cache = ReplyCache::new(limits, &SECRET);
    let from = peer("192.0.2.1:700");
    for n in 0..MILLION {
        let id = n.to_le_bytes();
        let verdict = cache.on_request(at(0), &RequestKey::new(from, &id));
        let Verdict::Fresh(ticket) = verdict else { panic!("request {n}: {verdict:?}") };
        cache.on_reply(at(0), ticket, &[id, id].concat());
    }
    for n in (0..MILLION).step_by(3) {
        let id = n.to_le_bytes();
        let verdict = cache.on_request(at(0), &RequestKey::new(from, &id));
        let Verdict::Replay(reply) = verdict else { panic!("request {n}: {verdict:?}") };
        assert_eq!(reply, [id, id].concat());
    }
    assert_eq!(cache.stats().entries, MILLION);
}

/// Of these, 31 bits are the same by chance in some twenty pairs.
#[test]
fn of_many_that_are_in_progress_none_is_taken_for_another_either() {
    const MANY: u32 = 300_000;
    let mut cache = ReplyCache::new(ReplyLimits::default().with_entries(NonZeroU32::new(MANY).unwrap()), &SECRET);
    let from = peer("192.0.2.1:700");
    for n in 0..MANY {
        let verdict = cache.on_request(at(0), &RequestKey::new(from, &n.to_le_bytes()));
        assert!(matches!(verdict, Verdict::Fresh(_)), "request {n}: {verdict:?}");
    }
}

#[test]
fn two_secrets_give_two_orders_and_a_ticket_of_one_cache_is_none_of_another() {
    let limits = ReplyLimits::default();
    let (mut one, mut other) = (ReplyCache::new(limits, &SECRET), ReplyCache::new(limits, &[9; 32]));
    let key = RequestKey::new(peer("192.0.2.1:700"), b"id");
    let (Verdict::Fresh(ticket), Verdict::Fresh(_other)) = (one.on_request(at(0), &key), other.on_request(at(0), &key))
    else {
        panic!()
    };
    other.on_reply(at(0), ticket, b"a reply of one");
    assert!(matches!(other.on_request(at(0), &key), Verdict::InProgress));
}
