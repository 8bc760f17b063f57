//! Single promises of groups in flight.

use udp_retry::entropy::IdSource;
use udp_retry::policy::Backoff;
use udp_retry::servers::{ServerSet, ServerSettings, ServersError};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Arrived, Failure, Finished, GroupId, InFlight, Limits, PeerId, SubmitError};
use udp_retry::{RetryBudget, RetryPolicy, Seed};

use super::matcher::{Kinds, REPLY, answer};
use super::{START, ms};

type Engine = InFlight<u32, Kinds>;

#[test]
fn while_all_members_are_full_a_request_waits_and_takes_the_first_place_that_is_free_in_order() {
    let (mut engine, group, _) = group_of(2, 2, Kinds::stamped(8));
    (0..6).for_each(|token| _ = engine.submit(START, group, request(token), token).unwrap());
    let first = sent(&mut engine, START);
    assert_eq!(first.len(), 4);
    for (token, (to, datagram)) in (4..).zip(&first[..2]) {
        assert!(replied(&mut engine, START.after(ms(1)), *to, datagram).is_some());
        let next = sent(&mut engine, START.after(ms(1)));
        assert_eq!(next.iter().map(|(to, bytes)| (*to, bytes[15])).collect::<Vec<_>>(), [(*to, token)]);
    }
}

#[test]
fn a_place_that_another_request_leaves_at_a_member_is_one_for_the_group() {
    let (mut engine, group, members) = group_of(1, 1, Kinds::stamped(8));
    engine.submit(START, members[0], request(0), 0).unwrap();
    engine.submit(START, group, request(1), 1).unwrap();
    let first = sent(&mut engine, START);
    assert_eq!(first.len(), 1);
    assert!(replied(&mut engine, START, first[0].0, &first[0].1).is_some());
    assert_eq!(sent(&mut engine, START).len(), 1);
}

#[test]
fn what_is_parked_takes_no_place_and_goes_on_in_order_through_the_windows_when_a_server_lives() {
    let (mut engine, group, members) = group_of(2, 1, Kinds::stamped(8));
    let mut now = kill_all(&mut engine, group);
    (0..4).for_each(|token| _ = engine.submit(now, group, request(token), token).unwrap());
    let mut probes = sent(&mut engine, now);
    while probes.is_empty() {
        now = look(&mut engine, now);
        probes = sent(&mut engine, now);
    }
    let places: usize = members.iter().map(|&member| engine.on_wire(member)).sum();
    assert_eq!((places, engine.len()), (probes.len(), 4), "only probes have left");
    let outstanding: u32 = engine.servers(group).unwrap().states(now).map(|state| state.outstanding).sum();
    assert_eq!(outstanding, 0, "a probe is no request");
    // The probe's own request is answered, and the others go on.
    let (to, datagram) = probes[0].clone();
    assert_eq!(replied(&mut engine, now, to, &datagram).map(|done| done.token), Some(u64::from(datagram[15])));
    let mut order = Vec::new();
    while !engine.is_empty() && order.len() < 20 {
        now = look(&mut engine, now);
        for (to, datagram) in sent(&mut engine, now) {
            order.push(datagram[15]);
            replied(&mut engine, now, to, &datagram);
        }
    }
    assert_eq!(order, [1, 2, 3]);
}

#[test]
fn a_copy_has_an_id_of_its_own_finds_the_reply_and_is_gone_with_its_request() {
    let (mut engine, group, members) = group_of(2, 64, Kinds::stamped(8));
    engine.submit(START, group, request(7), 7).unwrap();
    let mut now = START;
    let mut copies = sent(&mut engine, now);
    while copies.len() < 2 {
        now = look(&mut engine, now);
        copies.extend(sent(&mut engine, now));
    }
    assert_ne!(copies[0].1[..8], copies[1].1[..8]);
    assert_eq!((copies[0].1[8..].to_vec(), engine.len()), (copies[1].1[8..].to_vec(), 1));
    assert_eq!(engine.available(), 65_534);
    // From where it was not sent, and with the other's id, nothing counts.
    assert!(replied(&mut engine, now, copies[0].0, &copies[1].1).is_none());
    let done = replied(&mut engine, now, copies[1].0, &copies[1].1).unwrap();
    assert_eq!((done.token, done.peer, done.transmissions), (7, members[copies[1].0 as usize], 2));
    assert_eq!((engine.len(), engine.available(), engine.next_deadline()), (0, 65_536, None));
    assert_eq!(members.iter().map(|&member| engine.on_wire(member)).sum::<usize>(), 0);
    assert!(matches!(engine.on_datagram(now, copies[0].0, &answer(&copies[0].1, REPLY), 17), Arrived::Stray(_)));
}

#[test]
fn without_space_for_a_copy_the_failover_is_withheld_and_the_first_server_is_asked_again() {
    let limits = Limits::default().requests(1.try_into().unwrap());
    let (mut engine, group, _) = group_with(2, limits, Kinds::stamped(8));
    engine.submit(START, group, request(7), 7).unwrap();
    let (mut now, mut asked) = (START, sent(&mut engine, START));
    while !engine.is_empty() {
        now = look(&mut engine, now);
        asked.extend(sent(&mut engine, now));
    }
    assert!(asked.len() > 1 && asked.iter().all(|(to, _)| *to == asked[0].0), "{asked:?}");
}

