//! What the system will not send, and what it only hears of.

use udp_retry::size::{Plpmtu, Pmtu};
use udp_retry::transaction::{Failure, Next, Transaction, TransactionId, transaction_id};
use udp_retry::transport::{Fragmentation, PathError, PathIndex};
use udp_retry::{RetryPolicy, Seed};

use super::{Asking, BASE, LARGE, SMALL};
use crate::by_hand::{TRANSMIT, fail_twice, looked};
use crate::scripted::at_ms;

const BUILD: Next = Next::Build(PathIndex::FIRST, 1);

/// A request that is built as large as it may be, and what its builder was asked for last.
fn build(transaction: &mut Transaction<TransactionId>, len: usize) -> Option<Plpmtu> {
    let mut asked = None;
    transaction.build(|purpose, bytes| {
        asked = purpose.at_most;
        bytes.extend_from_slice(b"id 1");
        bytes.resize(len.min(asked.map_or(len, Plpmtu::bytes)), 0);
    });
    asked
}

fn start() -> Transaction<TransactionId> {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
    transaction.start_building(at_ms(0), Seed::new(0));
    transaction
}

fn too_big(limit: u16) -> PathError {
    PathError::too_big(Some(Plpmtu::new(limit)))
}

#[test]
fn a_builder_is_asked_for_what_the_system_would_send() {
    let mut asking = Asking::new(1);
    asking.net.interface_mtu(asking.hosts[0], Pmtu::new(1300)).unwrap();
    asking.requester.transport_mut().set_fragmentation(Fragmentation::Forbidden);
    let error = asking.request(LARGE).unwrap_err();
    assert!(matches!(error.failure(), Failure::TooLarge { len: 1472, .. }), "bytes that are given are what they are");
    for _ in 0..10 {
        let told = asking.build(LARGE);
        assert_eq!((told.transmissions, told.asked), (Some(1), vec![None, Some(Plpmtu::new(1272))]));
    }
    assert_eq!(asking.net.stats().sent, 20, "and no more");
}

#[test]
fn at_first_no_less_is_asked_for_than_what_gets_through_anyway() {
    for limit in [0, 40, 548, 1200] {
        let mut transaction = start();
        assert_eq!((transaction.next(at_ms(0)), build(&mut transaction, LARGE)), (BUILD, None));
        fail_twice(&mut transaction, at_ms(0), too_big(limit));
        assert_eq!((transaction.next(at_ms(0)), build(&mut transaction, LARGE)), (BUILD, BASE), "{limit}");
        assert_eq!((transaction.next(at_ms(0)), transaction.datagram().len()), (TRANSMIT, 1200));
        transaction.on_transmitted(at_ms(0));
        // For the rest of the request.
        assert_eq!(looked(&mut transaction, at_ms(100)), Next::Build(PathIndex::FIRST, 2));
        assert_eq!(build(&mut transaction, LARGE), BASE);
        transaction.start_building(at_ms(100), Seed::new(0));
        assert_eq!(build(&mut transaction, LARGE), None);
    }
    // If the system takes none of that either, it means it.
    let mut transaction = start();
    build(&mut transaction, LARGE);
    fail_twice(&mut transaction, at_ms(0), too_big(548));
    assert_eq!(build(&mut transaction, LARGE), BASE);
    fail_twice(&mut transaction, at_ms(0), too_big(548));
    assert_eq!((transaction.next(at_ms(0)), build(&mut transaction, LARGE)), (BUILD, Some(Plpmtu::new(548))));
}

