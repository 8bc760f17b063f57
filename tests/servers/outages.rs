//! Servers that die, are probed, and come back.

use udp_retry::servers::{Choice, Health, Paths, Sent, ServerSettings, Spread};
use udp_retry::transport::PathError;

use crate::common::{Servers, at, ms};

#[test]
fn three_expiries_in_a_row_are_the_death_of_a_server() {
    let mut servers = Servers::new(2, ServerSettings::new());
    servers.answered(0, ms(40));
    for expiries in 1..=2 {
        servers.expired(0, ms(250));
        assert!(matches!(servers.health(0), Health::Suspect { expiries: it, .. } if it == expiries));
    }
    servers.answered(0, ms(40));
    assert!(matches!(servers.health(0), Health::Good { .. }), "a reply is the end of all suspicion");
    for _ in 0..3 {
        assert!(!servers.is_dead(0));
        servers.expired(0, ms(250));
    }
    assert!(servers.is_dead(0) && !servers.set.is_all_dead());
    assert_eq!((0..100).filter_map(|_| servers.choose()).sum::<u32>(), 100, "no request goes to the dead one");
}

#[test]
fn however_many_are_in_flight_what_expires_within_one_timeout_counts_once() {
    let mut servers = Servers::new(2, ServerSettings::new());
    for burst in 1..=3 {
        assert!(!servers.is_dead(0), "dead before burst {burst}");
        let mut sent = Vec::new();
        for _ in 0..50 {
            sent.push(servers.now);
            servers.set.on_transmitted(servers.now, at(0), Sent::Request);
            servers.pass(ms(1));
        }
        servers.pass(ms(200));
        for sent in sent {
            servers.set.on_expired(servers.now, at(0), sent);
            servers.pass(ms(1));
        }
    }
    assert!(servers.is_dead(0));
}

#[test]
fn an_expiry_of_what_was_sent_before_a_reply_says_nothing_of_the_server() {
    let mut servers = Servers::new(1, ServerSettings::new());
    let sent = servers.now;
    servers.pass(ms(40));
    let _ = servers.set.on_reply(servers.now, at(0), None);
    for _ in 0..10 {
        servers.pass(ms(250));
        servers.set.on_expired(servers.now, at(0), sent);
    }
    assert_eq!(servers.health(0), Health::Unknown);
}

#[test]
fn three_refusals_are_as_good_as_three_expiries_and_other_errors_are_not() {
    let mut servers = Servers::new(2, ServerSettings::new());
    for error in [PathError::NoBuffers, PathError::too_big(None), PathError::Denied, PathError::Other(1)] {
        (0..9).for_each(|_| servers.set.on_path_error(servers.now, at(0), error));
    }
    assert_eq!(servers.health(0), Health::Unknown);
    servers.set.on_path_error(servers.now, at(0), PathError::Refused);
    servers.set.on_path_error(servers.now, at(0), PathError::Unreachable);
    assert!(!servers.is_dead(0));
    servers.set.on_path_error(servers.now, at(0), PathError::Refused);
    assert!(servers.is_dead(0));

    // What was refused went unanswered.
    servers.answered(1, ms(40));
    servers.set.on_path_error(servers.now, at(1), PathError::Refused);
    servers.answered(1, ms(40));
    assert_eq!(servers.loss(1), 1.0 / 64.0 * (63.0 / 64.0));
}

#[test]
fn a_dead_server_is_probed_ever_more_rarely_down_to_twice_a_minute() {
    let mut servers = Servers::new(2, ServerSettings::new());
    servers.die(0);
    let times: Vec<u64> = servers.probes(ms(130_000)).into_iter().map(|(at, _)| at).collect();
    assert_eq!(times, [250, 750, 1_750, 3_750, 7_750, 15_750, 31_750, 61_750, 91_750, 121_750]);
    assert!(servers.is_dead(0), "time alone revives no one");
    servers.pass(ms(100_000_000));
    assert!(servers.is_dead(0), "time alone revives no one");
}