#[test]
fn ids_of_the_callers_own_differ_within_a_group() {
    let (mut engine, group, members) = group_of(2, 64, Kinds::own(8));
    engine.submit(START, group, request(7), 7).unwrap();
    assert_eq!(engine.submit(START, group, request(7), 8), Err(SubmitError::IdInUse));
    let (to, datagram) = sent(&mut engine, START).remove(0);
    assert_eq!(engine.submit(START, members[to as usize], request(7), 8), Err(SubmitError::IdInUse));
    assert!(replied(&mut engine, START, to, &datagram).is_some());
    assert!(engine.submit(START, group, request(7), 8).is_ok());
}

#[test]
fn a_group_ends_with_any_of_its_members() {
    let (mut engine, group, members) = group_of(2, 1, Kinds::stamped(8));
    (0..4).for_each(|token| _ = engine.submit(START, group, request(token), token).unwrap());
    sent(&mut engine, START);
    engine.remove_peer(START, members[1]);
    let ended: Vec<Finished> = std::iter::from_fn(|| engine.next_finished()).collect();
    assert_eq!(ended.len(), 4);
    assert!(ended.iter().all(|done| done.failure == Some(Failure::Cancelled)));
    assert_eq!(engine.submit(START, group, request(9), 9), Err(SubmitError::UnknownPeer));
    assert_eq!((engine.len(), engine.on_wire(members[0])), (0, 0));
}

#[test]
fn only_known_peers_once_each_and_as_many_as_servers_are_a_group() {
    let (mut engine, _, members) = group_of(2, 1, Kinds::stamped(8));
    let mut add = |members: &[PeerId], count| {
        let set = ServerSet::new(count, ServerSettings::new(), Seed::new(1)).unwrap();
        engine.add_group(members, set, RetryBudget::unlimited()).map(drop)
    };
    assert!(matches!(add(&[], 1), Err(ServersError::Count { count: 0, .. })));
    assert_eq!(add(&members, 3), Err(ServersError::Members));
    assert_eq!(add(&[members[0], members[0]], 2), Err(ServersError::Members));
    assert_eq!(add(&members, 2), Ok(()));
}

/// This many members, of which each has a window of this size.
fn group_of(count: u32, window: u32, matcher: Kinds) -> (Engine, GroupId, Vec<PeerId>) {
    group_with(count, Limits::default().window(window.try_into().unwrap()), matcher)
}

fn group_with(count: u32, limits: Limits, matcher: Kinds) -> (Engine, GroupId, Vec<PeerId>) {
    let policy = RetryPolicy::new(Backoff::constant(ms(400)).unwrap()).with_max_transmissions(4).unwrap();
    let ids = Some(IdSource::from_seed(Seed::new(1)));
    let mut engine = InFlight::new(policy, matcher, limits, Seed::new(1), ids);
    let members: Vec<PeerId> = (0..count).map(|n| engine.add_peer(n, RetryBudget::unlimited(), None)).collect();
    let set = ServerSet::new(members.len(), ServerSettings::new(), Seed::new(1)).unwrap();
    let group = engine.add_group(&members, set, RetryBudget::unlimited()).unwrap();
    (engine, group, members)
}

/// Space for an id, and a number; with the caller's ids all have the same.
fn request(token: u64) -> Vec<u8> {
    [[0; 8], token.to_be_bytes()].concat()
}

/// What leaves now, and to whom.
fn sent(engine: &mut Engine, now: Timestamp) -> Vec<(u32, Vec<u8>)> {
    let mut all = Vec::new();
    loop {
        let sent: Vec<_> = engine.transmits().map(|it| (it.to, it.datagram.to_vec())).collect();
        if sent.is_empty() {
            return all;
        }
        engine.on_transmitted(now, sent.len());
        all.extend(sent);
    }
}

fn replied(engine: &mut Engine, at: Timestamp, from: u32, datagram: &[u8]) -> Option<Finished> {
    let reply = answer(datagram, REPLY);
    match engine.on_datagram(at, from, &reply, reply.len()) {
        Arrived::Reply(finished) => Some(finished),
        _ => None,
    }
}

/// Nothing comes until the engine is to be asked again.
fn look(engine: &mut Engine, now: Timestamp) -> Timestamp {
    let due = engine.next_deadline().unwrap_or(now).max(now);
    engine.on_time_up(due);
    while engine.next_finished().is_some() {}
    due
}

/// Requests that no one answers, until all members are dead and these have ended.
fn kill_all(engine: &mut Engine, group: GroupId) -> Timestamp {
    let mut now = START;
    while !engine.servers(group).unwrap().is_all_dead() || !engine.is_empty() {
        if engine.is_empty() {
            engine.submit(now, group, request(99), 99).unwrap();
        }
        sent(engine, now);
        now = look(engine, now);
    }
    now
}
