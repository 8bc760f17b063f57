//! Datagrams that servers of nine protocols really sent, against the matcher for each: the captured reply answers the
//! captured request, and nothing else does.
//!
//! The matchers and decoders of the examples: `tests/protocol_wire.rs`.

use std::ops::Range;
use std::time::Duration;

use proptest::prelude::*;
use udp_retry::Seed;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Hold, Identity, Match, Next, ReplyMatcher, Transaction, matching};
use udp_retry::transport::PathIndex;
use udp_retry::{RetryPolicy, transaction_id};

use crate::captures::{captures, conversation, hex, pairs};

/// A protocol's matcher, and what of a reply it goes by.
struct Rule {
    name: &'static str,
    peer: &'static str,
    matcher: Box<dyn ReplyMatcher + Send>,
    id: fn(&[u8]) -> Range<usize>,
}

fn rules() -> Vec<Rule> {
    fn rule(
        name: &'static str,
        peer: &'static str,
        matcher: impl ReplyMatcher + Send + 'static,
        id: fn(&[u8]) -> Range<usize>,
    ) -> Rule {
        Rule { name, peer, matcher: Box::new(matcher), id }
    }
    vec![
        rule("DNS by id", "dns-dnsmasq", transaction_id(0..2), |_| 0..2),
        rule("CoAP", "coap-libcoap", matching(coap), |reply| 2..4 + usize::from(reply[0] & 15)),
        rule("STUN by id", "stun-coturn", transaction_id(4..20), |_| 4..20),
        rule("NTP by origin", "ntp-chrony", transaction_id(40..48).found_at(24), |_| 24..32),
        rule("RADIUS by id", "radius-freeradius", transaction_id(1..2), |_| 1..2),
        rule("RADIUS by authenticator", "radius-freeradius", matching(radius), |reply| 0..reply.len()),
        rule("SNMP by id", "snmp-netsnmp", transaction_id(17..21), |_| 17..21),
        rule("SNMP wherever the id is", "snmp-netsnmp", matching(snmp), |_| 17..21),
        rule("TFTP", "tftp-dnsmasq", matching(tftp), |reply| if reply[1] == OACK { 0..2 } else { 0..4 }),
        rule("memcached", "memcached-udp", transaction_id(0..2), |_| 0..2),
        rule("BitTorrent tracker", "bt-opentracker", transaction_id(12..16).found_at(4), |_| 4..8),
    ]
}

/// A response carries the token (RFC 7252 §5.3.2), and the message id too if it comes in the acknowledgement; a reset
/// answers by the message id alone. An empty acknowledgement promises a response.
fn coap(request: &[u8], datagram: &[u8]) -> Match {
    let parts = |message: &[u8]| {
        let &[first, code, high, low, ref rest @ ..] = message else { return None };
        let token = rest.get(..usize::from(first & 15))?.to_vec();
        (first >> 6 == 1).then_some((first >> 4 & 3, code, [high, low], token))
    };
    let (Some((_, _, asked, wanted)), Some((kind, code, id, token))) = (parts(request), parts(datagram)) else {
        return Match::Foreign;
    };
    match (kind, code >> 5) {
        (3, 0) if code == 0 => Match::from(id == asked),
        (2, 0) if code == 0 && id == asked => Match::Provisional(Hold::Stop),
        (2, 2 | 4 | 5) => Match::from(id == asked && token == wanted),
        (0 | 1, 2 | 4 | 5) => Match::from(token == wanted),
        _ => Match::Foreign,
    }
}

/// The identifier, one byte, is too little; the authenticator proves that the server knew the request and the secret
/// (RFC 2865 §3).
fn radius(request: &[u8], datagram: &[u8]) -> bool {
    let checked = || {
        let length = usize::from(u16::from_be_bytes(datagram.get(2..4)?.try_into().ok()?));
        let signed = [datagram.get(..4)?, request.get(4..20)?, datagram.get(20..length)?, b"testing123"].concat();
        Some(request.get(1)? == datagram.get(1)? && datagram.get(4..20)? == md5(&signed))
    };
    checked() == Some(true)
}

/// The request id moves when a length before it needs more bytes, so it is looked up (RFC 3416 §3).
fn snmp(request: &[u8], datagram: &[u8]) -> bool {
    let request_id = |message: &[u8]| {
        // A sequence, whose third element, behind version and community, is a sequence too.
        let (0x30, message, _) = element(message)? else { return None };
        let (0x02, _, rest) = element(message)? else { return None };
        let (0x04, _, rest) = element(rest)? else { return None };
        let (kind @ 0xa0..=0xa8, pdu, _) = element(rest)? else { return None };
        let (0x02, id, _) = element(pdu)? else { return None };
        Some((kind == 0xa2, id.to_vec()))
    };
    matches!((request_id(request), request_id(datagram)), (Some((false, asked)), Some((true, id))) if asked == id)
}