#[test]
fn a_builder_that_has_nothing_smaller_ends_the_request() {
    for (len, first, limit) in [(1472, 1472, 1372), (1200, 1200, 1200), (100, 100, 548)] {
        let mut transaction = start();
        transaction.build(|_, bytes| bytes.resize(len, b'x'));
        fail_twice(&mut transaction, at_ms(0), too_big(limit));
        if first > usize::from(limit) {
            assert_eq!(transaction.next(at_ms(0)), BUILD);
            transaction.build(|_, bytes| bytes.resize(len, b'x'));
            fail_twice(&mut transaction, at_ms(0), too_big(limit));
        }
        let Next::Failed(Failure::TooLarge { len: of, limit: Some(told), .. }) = transaction.next(at_ms(0)) else {
            panic!("{len}: {:?}", transaction.next(at_ms(0)));
        };
        assert_eq!((of as usize, told.bytes()), (len, usize::from(limit)));
    }
    // However fast its requests shrink.
    let mut transaction = start();
    let mut len = 9000;
    let builds = (1..100).find(|_| {
        transaction.build(|_, bytes| bytes.resize(usize::from(len), b'x'));
        transaction.on_not_transmitted(at_ms(0), too_big(len - 10));
        transaction.on_not_transmitted(at_ms(0), too_big(len - 10));
        len -= 20;
        transaction.next(at_ms(0)) != BUILD
    });
    assert_eq!(builds, Some(5));
    assert!(matches!(transaction.next(at_ms(0)), Next::Failed(Failure::TooLarge { .. })));
}

#[test]
fn bytes_that_left_once_are_never_ended_and_others_are_asked_for_beside_them() {
    let mut transaction = start();
    build(&mut transaction, LARGE);
    transaction.on_transmitted(at_ms(0));
    assert_eq!(looked(&mut transaction, at_ms(100)), Next::Build(PathIndex::FIRST, 2));
    build(&mut transaction, LARGE);
    fail_twice(&mut transaction, at_ms(100), too_big(1372));
    assert_eq!(transaction.next(at_ms(100)), Next::Build(PathIndex::FIRST, 2));
    transaction.build(|purpose, bytes| {
        assert_eq!(purpose.at_most, Some(Plpmtu::new(1372)));
        bytes.extend_from_slice(b"id 1");
        bytes.resize(LARGE, 0);
    });
    fail_twice(&mut transaction, at_ms(100), too_big(1372));
    assert_eq!(transaction.next(at_ms(100)), Next::WaitUntil(at_ms(300)), "it has nothing smaller: the slot passes");
    assert_eq!(looked(&mut transaction, at_ms(300)), Next::Build(PathIndex::FIRST, 2));
    assert_eq!(build(&mut transaction, LARGE), Some(Plpmtu::new(1372)));
    transaction.on_transmitted(at_ms(300));
    transaction.on_datagram(at_ms(301), PathIndex::FIRST, b"id 1", 4);
    assert_eq!(transaction.next(at_ms(301)), Next::Done);
}

#[test]
fn reports_lower_nothing_be_they_forged_or_true() {
    let mut transaction = start();
    build(&mut transaction, LARGE);
    transaction.on_transmitted(at_ms(0));
    for limit in 0..2_000 {
        transaction.on_quoted_error(
            at_ms(1),
            Some(PathIndex::FIRST),
            too_big(limit % 600),
            transaction.datagram().to_vec().as_slice(),
        );
        transaction.on_path_error(at_ms(1), None, PathError::too_big(None));
    }
    transaction.on_time_up(at_ms(100));
    assert_eq!(transaction.next(at_ms(100)), Next::Build(PathIndex::FIRST, 2));
    assert_eq!(build(&mut transaction, LARGE), None);

    // And over a network whose kernels believe them.
    let mut asking = Asking::new(2);
    asking.net.interface_mtu(asking.hosts[0], Pmtu::new(1500)).unwrap();
    let server = "10.0.0.2:7".parse().unwrap();
    for mode in [Fragmentation::ByEstimate, Fragmentation::Probing, Fragmentation::Forbidden] {
        asking.requester.transport_mut().set_fragmentation(mode);
        for pmtu in [68, 552, 600, 1228] {
            assert_eq!(asking.request(SMALL).unwrap(), 1);
            let client = asking.requester.transport().local_addr().unwrap();
            asking.net.report(client, server, Pmtu::new(pmtu), &[0; 8]);
            let told = asking.build(1200);
            assert_eq!(told.transmissions, Some(1), "{mode:?} {pmtu}");
            let lowered = told.asked.iter().flatten().any(|it| it.bytes() < 1200);
            assert!(!lowered || mode == Fragmentation::Forbidden, "{mode:?} {pmtu}: {:?}", told.asked);
        }
    }
}
