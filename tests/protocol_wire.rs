//! The wire formats of the examples `dns_lookup`, `ntp_time` and `stun_address`, as they stand there, against datagrams
//! that servers really sent: what each takes for a reply, and what it reads in it.
//!
//! All nine protocols of the captures, with matchers written for them: `tests/transaction/wire_captures.rs`.
#![expect(clippy::duplicate_mod, reason = "each example brings what the examples share")]
#![expect(clippy::disallowed_methods, reason = "a moment to count from")]

#[path = "common/captures.rs"]
mod captures;
#[expect(dead_code, reason = "an example's `main` is for people")]
#[path = "../examples/dns_lookup.rs"]
mod dns_lookup;
#[expect(dead_code, reason = "an example's `main` is for people")]
#[path = "../examples/ntp_time.rs"]
mod ntp_time;
#[expect(dead_code, reason = "an example's `main` is for people")]
#[path = "../examples/stun_address.rs"]
mod stun_address;

use std::ops::Range;
use std::time::{Duration, Instant};

use captures::pairs;
use proptest::prelude::*;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Identity, Match, Matching, Next, ReplyMatcher, Transaction, matching};
use udp_retry::transport::PathIndex;
use udp_retry::{RetryPolicy, Seed, transaction_id};

type Judge = fn(&[u8], &[u8]) -> bool;

/// An example's matcher, and what of a reply it goes by.
struct Rule {
    name: &'static str,
    peer: &'static str,
    matcher: Matching<Judge>,
    id: Range<usize>,
}

fn rules() -> [Rule; 3] {
    let rule = |name, peer, judge: fn(&[u8], &[u8]) -> bool, id| Rule { name, peer, matcher: matching(judge), id };
    [
        rule("DNS", "dns-dnsmasq", dns_lookup::answers, 0..2),
        rule("STUN", "stun-coturn", stun_address::answers, 4..20),
        rule("NTP", "ntp-chrony", ntp_time::answers, 24..32),
    ]
}

#[test]
fn the_captured_reply_answers_the_captured_request() {
    each_request(|rule, request, reply| {
        assert_eq!(rule.matcher.identity(request), Identity::Content);
        assert_eq!(rule.matcher.judge(request, reply), Match::Reply);
    });
}

#[test]
fn the_reply_to_another_request_does_not() {
    let mut compared = 0;
    each_request(|rule, request, reply| {
        for (_, other) in pairs(rule.peer) {
            if other[rule.id.clone()] != reply[rule.id.clone()] {
                assert_eq!(rule.matcher.judge(request, &other), Match::Foreign, "{other:02x?}");
                compared += 1;
            }
        }
    });
    assert!(compared > 110, "{compared}");
}

#[test]
fn a_reply_with_any_bit_of_its_id_flipped_does_not() {
    each_request(|rule, request, reply| {
        for bit in rule.id.clone().flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
            let mut damaged = reply.to_vec();
            damaged[bit.0] ^= 1 << bit.1;
            assert_eq!(rule.matcher.judge(request, &damaged), Match::Foreign, "{bit:?}");
        }
    });
}

#[test]
fn a_reply_cut_within_its_id_does_not_nor_does_an_empty_datagram() {
    each_request(|rule, request, reply| {
        for length in 0..rule.id.end {
            assert_eq!(rule.matcher.judge(request, &reply[..length]), Match::Foreign, "{length}");
        }
    });
}

/// What is cut behind the id would answer nothing: the examples wait for a whole one.
#[test]
fn the_examples_take_no_reply_that_is_cut_anywhere() {
    each_request(|rule, request, reply| {
        let needed = match rule.name {
            // Behind the answers comes what they do without.
            "DNS" if reply[8..12] != [0; 4] => return,
            "NTP" => 48,
            _ => reply.len(),
        };
        for length in 0..needed {
            assert_eq!(rule.matcher.judge(request, &reply[..length]), Match::Foreign, "{length}");
        }
    });
}

/// A server may echo them to anybody who forges a source address (and one's own datagram is no reply).
#[test]
fn the_examples_do_not_take_their_own_request_for_a_reply() {
    each_request(|rule, request, _| assert_eq!(rule.matcher.judge(request, request), Match::Foreign));
}

