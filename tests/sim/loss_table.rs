//! What loss costs: how many requests are answered, after how many transmissions and how long, by policy and loss. One
//! stored table for one seed, so that any change of behaviour shows in a diff; and theory beside every figure.
//!
//! `UDP_RETRY_BLESS=1` writes the table anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use udp_retry::policy::{LastWait, Preset};
use udp_retry::sim::SimNet;
use udp_retry::{ReliableRequester, RetryPolicy, Seed, transaction_id};

use crate::world::{Manners, World, answer, request};

#[test]
fn the_loss_table_is_as_stored_and_as_theory_says() {
    let row = |(row, name): (u64, &&str)| {
        let of_row = |&loss| Cell::measured(policy(name), loss, Seed::new(SEED).derive(row).derive(u64::from(loss)));
        LOSSES.iter().map(of_row).collect()
    };
    let cells: Vec<Vec<Cell>> = (0..).zip(&POLICIES).map(row).collect();
    for (name, row) in POLICIES.iter().zip(&cells) {
        for (loss, cell) in LOSSES.iter().zip(row) {
            cell.assert_as_expected(
                &Expected::of(&policy(name), f64::from(*loss) / 100.0),
                &format!("{name}, {loss} %"),
            );
        }
    }
    let table = shown(&cells);
    if std::env::var_os("UDP_RETRY_BLESS").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/loss_table.txt"), &table).unwrap();
    } else {
        let stored = include_str!("../vectors/loss_table.txt").replace('\r', "");
        assert!(table == stored, "the table has changed; if it should, UDP_RETRY_BLESS=1 stores it:\n{table}");
    }
}

#[test]
fn the_chance_that_a_policy_states_of_itself_is_the_chance_that_theory_gives() {
    for preset in Preset::ALL {
        let endless = preset.policy.max_transmissions() == u32::MAX;
        for loss in if endless { &[][..] } else { &LOSSES } {
            let loss = f64::from(*loss) / 100.0;
            let (stated, expected) =
                (preset.policy.success_probability(loss), Expected::of(&preset.policy, loss).success);
            assert!((stated - expected).abs() < 1e-12, "{} at {loss}: {stated}, not {expected}", preset.name);
        }
    }
}

const POLICIES: [&str; 8] = ["default", "book", "coap", "stun", "sip-invite", "sip-non-invite", "dhcpv4", "dns"];
/// Percent, each way.
const LOSSES: [u32; 5] = [0, 10, 30, 50, 70];
const REQUESTS: u32 = 10_000;
/// Of all cells, each of which derives its own.
const SEED: u64 = 2026;
const ROUND_TRIP: Duration = Duration::from_millis(40);

fn policy(name: &str) -> RetryPolicy {
    Preset::named(name).unwrap().policy
}

/// What came out of so many requests.
struct Cell {
    replies: u32,
    transmissions: u32,
    /// Of each: the error of their mean follows from how they scatter.
    seconds: Vec<f64>,
}

impl Cell {
    fn measured(policy: RetryPolicy, loss: u32, seed: Seed) -> Self {
        let net = SimNet::new(seed);
        let both_ways = format!("loss {loss}%; delay 20ms");
        let world = World::new(&net, &both_ways, &both_ways);
        world.serve(Manners::default());
        let mut requester =
            ReliableRequester::builder(transaction_id(0..8)).policy(policy).seed(seed).over(world.connect());
        let mut cell = Self { replies: 0, transmissions: 0, seconds: Vec::new() };
        for n in 0..REQUESTS {
            let asked = request(u64::from(n).to_be_bytes(), n.into(), 0);
            let (elapsed, transmissions) = match requester.request(&asked) {
                Ok(reply) => {
                    assert_eq!(reply.payload(), answer(&asked));
                    cell.replies += 1;
                    (reply.elapsed(), reply.transmissions())
                }
                Err(error) => (error.elapsed(), error.transmissions()),
            };
            cell.transmissions += transmissions;
            cell.seconds.push(elapsed.as_secs_f64());
        }
        cell
    }

    fn success(&self) -> f64 {
        f64::from(self.replies) / f64::from(REQUESTS)
    }

