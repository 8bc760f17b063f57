//! The named profiles do what their table says: loss, bursts, delay, jitter, order, and the rate that they carry.

use std::collections::BTreeMap;
use std::time::Duration;

use udp_retry::Seed;
use udp_retry::fault::{Bottleneck, DelayLaw, DelayModel, Direction, DropCause, Fate, Link, Profile, QueueLimit};
use udp_retry::time::Timestamp;
use udp_retry::{Impairments, Probability};

/// A line of the table of the documentation; times in milliseconds, nothing where nothing is said.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Stated {
    rate: Option<u64>,
    queue: Option<f64>,
    delay: Delay,
    /// In per cent, and the mean burst.
    loss: (f64, f64),
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Delay {
    None,
    Fixed(f64),
    Uniform(f64, f64),
    Exponential(f64),
}

const NOTHING: Stated = Stated { rate: None, queue: None, delay: Delay::None, loss: (0.0, 0.0) };
const LAN: Stated = Stated { rate: Some(1_000_000_000), queue: Some(50.0), delay: Delay::Fixed(0.1), loss: (0.0, 0.0) };
const EVIL: Stated = Stated { delay: Delay::Exponential(50.0), loss: (20.0, 4.0), ..NOTHING };

/// To the server, to the client. A loss of each datagram for itself has a mean burst of 1/(1 - loss).
const STATED: [(&str, Stated, Stated); 6] = [
    ("book_half", Stated { loss: (50.0, 2.0), ..NOTHING }, NOTHING),
    ("lan", LAN, LAN),
    (
        "lte",
        Stated { rate: Some(10_000_000), queue: Some(200.0), delay: Delay::Uniform(25.0, 8.0), loss: (0.5, 2.0) },
        Stated { rate: Some(30_000_000), queue: Some(200.0), delay: Delay::Uniform(25.0, 8.0), loss: (0.5, 2.0) },
    ),
    (
        "wifi_lossy",
        Stated { rate: Some(10_000_000), queue: Some(100.0), delay: Delay::Uniform(10.0, 10.0), loss: (5.0, 2.0) },
        Stated { rate: Some(20_000_000), queue: Some(100.0), delay: Delay::Uniform(10.0, 10.0), loss: (5.0, 2.0) },
    ),
    (
        "geo_satellite",
        Stated { rate: Some(3_000_000), queue: Some(300.0), delay: Delay::Uniform(300.0, 15.0), loss: (1.0, 3.0) },
        Stated { rate: Some(15_000_000), queue: Some(300.0), delay: Delay::Uniform(300.0, 15.0), loss: (1.0, 3.0) },
    ),
    ("evil", EVIL, EVIL),
];

#[test]
fn every_name_is_a_profile_and_nothing_else_is() {
    assert_eq!(Profile::NAMES, STATED.map(|(name, ..)| name));
    for name in Profile::NAMES {
        let profile = Profile::named(name).unwrap_or_else(|| panic!("{name} is not read"));
        assert_ne!(profile, Profile::default(), "{name}");
        let Profile { to_server, to_client } = &profile;
        assert_eq!(Ok(to_server), to_server.to_string().parse().as_ref());
        assert_eq!(Ok(to_client), to_client.to_string().parse().as_ref());
    }
    for name in ["", "LTE", "lte ", "none", "3g"] {
        assert_eq!(Profile::named(name), None, "{name:?}");
    }
}

#[test]
fn loss_and_bursts_are_as_stated() {
    for_each_way(|what, stated, spec| {
        let (loss, burst) = (stated.loss.0 / 100.0, stated.loss.1);
        let mut link = Link::new(spec.clone(), Seed::new(11));
        let (mut lost, mut bursts, mut before) = (0_u64, 0_u64, false);
        for n in 0..MANY {
            let here = link.transmit(at_ms(n * 1000), &[0; 1250]) == Fate::Dropped(DropCause::Loss);
            lost += u64::from(here);
            bursts += u64::from(here && !before);
            before = here;
        }
        if loss == 0.0 {
            return assert_eq!(lost, 0, "{what}");
        }
        // Of a chain with r = 1/burst and p = loss/(burst·(1 - loss)), as is also a loss of each for itself.
        let (r, p) = (1.0 / burst, loss / burst / (1.0 - loss));
        let sigma = (MANY as f64 * loss * (1.0 - loss) * (2.0 - p - r) / (p + r)).sqrt();
        assert_near(lost as f64, MANY as f64 * loss, 6.0 * sigma, &format!("{what}: losses"));
        let sigma = (burst * (burst - 1.0) / bursts as f64).sqrt();
        assert_near(lost as f64 / bursts as f64, burst, 6.0 * sigma, &format!("{what}: mean burst"));
    });
}

