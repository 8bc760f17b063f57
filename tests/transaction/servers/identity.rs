//! Ids, ports and bytes, of each path by itself.

use udp_retry::entropy::IdSource;
use udp_retry::transaction::{Match, Next, ReplyMatcher, any_reply};
use udp_retry::transport::{PathError, PathIndex, Renewal, Renewed};
use udp_retry::{Seed, transaction_id};

use super::{Asked, at_ms, in_order, undying};

#[test]
fn each_path_has_an_id_of_its_own_and_the_same_again() {
    for width in [1, 2, 4] {
        let matcher = transaction_id(0..width).stamped();
        let mut asked = Asked::of(undying(3, matcher).with_ids(IdSource::from_seed(Seed::new(1))));
        for _ in 0..40 {
            asked.start(b"\0\0\0\0 ping");
            let mut ids: Vec<Vec<u8>> = Vec::new();
            while ids.len() < 9 {
                match asked.transaction.next(asked.now) {
                    Next::Transmit(path) => {
                        assert_eq!(path.number() as usize, ids.len() % 3);
                        ids.push(asked.transaction.datagram()[..width].to_vec());
                        asked.transaction.on_transmitted(asked.now);
                    }
                    Next::Renew(path, _) => asked.transaction.on_renewed(asked.now, path, Ok(Renewed::FreshPort)),
                    Next::WaitUntil(until) => {
                        asked.now = asked.now.max(until);
                        asked.transaction.on_time_up(asked.now);
                    }
                    end => panic!("{end:?}"),
                }
            }
            let (first, again) = ids.split_at(3);
            assert_eq!((first, first), (&again[..3], &again[3..]));
            assert!(first[0] != first[1] && first[1] != first[2] && first[0] != first[2], "{first:?}");
            // A reply counts with the id of its own path only.
            for (path, id) in [(0, &first[1]), (1, &first[2]), (2, &first[0])] {
                assert_eq!(asked.receive(path, id), Match::Foreign);
            }
            assert_eq!(asked.receive(1, &first[1]), Match::Reply);
            assert_eq!(asked.obey(), Next::Done);
        }
    }
}

#[test]
fn without_ids_each_path_leaves_from_a_fresh_port_before_it_is_asked_first() {
    let mut asked = Asked::of(in_order(2, any_reply()));
    for _ in 0..3 {
        asked.start(b"ping");
        let begun = asked.at();
        assert_eq!(renewals(&mut asked, begun + 2_000), [(0, Renewal::Required), (1, Renewal::Required)]);
        assert_eq!(asked.receive(0, b"pong"), Match::Reply);
        assert_eq!(asked.obey(), Next::Done);
    }
}

#[test]
fn a_path_is_renewed_after_a_request_that_asked_it_in_vain_and_no_other() {
    let mut asked = Asked::of(in_order(3, transaction_id(0..4)));
    asked.start(b"id 1 ping");
    asked.silence(300);
    asked.transaction.on_cancelled();
    asked.obey();
    asked.start(b"id 2 ping");
    assert_eq!(renewals(&mut asked, 1_400), [(0, Renewal::Advised), (1, Renewal::Advised)]);
    // The third has been asked by now; that another one answered is no reason to leave its port.
    assert!(asked.sent.iter().any(|&(_, path)| path == 2), "{:?}", asked.sent);
    assert_eq!(asked.receive(2, b"id 2 pong"), Match::Reply);
    asked.obey();
    asked.start(b"id 3 ping");
    assert_eq!(renewals(&mut asked, 3_500), []);
}

#[test]
fn a_path_is_renewed_when_its_server_is_taken_for_dead() {
    let mut asked = Asked::of(in_order(2, transaction_id(0..4)));
    for n in 0..3 {
        asked.start(format!("id {n} ping").as_bytes());
        asked.obey();
        asked.refuse(0);
        asked.obey();
        assert_eq!(asked.receive(1, format!("id {n} pong").as_bytes()), Match::Reply);
        asked.obey();
    }
    assert!(asked.is_dead(0));
    asked.start(b"id 9 ping");
    let start = asked.at();
    assert_eq!(renewals(&mut asked, start + 2_000), [(0, Renewal::Advised)], "before the probe");
    assert_eq!(asked.sent[..3], [(start, 1), (start + 1_000, 1), (start + 1_000, 0)]);
}