#[test]
fn a_dns_reply_to_another_question_does_not_answer_whatever_its_id() {
    let (a, txt) = (pairs("dns-dnsmasq").swap_remove(0), pairs("dns-dnsmasq").swap_remove(2));
    let mut other = txt.1.clone();
    other[..2].copy_from_slice(&a.0[..2]);
    assert!(transaction_id(0..2).judge(&a.0, &other) == Match::Reply, "the id alone cannot tell");
    assert!(!dns_lookup::answers(&a.0, &other));

    // Every bit of the question, but those that make a letter large or small.
    let question = 12..a.0.len();
    for (at, bit) in question.flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut damaged = a.1.clone();
        damaged[at] ^= 1 << bit;
        let same = bit == 5 && a.1[at].is_ascii_alphabetic();
        assert_eq!(dns_lookup::answers(&a.0, &damaged), same, "bit {bit} of byte {at}");
    }
}

#[test]
fn strays_before_the_captured_reply_change_nothing() {
    each_request(|rule, request, reply| {
        let mut transaction = Transaction::new(RetryPolicy::LAN, rule.matcher);
        let now = Timestamp::ZERO;
        transaction.start(request, now, Seed::new(1));
        assert_eq!(transaction.next(now), Next::Transmit(PathIndex::FIRST));
        transaction.on_transmitted(now);
        let mut damaged = reply.to_vec();
        damaged[rule.id.start] ^= 1;
        for stray in [&[][..], &damaged, &reply[..rule.id.end - 1]] {
            assert_eq!(transaction.on_datagram(now, PathIndex::FIRST, stray, stray.len()), Match::Foreign);
            assert_eq!(transaction.next(now), Next::WaitUntil(now.after(Duration::from_millis(100))));
        }
        assert_eq!(transaction.on_datagram(now, PathIndex::FIRST, reply, reply.len()), Match::Reply);
        assert_eq!(transaction.next(now), Next::Done);
    });
}

#[test]
fn the_examples_read_what_the_servers_said() {
    let (_, reply) = pairs("dns-dnsmasq").swap_remove(0);
    let answer = format!("{:?}", dns_lookup::decode(&reply).unwrap());
    for fact in ["rcode: 0", "truncated: false", "owner: \"a.example.test.\"", "Address(192.0.2.7)"] {
        assert!(answer.contains(fact), "{answer}");
    }
    for (_, reply) in pairs("stun-coturn") {
        // Coturn says it both ways; the plain one is the second attribute.
        let port = u16::from_be_bytes([reply[38], reply[39]]);
        let answer = stun_address::decode(&reply).unwrap();
        assert_eq!(format!("{answer:?}"), format!("Address(127.0.0.1:{port})"));
    }
    for (request, reply) in pairs("ntp-chrony") {
        let answer = format!("{:?}", ntp_time::decode(&reply).unwrap());
        assert!(answer.contains("Usable") && answer.contains("stratum: 5"), "{answer}");
        assert!(answer.contains(&format!("origin: {:?}", &request[40..48])), "{answer}");
    }
}

/// A clock that runs while it is set reads a time of its own before and after; measured with the one that no one sets, it
/// shows by how far it is off now.
#[test]
fn a_clock_that_was_set_while_a_request_was_under_way_shows_what_it_is_off_now() {
    let read = Instant::now();
    let back = read - Duration::from_micros(3);
    let there = back - Duration::from_millis(500);
    let server = ntp_time::ntp_now();
    for seconds in [-60_i64, 60, 0, 1 << 30, -(1 << 30)] {
        // The server held it for 400 ms, 50 ms from here.
        let host = server.wrapping_add_signed(seconds << 32);
        let answer = ntp_answer(server.wrapping_sub(MS * 450), server.wrapping_sub(MS * 50));
        let measured = ntp_time::Clock::stopped(host, read).measure(there, back, &answer).unwrap();
        let (offset, delay) = (measured.offset as f64 / (1_u64 << 32) as f64, measured.delay as f64 / MS as f64);
        assert!((offset + seconds as f64).abs() < 1e-3, "{seconds}: {measured:?}");
        assert!((delay - 100.0).abs() < 1e-3, "{seconds}: {measured:?}");
    }
}