#[test]
fn delay_and_jitter_are_as_stated() {
    for_each_way(|what, stated, spec| {
        // Held back and doubled is what `evil` says of itself besides.
        let spec = spec.clone().with_reorder(never_held());
        let mut link = Link::new(spec, Seed::new(12));
        let service = stated.rate.map_or(0, |rate| (1278 * 8 * 1_000_000_000_u64).div_ceil(rate));
        let mut delays = Vec::new();
        for n in 0..MANY {
            // Far enough apart for none to wait for the one before.
            let sent = at_ms(n * 2000);
            if let Fate::Delivered(copies) = link.transmit(sent, &[0; 1250]) {
                let delay = copies.as_slice()[0].at.since(sent).as_nanos() as u64 - service;
                delays.push(delay as f64 / 1e6);
            }
        }
        let count = delays.len() as f64;
        let mean = delays.iter().sum::<f64>() / count;
        let (least, most) =
            (delays.iter().copied().fold(f64::MAX, f64::min), delays.iter().copied().fold(0.0, f64::max));
        match stated.delay {
            Delay::None => assert_eq!((least, most), (0.0, 0.0), "{what}"),
            Delay::Fixed(delay) => assert_eq!((least, most), (delay, delay), "{what}"),
            Delay::Uniform(delay, jitter) => {
                assert_near(mean, delay, 6.0 * jitter / (3.0 * count).sqrt(), &format!("{what}: mean delay"));
                assert!(least >= delay - jitter && most <= delay + jitter, "{what}: {least} to {most}");
                // Of so many, some come within a thousandth of each end.
                assert!(most - least > 1.998 * jitter, "{what}: {least} to {most}");
                let variance = delays.iter().map(|it| (it - delay) * (it - delay)).sum::<f64>() / count;
                let sigma = jitter * jitter * (4.0 / 45.0 / count).sqrt();
                assert_near(variance, jitter * jitter / 3.0, 6.0 * sigma, &format!("{what}: variance"));
            }
            Delay::Exponential(tail) => {
                assert_near(mean, tail, 6.0 * tail / count.sqrt(), &format!("{what}: mean delay"));
                let beyond = delays.iter().filter(|&&it| it > tail).count() as f64;
                let share = (-1.0_f64).exp();
                let sigma = (count * share * (1.0 - share)).sqrt();
                assert_near(beyond, count * share, 6.0 * sigma, &format!("{what}: beyond the mean"));
            }
        }
    });
}

#[test]
fn order_is_kept_but_for_what_is_held_back() {
    for_each_way(|what, _, spec| {
        let mut link = Link::new(spec.clone(), Seed::new(13));
        let (mut latest, mut held, mut seen) = (Timestamp::ZERO, 0, 0);
        for n in 0..100_000 {
            // Closer together than any jitter.
            let fate = link.transmit(Timestamp::from_nanos(n * 100_000), &[0; 100]);
            let was_held = std::mem::replace(&mut held, link.stats().held) < link.stats().held;
            if let (Fate::Delivered(copies), false) = (fate, was_held) {
                let at = copies.as_slice()[0].at;
                assert!(at >= latest, "{what}: datagram {n} overtakes");
                latest = at;
                seen += 1;
            }
        }
        assert!(seen > 20_000, "{what}: {seen}");
    });
}

