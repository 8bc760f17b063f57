use udp_retry::policy::Backoff;
use udp_retry::transaction::{Failure, GiveUp, Hold, Match, Next, Transaction, matching};
use udp_retry::{RetryPolicy, transaction_id};

use super::{Asked, asked, in_order, ms, ordered, set};

#[test]
fn each_server_is_asked_once_in_each_slot_and_then_the_slot_waits() {
    let mut asked = asked(2);
    asked.start(b"id 1 ping");
    // Unknown servers have the floor, 250 ms; also again, as they never replied. The slot's 1 s counts from the latest.
    assert_eq!(asked.silence(3_000), [(0, 0), (250, 1), (1_250, 0), (1_500, 1)]);
    assert_eq!(asked.until_it_ends(), (7_750, Next::Failed(Failure::TimedOut(GiveUp::Unanswered))));
}

#[test]
fn one_server_of_a_set_has_the_schedule_of_the_policy() {
    let mut one = asked(1);
    one.start(b"id 1 ping");
    assert_eq!(one.silence(6_000), [(0, 0), (1_000, 0), (3_000, 0)]);
    assert_eq!(one.until_it_ends(), (7_000, Next::Failed(Failure::TimedOut(GiveUp::Unanswered))));
}

#[test]
fn a_second_server_is_asked_after_the_timeout_of_the_first_where_that_is_known() {
    let mut asked = asked(2);
    asked.answered_by(0, 200);
    let start = asked.at();
    asked.start(b"id 1 ping");
    // SRTT 200 ms, RTTVAR 100 ms.
    assert_eq!(asked.silence(start + 1_500), [(start, 0), (start + 600, 1)]);
}

#[test]
fn where_the_policy_is_quicker_than_the_floor_so_are_failovers() {
    let policy = RetryPolicy::new(Backoff::constant(ms(20)).unwrap()).with_max_transmissions(1).unwrap();
    let set = set(3, ordered().with_floor(ms(30)).unwrap());
    let mut asked = Asked::of(Transaction::new(policy, transaction_id(0..4)).with_servers(set));
    asked.start(b"id 1 ping");
    // The floor is the timeout of a server of which nothing is known.
    assert_eq!(asked.silence(1_000), [(0, 0), (30, 1), (60, 2)]);
}

#[test]
fn a_reply_of_any_server_that_was_asked_counts_until_the_end() {
    for (replies, late) in [(1, 260), (0, 260), (0, 1_100), (1, 7_700)] {
        let mut asked = asked(2);
        asked.start(b"id 1 ping");
        asked.silence(late);
        assert_eq!(asked.receive(replies, b"id 1 pong"), Match::Reply, "path {replies} at {late}");
        assert_eq!((asked.obey(), asked.transaction.reply_path().number()), (Next::Done, replies));
    }
}

#[test]
fn a_reply_from_a_path_that_was_not_asked_is_a_stray() {
    let mut asked = asked(3);
    asked.start(b"id 1 ping");
    asked.silence(100);
    for path in [1, 2, 3, u32::MAX] {
        assert_eq!(asked.receive(path, b"id 1 pong"), Match::Foreign);
    }
    assert_eq!((asked.transaction.strays().foreign, asked.silence(249)), (4, &[(0, 0)][..]));
}

#[test]
fn a_server_that_works_on_the_request_is_left_for_no_other() {
    let matcher = matching(|_: &[u8], datagram: &[u8]| match datagram {
        b"soon" => Match::Provisional(Hold::Slow),
        _ => Match::Reply,
    });
    let mut asked = Asked::of(in_order(3, matcher));
    asked.start(b"ping");
    asked.silence(300);
    assert_eq!(asked.receive(1, b"soon"), Match::Provisional(Hold::Slow));
    // The longest interval of the policy, after what was due.
    let sent = asked.silence(170_000);
    assert_eq!(sent[..2], [(0, 0), (250, 1)]);
    assert!(sent[2..].iter().all(|&(_, path)| path == 1), "{sent:?}");
    assert_eq!(asked.receive(1, b"done"), Match::Reply);
}