/// Tag, content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let &[tag, length, ref rest @ ..] = bytes else { return None };
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (usize::from(u16::from_be_bytes(rest.get(..2)?.try_into().ok()?)), rest.get(2..)?),
        _ => return None,
    };
    let (content, behind) = rest.split_at_checked(length)?;
    Some((tag, content, behind))
}

/// An acknowledgement of block n is answered by block n + 1, a read request by block 1 or by the options taken; both
/// by an error (RFC 1350, RFC 2347).
fn tftp(request: &[u8], datagram: &[u8]) -> bool {
    match (request, datagram) {
        (_, [0, 5, _, _, ..]) => true,
        ([0, 1, ..], [0, 3, 0, 1, ..] | [0, OACK, ..]) => true,
        ([0, 4, high, low], [0, 3, next @ ..]) => {
            let next_block = u16::from_be_bytes([*high, *low]).wrapping_add(1);
            next.starts_with(&next_block.to_be_bytes())
        }
        _ => false,
    }
}

const OACK: u8 = 6;

#[test]
fn every_protocol_of_the_captures_has_a_rule() {
    let captures = captures();
    let rules = rules();
    for group in captures["groups"].as_array().unwrap() {
        let peer = group["peer"].as_str().unwrap();
        assert!(rules.iter().any(|rule| rule.peer == peer), "{peer}");
        assert!(pairs(peer).len() >= 4, "{peer}");
    }
    assert_eq!(captures["groups"].as_array().unwrap().len(), 9);
}

#[test]
fn the_captured_reply_answers_the_captured_request() {
    each_request(|rule, request, reply| {
        assert_eq!(rule.matcher.identity(request), Identity::Content);
        assert_eq!(rule.matcher.judge(request, reply), Match::Reply);
    });
}

#[test]
fn the_captured_id_lies_where_the_captures_say() {
    for group in captures()["groups"].as_array().unwrap() {
        for captured in group["exchanges"].as_array().unwrap() {
            let Some(place) = captured.get("match") else { continue };
            let [from, to, length] =
                ["request_offset", "reply_offset", "length"].map(|key| place[key].as_u64().unwrap() as usize);
            if group["peer"] == "tftp-dnsmasq" {
                continue; // a block number is computed, not copied
            }
            let matcher = transaction_id(from..from + length).found_at(to);
            assert_eq!(matcher.judge(&hex(&captured["request"]), &hex(&captured["reply"])), Match::Reply, "{captured}");
        }
    }
}

#[test]
fn the_reply_to_another_request_does_not() {
    let mut compared = 0;
    each_request(|rule, request, reply| {
        for (_, other) in pairs(rule.peer) {
            let id = |reply: &[u8]| reply[(rule.id)(reply)].to_vec();
            if id(&other) != id(reply) {
                let verdict = rule.matcher.judge(request, &other);
                // Without options asked for, a transfer begins with block 1; with them, either may come.
                let begins = rule.name == "TFTP" && request[1] == 1;
                let first = other.starts_with(&[0, 3, 0, 1]) || other.starts_with(&[0, OACK]);
                assert!(verdict == Match::Foreign || begins && first, "{other:02x?}");
                compared += 1;
            }
        }
    });
    assert!(compared > 300, "{compared}");
}

#[test]
fn a_reply_with_any_bit_of_its_id_flipped_does_not() {
    each_request(|rule, request, reply| {
        for bit in (rule.id)(reply).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
            let mut damaged = reply.to_vec();
            damaged[bit.0] ^= 1 << bit.1;
            assert_eq!(rule.matcher.judge(request, &damaged), Match::Foreign, "{bit:?}");
        }
    });
}

#[test]
fn a_reply_cut_within_its_id_does_not_nor_does_an_empty_datagram() {
    each_request(|rule, request, reply| {
        for length in 0..(rule.id)(reply).end {
            assert_eq!(rule.matcher.judge(request, &reply[..length]), Match::Foreign, "{length}");
        }
    });
}