#[test]
fn while_all_are_dead_requests_are_parked_and_each_is_probed_once_a_second() {
    let mut servers = Servers::new(2, ServerSettings::new());
    servers.die(0);
    assert_eq!(servers.probes(ms(40_000)).last(), Some(&(31_750, 0)));
    // The next one would be due after 21 s, far too late for requests that wait for it.
    servers.die(1);
    assert_eq!(servers.set.choose(servers.now, Paths::NONE), Choice::Park);
    let expected =
        [(250, 1), (750, 1), (1_000, 0), (1_750, 1), (2_000, 0), (2_750, 1), (3_000, 0), (3_750, 1), (4_000, 0)];
    assert_eq!(servers.probes(ms(4_000)), expected);

    assert!(servers.set.on_reply(servers.now, at(0), None), "the first reply releases what is parked");
    assert!(!servers.set.on_reply(servers.now, at(1), None), "and the second one finds it released");
    assert_eq!(servers.set.next_probe(), None);
    assert!(!servers.set.is_all_dead());
}

#[test]
fn a_probe_that_cannot_leave_is_tried_again_after_the_same_wait_and_not_at_once() {
    let mut servers = Servers::new(1, ServerSettings::new());
    servers.die(0);
    servers.pass(ms(250));
    assert_eq!(servers.set.probe_due(servers.now), Some(at(0)));
    servers.set.on_path_error(servers.now, at(0), PathError::NoBuffers);
    assert_eq!(servers.set.probe_due(servers.now), None);
    // An error of an earlier probe, before the next is due, moves nothing.
    servers.pass(ms(249));
    servers.set.on_path_error(servers.now, at(0), PathError::Refused);
    assert_eq!(servers.probes(ms(1_000)), [(1, 0), (501, 0)]);
}

#[test]
fn probes_are_nothing_outstanding() {
    let mut servers = Servers::new(1, ServerSettings::new());
    servers.die(0);
    assert_eq!(servers.probes(ms(10_000)).len(), 11);
    let state = servers.set.states(servers.now).next().unwrap();
    assert_eq!((state.outstanding, state.probes, state.transmissions), (0, 11, 14));
}

#[test]
fn the_primary_is_asked_again_as_soon_as_it_lives() {
    let mut servers = Servers::new(3, ServerSettings::new().with_spread(Spread::InOrder).unwrap());
    assert_eq!(servers.choose(), Some(0));
    servers.die(0);
    assert_eq!(servers.choose(), Some(1));
    servers.die(1);
    assert_eq!(servers.choose(), Some(2));
    let _ = servers.set.on_reply(servers.now, at(0), None);
    assert_eq!(servers.choose(), Some(0));
}

#[test]
fn a_client_sticks_to_its_server_until_that_dies_and_does_not_go_back() {
    let mut servers = Servers::new(4, ServerSettings::new().with_spread(Spread::Sticky).unwrap());
    let first = servers.choose().unwrap();
    // Slow, lossy, suspect, but alive.
    servers.answered(first, ms(2_000));
    servers.expired(first, ms(250));
    servers.expired(first, ms(250));
    (0..50).for_each(|_| assert_eq!(servers.choose(), Some(first)));

    let others = |servers: &mut Servers| match servers.set.choose(servers.now, Paths::NONE.with(at(first))) {
        Choice::Ask(path) => path.number(),
        other => panic!("{other:?}"),
    };
    let second = others(&mut servers);
    assert_ne!(second, first);
    (0..50).for_each(|_| assert_eq!(others(&mut servers), second, "repeats of one client, all over its servers"));
    assert_eq!(servers.choose(), Some(first), "to fail over is not to move");

    servers.die(first);
    assert_eq!(servers.choose(), Some(second));
    let _ = servers.set.on_reply(servers.now, at(first), None);
    assert_eq!(servers.choose(), Some(second));
}

#[test]
fn a_server_that_comes_back_is_as_unknown_as_a_new_one() {
    let mut servers = Servers::new(2, ServerSettings::new());
    servers.answered(0, ms(2_000));
    servers.answered(1, ms(40));
    servers.die(0);
    // Of what was in flight when it died, this much has expired before its first sign of life, and some will after it.
    let sent = servers.now;
    (0..100).for_each(|_| servers.set.on_expired(servers.now, at(0), sent));
    servers.pass(ms(250));
    let _ = servers.set.on_reply(servers.now, at(0), None);
    (0..100).for_each(|_| servers.set.on_expired(servers.now, at(0), sent));
    assert_eq!(servers.health(0), Health::Unknown);
    assert_eq!(servers.set.failover_after(servers.now, at(0), ms(1_000)), ms(250));
    assert!((0..100).any(|_| servers.choose() == Some(0)), "an ordinary request learns it");
    servers.answered(0, ms(40));
    assert_eq!(servers.loss(0), 0.0);
}