/// Half a cycle of 136 years is as far as two clocks can be apart.
#[test]
fn times_half_an_era_away_are_not_taken_for_now() {
    let (read, server) = (Instant::now(), ntp_time::ntp_now());
    for around in [-(1 << 28), -1, 0, 1, 1 << 28] {
        let far = server.wrapping_add(1 << 63).wrapping_add_signed(around);
        let (there, clock) = (read - Duration::from_millis(1), ntp_time::Clock::stopped(server, read));
        let measured = clock.measure(there, read, &ntp_answer(far, far)).unwrap();
        assert!(measured.offset.unsigned_abs() >> 32 > 2_147_000_000, "{measured:?}");
    }
}

fn ntp_answer(received: u64, transmitted: u64) -> ntp_time::Answer {
    let head = [&[0x24, 2, 6, 0xe9][..], &[0; 28]].concat();
    ntp_time::decode(&[&head[..], &received.to_be_bytes(), &transmitted.to_be_bytes()].concat()).unwrap()
}

/// Of an NTP timestamp.
const MS: u64 = (1 << 32) / 1000;

#[test]
fn the_name_servers_are_read_however_their_file_is_written() {
    for (text, expected) in [
        ("nameserver\t127.0.0.1\n", &["127.0.0.1"][..]),
        ("nameserver \t  127.0.0.1  \t", &["127.0.0.1"]),
        ("  nameserver 127.0.0.1\r\n", &["127.0.0.1"]),
        ("nameserver 127.0.0.1 # by NetworkManager\n", &["127.0.0.1"]),
        ("nameserver 127.0.0.1;comment\nnameserver 192.0.2.1#comment", &["127.0.0.1", "192.0.2.1"]),
        ("# nameserver 192.0.2.1\n; nameserver 192.0.2.2\n#nameserver 192.0.2.3\nnameserver ::1", &["::1"]),
        ("nameserver fe80::1%eth0\nnameserver 2001:db8::1\n", &["fe80::1%eth0", "2001:db8::1"]),
        ("search x\nnameserver 192.0.2.1\noptions timeout:1\nnameserver 192.0.2.2\n", &["192.0.2.1", "192.0.2.2"]),
        // The system takes three.
        (
            "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4",
            &["192.0.2.1", "192.0.2.2", "192.0.2.3"],
        ),
        // What is no address hides no other.
        ("nameserver\nnameserver dns.test\nnameserver 192.0.2.1:53\nnameserver 192.0.2.2", &["192.0.2.2"]),
        ("nameserver fe80::1%\nnameserver 192.0.2.1%eth0\nnameserver ::g", &[]),
        ("nameservers 192.0.2.1\nnameserver:192.0.2.1\nmy nameserver 192.0.2.1\nNameserver 192.0.2.1", &[]),
        ("", &[]),
    ] {
        assert_eq!(dns_lookup::resolv_conf::nameservers(text), expected, "{text:?}");
    }
}

/// As many aliases as a datagram holds, each to the next, and in a circle.
#[test]
fn chains_of_aliases_end() {
    let name = |n: usize| [&[6][..], format!("a{n:05}").as_bytes(), &[0]].concat();
    for links in [1, 31, 3_000] {
        let header = [0, 7, 0x80, 0, 0, 1, (links >> 8) as u8, links as u8, 0, 0, 0, 0];
        let mut datagram = [&header[..], &name(0), &[0, 1, 0, 1]].concat();
        for n in 0..links {
            datagram.extend([&name(n)[..], &[0, 5, 0, 1, 0, 0, 0, 9, 0, 8], &name((n + 1) % links)].concat());
        }
        let answer = dns_lookup::decode(&datagram).unwrap();
        assert_eq!(answer.of("A00000.", 1).len(), (links - 1).min(32), "{links}");
    }
}

