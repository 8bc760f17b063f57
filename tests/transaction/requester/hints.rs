//! What a failure is often due to, said only where nothing received speaks against it.

use std::net::SocketAddr;

use udp_retry::transaction::{Failure, GiveUp, Hold, Match, RequestError, matching};
use udp_retry::transport::PathError;
use udp_retry::{ReliableRequester, RetryPolicy, transaction_id};

use super::PING;
use crate::scripted::{Back, START, Scripted, ms, reply};

#[test]
fn silence_hints_at_replies_that_a_connected_socket_does_not_show() {
    let error = asking("192.0.2.7:69", Scripted::new(|_| vec![]));
    let hint = error.hint().unwrap();
    assert_eq!(error.to_string(), format!("192.0.2.7:69: no reply (5 transmissions, 3100.0 ms): {hint}"));
    assert!(hint.contains("another address or port"), "{hint}");
    // Where no one knows who was asked, no one knows how, either.
    let mut unnamed = ReliableRequester::builder(transaction_id(0..4)).over(Scripted::new(|_| vec![])).unwrap();
    assert_eq!(unnamed.request(PING).unwrap_err().hint(), None);
}

#[test]
fn silence_of_a_group_hints_at_the_addresses_of_those_that_answer() {
    for group in ["224.0.0.251:5353", "255.255.255.255:67", "[ff02::fb]:5353", "[::ffff:239.0.0.1]:9"] {
        let hint = asking(group, Scripted::new(|_| vec![])).hint().unwrap();
        assert!(hint.contains("multicast or broadcast"), "{group}: {hint}");
    }
    for host in ["192.0.2.255:9", "[fe80::1]:9", "0.0.0.0:9"] {
        let hint = asking(host, Scripted::new(|_| vec![])).hint().unwrap();
        assert!(!hint.contains("multicast"), "{host}: {hint}");
    }
}

#[test]
fn a_sign_of_life_or_another_cause_takes_the_hint_away() {
    let stray = Scripted::new(|_| vec![reply(ms(1), b"stray")]);
    let provisional = Scripted::new(|_| vec![reply(ms(1), b"soon")]);
    let error = Scripted::new(|_| vec![(ms(1), Back::Error(PathError::NoBuffers))]);
    for (world, what) in [(stray, "stray"), (provisional, "provisional"), (error, "error")] {
        let failed = asking("192.0.2.7:69", world);
        assert!(failed.is_timeout(), "{what}: {failed}");
        assert_eq!(failed.hint(), None, "{what}");
    }
    let refused = Scripted::new(|_| vec![(ms(1), Back::Error(PathError::Refused))]);
    let cancelled = Scripted::new(|_| vec![]).cancelled_at(START.after(ms(5)));
    let mut unsent = Scripted::new(|_| vec![]);
    unsent.fail_sends(u32::MAX, PathError::Denied);
    for (world, failure) in
        [(refused, Failure::Refused), (cancelled, Failure::Cancelled), (unsent, Failure::Local(PathError::Denied))]
    {
        let failed = asking("192.0.2.7:69", world);
        assert_eq!((failed.failure(), failed.hint()), (failure, None));
    }
    assert_eq!(asking("192.0.2.7:69", Scripted::new(|_| vec![])).failure(), Failure::TimedOut(GiveUp::Unanswered));
}

fn asking(peer: &str, world: Scripted) -> RequestError {
    let soon = |_: &[u8], datagram: &[u8]| match datagram {
        b"soon" => Match::Provisional(Hold::Slow),
        _ => Match::Foreign,
    };
    let peer: SocketAddr = peer.parse().unwrap();
    let builder = ReliableRequester::builder(matching(soon)).policy(RetryPolicy::LAN).deadline(ms(10_000)).peer(peer);
    builder.over(world).unwrap().request(PING).unwrap_err()
}