#[test]
fn every_rate_is_carried_to_the_last_datagram() {
    for_each_way(|what, stated, spec| {
        let Some(rate) = stated.rate else { return assert_eq!(spec.bottleneck(), None, "{what}") };
        // One delay for all, so that what arrives tells what has left.
        let level = DelayModel::new(DelayLaw::fixed(ms(5)).unwrap());
        let (carried, queued) = overloaded(spec.clone().with_delay(level), rate, ms(5), ms(5));
        let datagrams = rate as f64 * WINDOW / BITS;
        assert_near(carried, datagrams, 1.0, &format!("{what}: carried"));
        // What waits when one is dropped: as long as stated, but for a datagram.
        let most = stated.queue.unwrap() / 1e3 * rate as f64 / BITS;
        assert!(queued <= most + 1.0 + 1e-9 && queued > most, "{what}: {queued} wait of {most}");

        // And so does all of it: jitter keeps back at either end what it can, no more.
        let law = spec.delay().unwrap().law();
        let (shortest, longest) = match stated.delay {
            Delay::Uniform(delay, jitter) => (delay - jitter, delay + jitter),
            _ => (0.1, 0.1),
        };
        assert_eq!(law.cdf(Duration::from_secs_f64(longest / 1e3)), 1.0, "{what}");
        let edges = (longest - shortest) / 1e3 * rate as f64 / BITS;
        let (carried, _) = overloaded(spec.clone(), rate, ms(shortest as u64), law.mean());
        assert_near(carried, datagrams, edges + 1.0, &format!("{what}: carried with jitter"));
    });
}

/// Datagrams that pass within the window, and those that waited when the first one found no room.
fn overloaded(spec: Impairments, rate: u64, least: Duration, mean: Duration) -> (f64, f64) {
    let mut link = Link::new(spec, Seed::new(14));
    let service = (BITS * 1e9 / rate as f64) as u64;
    let (mut passed, mut waiting) = (0.0, None);
    // Three for each one that there is room for, until well after the window.
    let sends = (3.2 * WINDOW * 1e9 / service as f64) as u64;
    let (begin, end) =
        (Timestamp::ZERO.after(mean), Timestamp::ZERO.after(mean).after(Duration::from_secs_f64(WINDOW)));
    let mut accepted = 0.0;
    for n in 0..sends {
        let now = Timestamp::from_nanos(n * service / 3);
        let queue = link.stats().dropped.queue;
        let fate = link.transmit(now, &[0; 1250]);
        if link.stats().dropped.queue > queue {
            // What has left by now is not waiting any more.
            waiting.get_or_insert(accepted - now.as_nanos() as f64 / service as f64);
            continue;
        }
        accepted += 1.0;
        let arrives = match fate {
            Fate::Delivered(copies) => copies.as_slice()[0].at,
            // Lost behind the bottleneck, which it has used: it would have arrived with its neighbours.
            _ => Timestamp::from_nanos((accepted * BITS * 1e9 / rate as f64) as u64).after(mean),
        };
        assert!(arrives >= Timestamp::ZERO.after(least));
        passed += f64::from(u8::from(arrives > begin && arrives <= end));
    }
    (passed, waiting.unwrap())
}

#[test]
fn half_of_the_books_requests_are_lost_and_no_reply_is() {
    let book = Profile::named("book_half").unwrap();
    assert_eq!(book.to_server, Impairments::loss(Probability::HALF));
    assert_eq!(book.direction(Direction::ToClient), &Impairments::NONE);
    let mut link = Link::new(book.to_client, Seed::new(1));
    for n in 0..10_000 {
        let Fate::Delivered(copies) = link.transmit(at_ms(n), &[1; 77]) else { panic!("a reply is lost") };
        let [copy] = copies.as_slice() else { panic!("a reply is doubled") };
        assert_eq!((copy.at, copy.len, copy.flips.as_slice()), (at_ms(n), 77, &[][..]));
    }
}

#[test]
fn evil_is_as_evil_as_it_says() {
    let evil = Profile::named("evil").unwrap();
    assert_eq!(evil.to_server, evil.to_client);
    let duplicate = evil.to_server.duplicate().unwrap();
    assert_eq!(duplicate.probability(), "10%".parse().unwrap());
    let late = duplicate.lateness().unwrap();
    assert_eq!((late.cdf(Duration::ZERO), late.cdf(Duration::from_secs(5))), (0.0, 1.0));
    assert!(late.cdf(ms(4_999)) < 1.0);
    assert_eq!(evil.to_server.corrupt().unwrap().probability(), "1%".parse().unwrap());
    assert_eq!(evil.to_server.truncate().unwrap().probability(), "0.5%".parse().unwrap());
    let reorder = evil.to_server.reorder().unwrap();
    assert_eq!((reorder.probability(), reorder.by()), ("10%".parse().unwrap(), ms(100)));
    let words = "duplicates 10 % up to 5 s late, corrupts 1 %, truncates 0.5 %, holds 10 % back by 100 ms";
    assert!(include_str!("../../src/fault/impairment/profile.rs").contains(words));
}