    fn mean_transmissions(&self) -> f64 {
        f64::from(self.transmissions) / f64::from(REQUESTS)
    }

    fn mean_seconds(&self) -> f64 {
        self.seconds.iter().sum::<f64>() / f64::from(REQUESTS)
    }

    /// Within six standard errors of each.
    fn assert_as_expected(&self, expected: &Expected, what: &str) {
        let root = f64::from(REQUESTS).sqrt();
        let mean = self.mean_seconds();
        let variance = self.seconds.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / f64::from(REQUESTS);
        let success_error = (expected.success * (1.0 - expected.success)).sqrt() / root;
        for (name, found, expected, error) in [
            ("success", self.success(), expected.success, success_error),
            ("transmissions", self.mean_transmissions(), expected.transmissions, expected.deviation / root),
            ("seconds", mean, expected.seconds, variance.sqrt() / root),
        ] {
            let sigmas = (found - expected).abs() / (error + 1e-9);
            assert!(sigmas < 6.0, "{what}: {name} {found}, expected {expected} ± {error}: {sigmas:.1} sigma");
        }
    }
}

/// What theory says of independent losses: each transmission is answered with probability q = (1 − p)².
struct Expected {
    success: f64,
    transmissions: f64,
    /// Of the transmissions of one request.
    deviation: f64,
    seconds: f64,
}

impl Expected {
    fn of(policy: &RetryPolicy, loss: f64) -> Self {
        let (due, end) = mean_schedule(policy);
        let answered = (1.0 - loss).powi(2);
        let (mut alive, mut success, mut transmissions, mut squares, mut seconds) = (1.0, 0.0, 0.0, 0.0, 0.0);
        for (nth, due) in (1_u32..).zip(&due) {
            let here = alive * answered;
            success += here;
            seconds += here * (due + ROUND_TRIP.as_secs_f64());
            transmissions += here * f64::from(nth);
            squares += here * f64::from(nth).powi(2);
            alive -= here;
        }
        let most = due.len() as f64;
        transmissions += alive * most;
        squares += alive * most.powi(2);
        seconds += alive * end;
        let deviation = (squares - transmissions.powi(2)).max(0.0).sqrt();
        Self { success, transmissions, deviation, seconds }
    }
}

/// When each transmission and the end are due in the mean: means add up, whatever the jitter has in common.
///
/// Exact where no draw decides whether a slot or the end comes before the deadline, as with all policies of the table.
fn mean_schedule(policy: &RetryPolicy) -> (Vec<f64>, f64) {
    let deadline = policy.deadline().map_or(f64::INFINITY, |deadline| deadline.as_secs_f64());
    let (mut due, mut at) = (Vec::new(), 0.0);
    for slot in 0..policy.max_transmissions() {
        if at < deadline {
            due.push(at);
        }
        let (least, most) = policy.backoff().bounds(slot);
        at += match policy.last_wait() {
            LastWait::Initial(count) if slot + 1 == policy.max_transmissions() => {
                policy.backoff().initial().as_secs_f64() * f64::from(count)
            }
            LastWait::Initial(_) | LastWait::Next => (least + most).as_secs_f64() / 2.0,
        };
    }
    (due, at.min(deadline))
}

type Shown = fn(&Cell) -> String;

fn shown(cells: &[Vec<Cell>]) -> String {
    let mut table = format!("{REQUESTS} requests each, seed {SEED}, a round trip of {ROUND_TRIP:?}, loss each way.\n");
    let figures: [(&str, Shown); 3] = [
        ("answered", |cell| format!("{:.2} %", 100.0 * cell.success())),
        ("mean transmissions", |cell| format!("{:.3}", cell.mean_transmissions())),
        ("mean time", |cell| format!("{:.3} s", cell.mean_seconds())),
    ];
    for (title, figure) in figures {
        write!(table, "\n{title:<18}").unwrap();
        for loss in LOSSES {
            write!(table, "{:>12}", format!("{loss} %")).unwrap();
        }
        table.push('\n');
        for (name, row) in POLICIES.iter().zip(cells) {
            write!(table, "{name:<18}").unwrap();
            for cell in row {
                write!(table, "{:>12}", figure(cell)).unwrap();
            }
            table.push('\n');
        }
    }
    table
}
