//! What is said of the paths afterwards.

use udp_retry::transaction::{Failure, GiveUp, Match, Next};
use udp_retry::transport::PathError;

use super::{Asked, asked, in_order, undying};
use udp_retry::transaction_id;

#[test]
fn an_error_says_what_each_path_has_shown_that_was_asked() {
    let mut asked = Asked::of(undying(4, transaction_id(0..4)));
    asked.start(b"id 1 ping");
    asked.silence(600);
    asked.refuse(1);
    let (_, end) = asked.until_it_ends();
    let Next::Failed(failure) = end else { panic!("{end:?}") };
    let error = asked.transaction.error(failure, asked.now);
    let shown: Vec<_> = error.paths().iter().map(|it| (it.path.number(), it.transmissions, it.last_error)).collect();
    let per_path = asked.sent.len() as u32 / 4;
    assert_eq!(
        shown,
        [(0, per_path, None), (1, per_path, Some(PathError::Refused)), (2, per_path, None), (3, per_path, None)]
    );
    assert!(error.paths().iter().all(|path| !path.answered));
    assert_eq!(error.transmissions(), shown.iter().map(|(_, count, _)| count).sum::<u32>());
}

#[test]
fn a_path_that_answered_too_much_is_shown_as_answered_and_one_not_asked_not_at_all() {
    let mut asked = asked(3);
    asked.start(b"id 1 ping");
    asked.silence(300);
    let reply = b"id 1 pong";
    let path = udp_retry::transport::PathIndex::new(1);
    assert_eq!(asked.transaction.on_datagram(asked.now, path, reply, 1_000), Match::Reply);
    let Next::Failed(failure) = asked.obey() else { panic!() };
    let error = asked.transaction.error(failure, asked.now);
    let shown: Vec<_> = error.paths().iter().map(|it| (it.path.number(), it.answered)).collect();
    assert_eq!(shown, [(0, false), (1, true)]);
}

#[test]
fn an_error_of_one_path_has_one() {
    let mut one = Asked::of(udp_retry::transaction::Transaction::new(super::policy(), transaction_id(0..4)));
    one.start(b"id 1 ping");
    assert_eq!(one.until_it_ends().1, Next::Failed(Failure::TimedOut(GiveUp::Unanswered)));
    let error = one.transaction.error(Failure::Cancelled, one.now);
    let [path] = error.paths() else { panic!("{:?}", error.paths()) };
    assert_eq!((path.path.number(), path.transmissions, path.answered), (0, 3, false));
}

#[test]
fn the_picture_names_the_paths() {
    let mut asked = Asked::of(in_order(2, transaction_id(0..4)));
    asked.start(b"id 1 ping");
    asked.silence(100);
    asked.refuse(0);
    asked.silence(130);
    assert_eq!(asked.receive(1, b"id 1 pong"), Match::Reply);
    let drawn = asked.transaction.timeline().to_string();
    let lines: Vec<_> = drawn.lines().skip(1).map(str::trim_start).collect();
    assert_eq!(
        lines,
        [
            "0.0 ms  --> transmission 1, path 0",
            "100.0 ms  <-! connection refused: nobody listens there, path 0",
            "100.0 ms  --> transmission 2, path 1",
            "130.0 ms  <-- reply, path 1",
        ]
    );
}

#[test]
fn an_error_of_no_known_path_is_that_of_the_request_it_quotes() {
    let mut asked = asked(2);
    asked.transaction.start_building(asked.now, udp_retry::Seed::new(1));
    asked.count = 1;
    for id in [&b"id 1 to the first"[..], b"id 2 to the second"] {
        while let Next::WaitUntil(until) = asked.transaction.next(asked.now) {
            asked.now = asked.now.max(until);
            asked.transaction.on_time_up(asked.now);
        }
        asked.transaction.build(|_, bytes| bytes.extend_from_slice(id));
        asked.obey();
    }
    for (quoted, refused) in [(&b"id 2 to"[..], Some(1)), (b"id 1 to", Some(0)), (b"id 9", None), (b"id", None)] {
        let mut asked = asked.transaction.clone();
        asked.on_quoted_error(super::at_ms(300), None, PathError::Refused, quoted);
        let error = asked.error(Failure::Cancelled, super::at_ms(300));
        let paths: Vec<_> =
            error.paths().iter().filter(|it| it.last_error.is_some()).map(|it| it.path.number()).collect();
        assert_eq!(paths, refused.into_iter().collect::<Vec<u32>>(), "{quoted:?}");
    }
}