#[test]
fn strays_before_the_captured_reply_change_nothing() {
    each_request(|rule, request, reply| {
        let matcher = rules().into_iter().find(|other| other.name == rule.name).unwrap().matcher;
        let id = (rule.id)(reply);
        let mut transaction = Transaction::new(RetryPolicy::LAN, matcher);
        let now = Timestamp::ZERO;
        transaction.start(request, now, Seed::new(1));
        assert_eq!(transaction.next(now), Next::Transmit(PathIndex::FIRST));
        transaction.on_transmitted(now);
        let mut damaged = reply.to_vec();
        damaged[id.start] ^= 1;
        for stray in [&[][..], &damaged, &reply[..id.end - 1]] {
            assert_eq!(transaction.on_datagram(now, PathIndex::FIRST, stray, stray.len()), Match::Foreign);
            assert_eq!(transaction.next(now), Next::WaitUntil(now.after(Duration::from_millis(100))));
        }
        assert_eq!(transaction.on_datagram(now, PathIndex::FIRST, reply, reply.len()), Match::Reply);
        assert_eq!(transaction.next(now), Next::Done);
    });
}

#[test]
fn an_empty_acknowledgement_is_provisional_and_the_separate_response_the_reply() {
    let conversation = conversation("coap-libcoap", "client coap-client-async");
    let [(_, request), (_, acknowledgement), (_, response), _] = &conversation[..] else { panic!("{conversation:?}") };
    assert_eq!(coap(request, acknowledgement), Match::Provisional(Hold::Stop));
    assert_eq!(coap(request, response), Match::Reply);
    for bit in 0..16 {
        let mut damaged = acknowledgement.clone();
        damaged[2 + bit / 8] ^= 1 << (bit % 8);
        assert_eq!(coap(request, &damaged), Match::Foreign, "{bit}");
    }
}

#[test]
fn an_snmp_reply_that_needs_longer_lengths_is_found_only_where_its_id_went() {
    let (request, reply) = pairs("snmp-netsnmp").swap_remove(0);
    // The same with 150 bytes more: both lengths before the id now take two bytes.
    let mut long = reply.clone();
    long.splice(1..2, [0x81, reply[1] + 150 + 1]);
    long.splice(15..16, [0x81, reply[14] + 150]);
    assert_eq!(long.len(), reply.len() + 2);
    long.extend([0; 150]);
    assert!(snmp(&request, &long));
    assert_eq!(transaction_id(17..21).judge(&request, &long), Match::Foreign);
    assert_eq!(transaction_id(17..21).found_at(19).judge(&request, &long), Match::Reply);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_datagram_makes_a_matcher_panic(
        datagram in proptest::collection::vec(any::<u8>(), 0..200),
        request in proptest::collection::vec(any::<u8>(), 0..60),
        starts in any::<prop::sample::Index>(),
        keep in any::<prop::sample::Index>(),
    ) {
        let replies: Vec<_> =
            ["dns-dnsmasq", "stun-coturn", "ntp-chrony"].into_iter().flat_map(pairs).map(|(_, reply)| reply).collect();
        let reply = starts.get(&replies);
        // The beginning of a real one, then anything.
        let mixed = [&reply[..keep.index(reply.len())], &datagram[..]].concat();
        for datagram in [&datagram, &mixed] {
            for rule in rules() {
                rule.matcher.judge(&request, datagram);
                rule.matcher.judge(datagram, &request);
            }
        }
    }
}

/// Calls with every request of every rule, and says which one failed.
fn each_request(mut test: impl FnMut(&Rule, &[u8], &[u8])) {
    for rule in rules() {
        for (number, (request, reply)) in pairs(rule.peer).iter().enumerate() {
            // Shown only if the test fails.
            println!("{}, exchange {number}", rule.name);
            test(&rule, request, reply);
        }
    }
}

/// RFC 1321; the captures prove it.
fn md5(message: &[u8]) -> [u8; 16] {
    const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    let mut padded = [message, &[0x80]].concat();
    padded.resize((padded.len() + 8).next_multiple_of(64) - 8, 0);
    padded.extend((message.len() as u64 * 8).to_le_bytes());
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in padded.chunks(64) {
        let word = |n: usize| u32::from_le_bytes(block[4 * n..4 * n + 4].try_into().unwrap());
        let [mut a, mut b, mut c, mut d] = state;
        for step in 0..64 {
            let (mixed, n) = match step / 16 {
                0 => (b & c | !b & d, step),
                1 => (d & b | !d & c, 5 * step + 1),
                2 => (b ^ c ^ d, 3 * step + 5),
                _ => (c ^ (b | !d), 7 * step),
            };
            let constant = (((step + 1) as f64).sin().abs() * 2_f64.powi(32)) as u32;
            let sum = a.wrapping_add(mixed).wrapping_add(constant).wrapping_add(word(n % 16));
            (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(SHIFTS[step / 16][step % 4])));
        }
        for (sum, word) in state.iter_mut().zip([a, b, c, d]) {
            *sum = sum.wrapping_add(word);
        }
    }
    let mut digest = [0; 16];
    for (four, word) in digest.chunks_mut(4).zip(state) {
        four.copy_from_slice(&word.to_le_bytes());
    }
    digest
}
