//! What a reply is a measurement of.

use udp_retry::transaction::{Match, Next};

use super::{asked, ms};

#[test]
fn a_round_trip_is_that_of_the_path_which_was_asked_once() {
    let mut asked = asked(2);
    asked.start(b"id 1 ping");
    asked.silence(300);
    assert_eq!(asked.receive(1, b"id 1 pong"), Match::Reply);
    assert_eq!((asked.obey(), asked.transaction.round_trip()), (Next::Done, Some(ms(50))));

    // The other one, late: its only transmission was 600 ms ago.
    asked.start(b"id 2 ping");
    assert_eq!(asked.silence(900), [(300, 0), (550, 1)]);
    assert_eq!(asked.receive(0, b"id 2 pong"), Match::Reply);
    assert_eq!((asked.obey(), asked.transaction.round_trip()), (Next::Done, Some(ms(600))));
}

#[test]
fn no_round_trip_is_taken_from_a_path_that_was_asked_twice() {
    let mut asked = asked(2);
    asked.start(b"id 1 ping");
    assert_eq!(asked.silence(1_300), [(0, 0), (250, 1), (1_250, 0)]);
    assert_eq!(asked.receive(0, b"id 1 pong"), Match::Reply);
    assert_eq!((asked.obey(), asked.transaction.round_trip()), (Next::Done, None));
}