#[test]
fn the_table_of_the_documentation_is_this_one_and_the_one_that_is_read() {
    let documented = documented();
    for_each_way(|what, stated, spec| {
        assert_eq!(documented.get(what), Some(&stated), "{what}");
        let queue = |it: &Bottleneck| match it.queue() {
            QueueLimit::Time(time) => time.as_secs_f64() * 1e3,
            other => panic!("{what}: {other:?}"),
        };
        assert_eq!(stated.rate, spec.bottleneck().map(Bottleneck::rate), "{what}");
        assert_eq!(stated.queue, spec.bottleneck().map(queue), "{what}");
        assert_near(stated.loss.0 / 100.0, spec.loss_model().stationary_loss(), 1e-12, what);
        assert_near(stated.loss.1, spec.loss_model().mean_burst(), 1e-9, what);
        assert!(!spec.delay().is_some_and(DelayModel::is_unordered), "{what}");
    });
    assert_eq!(documented.len(), 2 * STATED.len());
}

/// The table of `Profile`, a line for each direction.
fn documented() -> BTreeMap<String, Stated> {
    let rows =
        include_str!("../../src/fault/impairment/profile.rs").lines().filter_map(|line| line.strip_prefix("/// |"));
    let (mut table, mut name) = (BTreeMap::new(), String::new());
    for row in rows.skip(2) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        if !cells[0].is_empty() {
            name = cells[0].trim_matches('`').to_owned();
            // What is not said of a direction does not happen there.
            table.insert(format!("{name} to_client"), NOTHING);
        }
        let stated = Stated {
            rate: (!cells[2].is_empty()).then(|| rate(cells[2])),
            queue: cells[3].strip_suffix(" ms").map(number),
            delay: delay(cells[4]),
            loss: loss(cells[5]),
        };
        for way in match cells[1] {
            "requests" => &["to_server"][..],
            "replies" => &["to_client"],
            "both" => &["to_server", "to_client"],
            other => panic!("{other} is no way"),
        } {
            table.insert(format!("{name} {way}"), stated);
        }
    }
    table
}

fn rate(cell: &str) -> u64 {
    let (number, scale) = cell.split_once(' ').unwrap();
    let scale = match scale {
        "Gbit/s" => 1_000_000_000,
        "Mbit/s" => 1_000_000,
        other => panic!("{other} is no rate"),
    };
    number.parse::<u64>().unwrap() * scale
}

fn delay(cell: &str) -> Delay {
    match (cell, cell.strip_suffix(" ms").map(|it| it.split_once(" ± "))) {
        ("", _) => Delay::None,
        (_, Some(Some((mean, jitter)))) => Delay::Uniform(number(mean), number(jitter)),
        (_, Some(None)) => match cell.strip_prefix("exponential, mean ") {
            Some(tail) => Delay::Exponential(number(tail.trim_end_matches(" ms"))),
            None => Delay::Fixed(number(cell.trim_end_matches(" ms"))),
        },
        _ => panic!("{cell} is no delay"),
    }
}

fn loss(cell: &str) -> (f64, f64) {
    match cell.split_once(" %") {
        None => (0.0, 0.0),
        Some((loss, "")) => (number(loss), 1.0 / (1.0 - number(loss) / 100.0)),
        Some((loss, burst)) => (number(loss), number(burst.trim_start_matches(", "))),
    }
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

fn for_each_way(check: impl Fn(&str, Stated, &Impairments)) {
    for (name, to_server, to_client) in STATED {
        let profile = Profile::named(name).unwrap();
        check(&format!("{name} to_server"), to_server, profile.direction(Direction::ToServer));
        check(&format!("{name} to_client"), to_client, profile.direction(Direction::ToClient));
    }
}

#[track_caller]
fn assert_near(observed: f64, expected: f64, bound: f64, what: &str) {
    assert!((observed - expected).abs() <= bound, "{what}: {observed}, not {expected} within {bound}");
}

fn never_held() -> udp_retry::fault::Reorder {
    udp_retry::fault::Reorder::new(Probability::ZERO, ms(1)).unwrap()
}

fn at_ms(millis: u64) -> Timestamp {
    Timestamp::from_nanos(millis * 1_000_000)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const MANY: u64 = 200_000;
/// Of 1,250 bytes and the headers of IPv4 and UDP.
const BITS: f64 = 1278.0 * 8.0;
/// Seconds.
const WINDOW: f64 = 6.0;