/// Day after day, as a calendar is read.
#[test]
fn the_time_is_told_right_on_every_day_from_1970_to_2106() {
    let mut time = 2_208_988_800_u64 << 32 | 1 << 31;
    for year in 1970..2106_u32 {
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        for (month, days) in (1..).zip([31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
            for day in 1..=days {
                assert_eq!(ntp_time::utc(time), format!("{year}-{month:02}-{day:02}T00:00:00.500000Z"));
                let evening = time.wrapping_add((86_399 << 32) + 12_885); // 3 µs later, too
                assert_eq!(ntp_time::utc(evening), format!("{year}-{month:02}-{day:02}T23:59:59.500003Z"));
                // Seconds since 1900 begin anew in 2036.
                time = time.wrapping_add(86_400 << 32);
            }
        }
    }
}

/// Every reply that the examples could get, to be damaged.
fn replies() -> Vec<Vec<u8>> {
    ["dns-dnsmasq", "stun-coturn", "ntp-chrony"].into_iter().flat_map(pairs).map(|(_, reply)| reply).collect()
}

#[test]
fn no_byte_of_any_reply_makes_a_decoder_panic() {
    for reply in replies() {
        for at in 0..reply.len() {
            for byte in 0..=255 {
                let mut damaged = reply.clone();
                damaged[at] = byte;
                decode(&damaged);
            }
        }
    }
}

/// Every pair of bytes of the answer section as a pointer, to every place there is.
#[test]
fn every_compression_pointer_ends() {
    let (_, reply) = pairs("dns-dnsmasq").swap_remove(0);
    for at in 12..reply.len() - 1 {
        for target in 0..reply.len() as u16 + 2 {
            let mut damaged = reply.clone();
            damaged[at..at + 2].copy_from_slice(&(0xc000 | target).to_be_bytes());
            if let Some(answer) = dns_lookup::decode(&damaged) {
                assert!(format!("{answer:?}").len() < 4_000, "{answer:?}");
            }
        }
    }
}

/// Pointers into pointers, each to the one before it: as long as a chain can be.
#[test]
fn a_name_is_never_longer_than_255_bytes_however_it_is_pieced_together() {
    let header = [0, 7, 0x80, 0, 0, 1, 0, 1, 0, 0, 0, 0];
    // A first label, then labels of 9 letters of which each points to the one before.
    let chain = |links: usize| {
        let mut datagram = [&header[..], b"\x09question0\0", &[0, 1, 0, 1]].concat();
        let mut target = 12_u16;
        let record = |owner: &[u8], data: &[u8]| {
            [owner, &[0, 16, 0, 1, 0, 0, 0, 9], &(data.len() as u16).to_be_bytes(), data].concat()
        };
        let mut data = Vec::new();
        // Behind the question and the head of the record whose owner is the root.
        let start = datagram.len() + 11;
        for _ in 0..links {
            let here = (start + data.len()) as u16;
            data.extend(b"\x09ninebytes");
            data.extend((0xc000 | target).to_be_bytes());
            target = here;
        }
        datagram.extend(record(&[0], &data));
        datagram.extend(record(&(0xc000 | target).to_be_bytes(), &[]));
        datagram[7] = 2;
        datagram
    };
    // 10 bytes for each label and 1 for the end.
    assert!(dns_lookup::decode(&chain(24)).is_some());
    assert!(dns_lookup::decode(&chain(25)).is_none());
    assert!(dns_lookup::decode(&chain(700)).is_none());
}

fn decode(datagram: &[u8]) -> [bool; 3] {
    [
        dns_lookup::decode(datagram).is_some(),
        stun_address::decode(datagram).is_some(),
        ntp_time::decode(datagram).is_some(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_datagram_makes_a_decoder_or_a_matcher_panic(
        datagram in proptest::collection::vec(any::<u8>(), 0..200),
        request in proptest::collection::vec(any::<u8>(), 0..60),
        starts in any::<prop::sample::Index>(),
        keep in any::<prop::sample::Index>(),
    ) {
        let replies = replies();
        let reply = starts.get(&replies);
        // The beginning of a real one, then anything.
        let mixed = [&reply[..keep.index(reply.len())], &datagram[..]].concat();
        for datagram in [&datagram, &mixed] {
            decode(datagram);
            for rule in rules() {
                rule.matcher.judge(&request, datagram);
                rule.matcher.judge(datagram, &request);
            }
        }
    }
}

/// Calls with every request of every example, and says which one failed.
fn each_request(mut test: impl FnMut(&Rule, &[u8], &[u8])) {
    for rule in rules() {
        for (number, (request, reply)) in pairs(rule.peer).iter().enumerate() {
            // Shown only if the test fails.
            println!("{}, exchange {number}", rule.name);
            test(&rule, request, reply);
        }
    }
}
