//! Answers in envelopes, right and wrong ones.

use std::time::Duration;

use udp_retry::envelope::{Incarnation, ReplyHeader, ReplyKind, RequestHeader};
use udp_retry::transaction::Stray;

use crate::ms;

pub(crate) fn reply(incarnation: u64, transmission: u32, payload: &[u8]) -> Vec<u8> {
    answer(ReplyKind::Reply, incarnation, transmission, ms(60_000), payload)
}

pub(crate) fn unknown(incarnation: u64, transmission: u32, uptime: Duration, request: &[u8]) -> Vec<u8> {
    answer(ReplyKind::Unknown, incarnation, transmission, uptime, request)
}

fn answer(kind: ReplyKind, incarnation: u64, transmission: u32, uptime: Duration, payload: &[u8]) -> Vec<u8> {
    let number = RequestHeader::new(transmission, None, None).transmission();
    let header = ReplyHeader::new(kind, number, uptime, Incarnation::new(incarnation).unwrap());
    [&header.encode()[..], payload].concat()
}

/// What answers no `id 1 ping` that was sent twice, both times for no incarnation, and what each counts as.
pub(crate) fn wrong() -> Vec<(Vec<u8>, Stray)> {
    let of = |transmission, payload: &[u8]| reply(7, transmission, payload);
    let with = |place: usize, bytes: &[u8]| {
        let mut datagram = of(1, b"id 1 pong");
        datagram[place..place + bytes.len()].copy_from_slice(bytes);
        datagram
    };
    vec![
        (b"id 1 pong".to_vec(), Stray::Envelope),
        (vec![], Stray::Empty),
        // No mark, another version, another kind, no transmission, no incarnation.
        (with(0, &[0xe4]), Stray::Envelope),
        (with(1, &[0x22]), Stray::Envelope),
        (with(1, &[0x14]), Stray::Envelope),
        (with(2, &[0, 0]), Stray::Envelope),
        (with(8, &[0; 8]), Stray::Envelope),
        // A request.
        ([&RequestHeader::new(1, None, None).encode()[..], b"id 1 pong"].concat(), Stray::Envelope),
        // Shorter than a header, longer than one by a byte.
        (of(1, b"")[..15].to_vec(), Stray::Envelope),
        (of(1, b"\0id 1 pong"), Stray::Foreign),
        // There was no third transmission.
        (of(3, b"id 1 pong"), Stray::Envelope),
        (of(1, b"id 2 pong"), Stray::Foreign),
        (of(1, b""), Stray::Empty),
        (unknown(8, 3, ms(1), b"id 1 ping"), Stray::Envelope),
        (unknown(8, 1, ms(1), b"id 2 ping"), Stray::Foreign),
        (unknown(8, 1, ms(1), b"id 1 pin"), Stray::Foreign),
        (unknown(8, 1, ms(1), b""), Stray::Foreign),
    ]
}