#[test]
fn a_path_is_renewed_for_the_first_probe_of_a_request_and_for_no_later_one() {
    let mut asked = Asked::of(in_order(2, any_reply()));
    asked.kill_all(2);
    asked.start(b"ping");
    let begun = asked.at();
    let mut renewed = renewals(&mut asked, begun + 6_000);
    renewed.sort_by_key(|&(path, _)| path);
    assert!(asked.sent.len() > 6, "{:?}", asked.sent);
    assert_eq!(renewed, [(0, Renewal::Required), (1, Renewal::Required)]);
}

#[test]
fn where_a_port_cannot_change_another_path_is_asked() {
    let mut asked = Asked::of(in_order(2, any_reply()));
    asked.start(b"ping");
    let (first, second) = (PathIndex::FIRST, PathIndex::new(1));
    assert_eq!(asked.transaction.next(asked.now), Next::Renew(first, Renewal::Required));
    asked.transaction.on_renewed(asked.now, first, Err(PathError::Unsupported));
    asked.transaction.on_time_up(asked.now);
    assert_eq!(asked.transaction.next(asked.now), Next::Renew(second, Renewal::Required));
    asked.transaction.on_renewed(asked.now, second, Ok(Renewed::SamePort));
    asked.transaction.on_time_up(asked.now);
    assert_eq!(asked.transaction.next(asked.now), Next::Failed(udp_retry::transaction::Failure::NoFreshPort));
}

#[test]
fn a_builder_is_asked_for_each_path_and_its_latest_requests_are_kept_for_each() {
    let mut asked = Asked::of(in_order(2, transaction_id(0..4)));
    asked.transaction.start_building(asked.now, Seed::new(1));
    let mut built = Vec::new();
    while built.len() < 6 {
        match asked.transaction.next(asked.now) {
            Next::Build(path, number) => {
                built.push((path.number(), number));
                asked.transaction.build(|it, bytes| {
                    assert_eq!((it.path, it.transmission), (path, number));
                    bytes.extend_from_slice(format!("id {number}").as_bytes());
                });
            }
            Next::Transmit(_) => asked.transaction.on_transmitted(asked.now),
            Next::WaitUntil(until) => {
                asked.now = asked.now.max(until);
                asked.transaction.on_time_up(asked.now);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(built, [(0, 1), (1, 2), (0, 3), (1, 4), (0, 5), (1, 6)]);
    asked.obey();
    for (path, id) in [(1, b"id 1"), (0, b"id 2"), (1, b"id 5")] {
        assert_eq!(asked.receive(path, id), Match::Foreign, "it was sent on the other path");
    }
    let since = asked.now.since(at_ms(0));
    assert_eq!(asked.receive(0, b"id 1"), Match::Reply);
    assert_eq!(asked.transaction.round_trip(), Some(since));
}

/// Which paths are to be renewed while nothing comes until then.
fn renewals<M: ReplyMatcher>(asked: &mut Asked<M>, until: u64) -> Vec<(u32, Renewal)> {
    let mut renewals = Vec::new();
    loop {
        match asked.transaction.next(asked.now) {
            Next::Renew(path, need) => {
                renewals.push((path.number(), need));
                asked.transaction.on_renewed(asked.now, path, Ok(Renewed::FreshPort));
            }
            Next::Transmit(path) => {
                asked.transaction.on_transmitted(asked.now);
                asked.sent.push((asked.at(), path.number()));
            }
            Next::WaitUntil(wake) if wake <= at_ms(until) => {
                asked.now = asked.now.max(wake);
                asked.transaction.on_time_up(asked.now);
            }
            _ => return renewals,
        }
    }
}
