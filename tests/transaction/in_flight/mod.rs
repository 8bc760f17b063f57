//! Many requests at a time, each against a `Transaction` of its own.

mod asked;
mod compare;
mod dice;
mod enveloped;
mod errors;
mod limits;
mod messages;
mod model;
mod settings;
mod short_ids;
mod tenants;
mod traffic;
mod window;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use udp_retry::entropy::IdSource;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{
    Arrived, Finished, Handle, InFlight, KeyedMatcher, Limits, TransactionId, matching, transaction_id,
};
use udp_retry::{RetryBudget, RetryPolicy, Seed};

use self::dice::Dice;
use self::settings::{Ids, Settings};
use self::world::{Tally, World};
use crate::watchdog::{MINUTE, within};

#[test]
fn each_request_in_flight_is_a_transaction() {
    if let Some(world) = number("UDP_RETRY_WORLD") {
        run(world, true);
        return;
    }
    let _replay = Replay;
    let (worlds, tally) = (number("UDP_RETRY_WORLDS").unwrap_or(20_000), Arc::new(Mutex::new(Tally::default())));
    let begin = number("UDP_RETRY_FIRST_WORLD").unwrap_or(0);
    let end = begin + worlds;
    for first in (begin..end).step_by(1_000) {
        let tally = tally.clone();
        within(MINUTE, move || {
            (first..end.min(first + 1_000)).for_each(|it| tally.lock().unwrap().add(run(it, false)));
        });
    }
    let tally = *tally.lock().unwrap();
    println!("{tally:?}");
    let Tally { requests, transmissions, replies, failures, withheld, provisional, strays, refused, .. } = tally;
    assert_eq!(replies + failures, requests);
    let rarest = [transmissions, replies, withheld, provisional, strays, refused].into_iter().min();
    assert!(rarest > Some(worlds / 2), "too little happens to prove anything: {tally:?}");
    // Of envelopes, which a third of the worlds have.
    let Tally { named, unknown, restarted, clear, .. } = tally;
    let rarest = [named, unknown, restarted, clear].into_iter().min();
    assert!(rarest > Some(worlds / 20), "too little happens to prove anything: {tally:?}");
}

/// Runs the world of this number.
fn run(number: u64, told: bool) -> Tally {
    CURRENT.store(number, Ordering::Relaxed);
    let mut dice = Dice::new(number);
    let settings = Settings::draw(&mut dice);
    let format = settings.format;
    match settings.ids {
        Ids::Stamped => World::new(settings, messages::Stamped::new(format), dice, told).run(),
        Ids::StampedAlone => World::new(settings, format.transaction_id().stamped(), dice, told).run(),
        Ids::Confirmed => {
            let confirm = move |request: &[u8], datagram: &[u8]| format.confirms(request, datagram);
            World::new(settings, format.transaction_id().stamped().confirmed_by(confirm), dice, told).run()
        }
        Ids::Own => World::new(settings, format.transaction_id(), dice, told).run(),
        Ids::Keyed => {
            let judge = matching(move |request: &[u8], datagram: &[u8]| format.judge(request, datagram));
            let keyed = judge.keyed_by(move |request| format.id_of(request), move |datagram| format.id_in(datagram));
            World::new(settings, keyed, dice, told).run()
        }
    }
}

/// The world that is run at present.
static CURRENT: AtomicU64 = AtomicU64::new(0);

/// Says how to see a failure again.
struct Replay;

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let world = CURRENT.load(Ordering::Relaxed);
            eprintln!("again: UDP_RETRY_WORLD={world} cargo test --test transaction --features sim in_flight_is");
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|number| number.parse().unwrap())
}

// For tests of single promises.

type Stamped = InFlight<u32, TransactionId>;

/// Stamps ids of this width, by the policy of a LAN, to these [`PEERS`].
fn stamped(width: usize, limits: Limits) -> Stamped {
    engine(transaction_id(0..width).stamped(), limits)
}

fn engine<M: KeyedMatcher>(matcher: M, limits: Limits) -> InFlight<u32, M> {
    let ids = Some(IdSource::from_seed(Seed::new(5)));
    let mut requests = InFlight::new(RetryPolicy::LAN, matcher, limits, Seed::new(6), ids);
    for address in PEERS {
        requests.add_peer(address, RetryBudget::unlimited(), None);
    }
    requests
}

#[track_caller]
fn submitted<M: KeyedMatcher>(requests: &mut InFlight<u32, M>, now: Timestamp, to: u32, token: u64) -> Handle {
    let peer = requests.peer(to).unwrap();
    requests.submit(now, peer, &[0; 16], token).unwrap()
}

/// Everything that is ready leaves; returns how much that was.
fn transmitted<M: KeyedMatcher>(requests: &mut InFlight<u32, M>, now: Timestamp) -> usize {
    let ready = requests.transmits().count();
    requests.on_transmitted(now, ready);
    ready
}

fn answered<M: KeyedMatcher>(requests: &mut InFlight<u32, M>, at: Timestamp, from: u32, reply: &[u8]) -> bool {
    matches!(requests.on_datagram(at, from, reply, reply.len()), Arrived::Reply(_))
}

/// What has ended, now that nothing was queued at `now`.
fn looked<M: KeyedMatcher>(requests: &mut InFlight<u32, M>, now: Timestamp) -> Vec<Finished> {
    requests.on_time_up(now);
    std::iter::from_fn(|| requests.next_finished()).collect()
}

/// Looks whenever the engine says so, and sends as `send` does, until all have ended.
fn in_silence<M: KeyedMatcher>(
    requests: &mut InFlight<u32, M>,
    mut now: Timestamp,
    mut send: impl FnMut(&mut InFlight<u32, M>, Timestamp, u32) -> usize,
) -> Vec<Finished> {
    let mut ended = Vec::new();
    for turn in 1..1_000 {
        let Some(due) = requests.next_deadline() else { break };
        now = due.max(now);
        ended.extend(looked(requests, now));
        send(requests, now, turn);
    }
    assert!(requests.is_empty(), "{requests:?} are not over");
    ended
}

const PEERS: [u32; 3] = [1, 2, 3];
const START: Timestamp = Timestamp::from_nanos(3_600_000_000_000);
