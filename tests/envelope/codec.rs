//! The bytes of both headers, against the table in the documentation, and whatever bytes a stranger may send.

use std::time::Duration;

use proptest::prelude::*;
use udp_retry::envelope::{Admission, EnvelopeError, HEADER_LEN, Incarnation, ReplyHeader, ReplyKind, RequestHeader};

fn incarnation(number: u64) -> Incarnation {
    Incarnation::new(number).unwrap()
}

#[test]
fn the_bytes_are_those_of_the_table() {
    let request =
        RequestHeader::new(0x0203, Some(Duration::from_micros(0x0405_0607)), Incarnation::new(0x08090a0b_0c0d0e0f));
    let tail = [8, 9, 10, 11, 12, 13, 14, 15];
    assert_eq!(request.encode(), [&[0xe5, 0x11, 2, 3, 4, 5, 6, 7][..], &tail].concat()[..]);
    let uptime = Duration::from_millis(0x0405_0607);
    for (kind, byte) in [(ReplyKind::Reply, 0x12), (ReplyKind::Unknown, 0x13)] {
        let reply = ReplyHeader::new(kind, request.transmission(), uptime, incarnation(0x08090a0b_0c0d0e0f));
        assert_eq!(reply.encode(), [&[0xe5, byte, 2, 3, 4, 5, 6, 7][..], &tail].concat()[..]);
    }
    let first = RequestHeader::new(1, None, None);
    assert_eq!(first.encode(), [0xe5, 0x11, 0, 1, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn times_are_rounded_so_that_no_request_expires_early_and_no_server_seems_older() {
    let remaining = |nanos| RequestHeader::new(1, Some(Duration::from_nanos(nanos)), None).remaining();
    assert_eq!(remaining(0), Some(Duration::ZERO));
    assert_eq!(remaining(1), Some(Duration::from_micros(1)));
    assert_eq!(remaining(1_000), Some(Duration::from_micros(1)));
    assert_eq!(remaining(1_001), Some(Duration::from_micros(2)));
    assert_eq!(remaining((u64::from(u32::MAX) - 1) * 1_000), Some(Duration::from_micros(u64::from(u32::MAX) - 1)));
    assert_eq!(remaining((u64::from(u32::MAX) - 1) * 1_000 + 1), None);
    assert_eq!(RequestHeader::new(1, Some(Duration::MAX), None).remaining(), None);

    let number = RequestHeader::new(1, None, None).transmission();
    let uptime = |time| ReplyHeader::new(ReplyKind::Reply, number, time, incarnation(1)).uptime();
    assert_eq!(uptime(Duration::from_nanos(1_999_999)), Duration::from_millis(1));
    assert_eq!(uptime(Duration::MAX), Duration::from_millis(u32::MAX.into()));
}

#[test]
fn a_request_is_expired_once_it_has_waited_for_as_long_as_its_client_does() {
    let header = RequestHeader::new(1, Some(Duration::from_millis(5)), None);
    assert!(!header.is_expired(Duration::ZERO));
    assert!(!header.is_expired(Duration::from_nanos(4_999_999)));
    assert!(header.is_expired(Duration::from_millis(5)));
    assert!(RequestHeader::new(1, Some(Duration::ZERO), None).is_expired(Duration::ZERO));
    assert!(!RequestHeader::new(1, None, None).is_expired(Duration::MAX));
}

#[test]
fn a_server_admits_what_names_it_and_what_names_none_once_all_from_before_is_gone() {
    let (own, lifetime) = (incarnation(7), Duration::from_secs(30));
    let admission = |named: u64, uptime| {
        RequestHeader::new(1, None, Incarnation::new(named)).admission(own, Duration::from_millis(uptime), lifetime)
    };
    assert_eq!(admission(7, 0), Admission::Admitted);
    assert_eq!(admission(8, 0), Admission::Unknown);
    assert_eq!(admission(8, u64::MAX), Admission::Unknown);
    assert_eq!(admission(0, 29_999), Admission::Unknown);
    assert_eq!(admission(0, 30_000), Admission::Admitted);
}

#[test]
fn a_server_was_up_for_a_span_only_if_a_fast_clock_does_not_make_it_so() {
    let number = RequestHeader::new(1, None, None).transmission();
    let reply = ReplyHeader::new(ReplyKind::Unknown, number, Duration::from_millis(1_001), incarnation(1));
    assert!(reply.was_up_for(Duration::ZERO));
    assert!(reply.was_up_for(Duration::from_millis(1_000)));
    assert!(!reply.was_up_for(Duration::from_micros(1_000_001)));
    assert!(!reply.was_up_for(Duration::MAX));
    assert!(ReplyHeader::new(ReplyKind::Unknown, number, Duration::ZERO, incarnation(1)).was_up_for(Duration::ZERO));
}

#[test]
fn numbers_go_round_without_the_zero() {
    let number = |transmission| RequestHeader::new(transmission, None, None).transmission().get();
    assert_eq!([number(1), number(65_535), number(65_536), number(131_070)], [1, 65_535, 1, 65_535]);
    // No transmission has it; a caller that counts from 0 sends the first one.
    assert_eq!(number(0), 1);
    assert_eq!(number(u32::MAX), 65_535);
}

#[test]
fn what_is_no_envelope_says_why() {
    let good = RequestHeader::new(1, None, None).encode();
    let with = |place: usize, byte| {
        let mut bytes = good;
        bytes[place] = byte;
        bytes
    };
    let request = |bytes: &[u8]| RequestHeader::decode(bytes).map(|(_, payload)| payload.len());
    let reply = |bytes: &[u8]| ReplyHeader::decode(bytes).map(|(_, payload)| payload.len());
    assert_eq!(request(&good), Ok(0));
    for end in [request, reply] {
        for len in 0..HEADER_LEN {
            assert!(matches!(end(&good[..len]), Err(EnvelopeError::TooShort { len: short, .. }) if short == len));
        }
        assert_eq!(end(&with(0, 0xe4)), Err(EnvelopeError::Missing));
        assert!(matches!(end(&with(1, 0x21)), Err(EnvelopeError::OtherVersion { version: 2, .. })));
        assert!(matches!(end(&with(1, 0x01)), Err(EnvelopeError::OtherVersion { version: 0, .. })));
        assert!(matches!(end(&with(1, 0x14)), Err(EnvelopeError::OtherKind { kind: 4, .. })));
        assert_eq!(end(&with(3, 0)), Err(EnvelopeError::NoTransmission));
    }
    assert!(matches!(reply(&good), Err(EnvelopeError::OtherKind { kind: 1, .. })));
    assert!(matches!(request(&with(1, 0x12)), Err(EnvelopeError::OtherKind { kind: 2, .. })));
    assert_eq!(reply(&with(1, 0x12)), Err(EnvelopeError::NoIncarnation));
}

proptest! {
    #[test]
    fn whatever_was_sent_is_read_back(
        transmission: u32, micros in prop::option::of(0..u32::MAX), named: u64, uptime: u32, lives: bool,
        server in 1_u64.., payload: Vec<u8>,
    ) {
        let remaining = micros.map(|micros| Duration::from_micros(micros.into()));
        let request = RequestHeader::new(transmission, remaining, Incarnation::new(named));
        let datagram = [&request.encode()[..], &payload].concat();
        prop_assert_eq!(RequestHeader::decode(&datagram), Ok((request, &payload[..])));
        prop_assert_eq!((request.remaining(), request.incarnation()), (remaining, Incarnation::new(named)));

        let kind = if lives { ReplyKind::Reply } else { ReplyKind::Unknown };
        let uptime = Duration::from_millis(uptime.into());
        let reply = ReplyHeader::new(kind, request.transmission(), uptime, incarnation(server));
        let datagram = [&reply.encode()[..], &payload].concat();
        prop_assert_eq!(ReplyHeader::decode(&datagram), Ok((reply, &payload[..])));
        prop_assert_eq!((reply.kind(), reply.uptime(), reply.incarnation()), (kind, uptime, incarnation(server)));
        prop_assert_eq!(reply.transmission(), request.transmission());
    }

    #[test]
    fn whatever_is_read_is_one_encoding(what in 0_u8..0x20, mut datagram in prop::collection::vec(any::<u8>(), 0..40), marked: bool) {
        if let (Some(bytes), true) = (datagram.first_chunk_mut::<2>(), marked) {
            *bytes = [0xe5, what];
        }
        if let Ok((header, payload)) = RequestHeader::decode(&datagram) {
            prop_assert_eq!([&header.encode()[..], payload].concat(), &datagram[..]);
            prop_assert!(ReplyHeader::decode(&datagram).is_err());
        }
        if let Ok((header, payload)) = ReplyHeader::decode(&datagram) {
            prop_assert_eq!([&header.encode()[..], payload].concat(), &datagram[..]);
        }
    }
}
