//! Which of several servers to ask: ways to choose as rows, situations as columns.
//!
//! ```text
//! udp-retry outage --servers [--requests N] [--clients N] [--rows NAMES] [--situations NAMES] [--quick] [--seed N] [--json] [--svg FILE]
//! ```
//!
//! Drives the crate's own `ServerSet` beside shapes of the field, in virtual time: the requests, rounds, failovers and
//! probes of all rows are driven by the same code, as the crate's machine does it. Requests begin at random moments
//! (Poisson), whether or not others were answered; each has 5 s, and the intervals of `RetryPolicy::default`. Datagrams
//! take up to a tenth longer than half the round trip. A fine server replies after 40 ms, and 0.5 % of its datagrams are
//! lost each way; a slow one replies after 200 ms, and nothing is lost. Where servers have work to do, the path takes
//! 20 ms, and loses nothing.
//!
//! | situation | servers | requests |
//! |---|---|---|
//! | `mixed` | one dead, one slow (200 ms), one lossy (30 % each way) | 100 a second |
//! | `slow-lossy-fine` | one slow, one lossy, one fine | 100 a second |
//! | `dies` | three fine ones, of which the first dies after 25 s; the 15 s from then on count | 100 a second |
//! | `outage` | three fine ones, all silent for 10 s after 25 s; the 15 s from then on count | 100 a second |
//! | `rare`, `rare-dead` | three fine ones; one dead and two fine ones | one in 10 s |
//! | `load-67` … `load-107` | three that answer 50 a second, one after the other, with a queue of 100 | 100, 130, 145, 160 a second |
//! | `unequal` | three that answer 25, 50 and 100 a second | 140 a second: 80 % |
//! | `fleet-…` | as those under load | the same, of 50 clients that know nothing of each other |
//!
//! With `--json`, one line and nothing else on standard output:
//!
//! ```text
//! {"situations":[{"situation":"mixed","policies":[{"policy":"banded","requests":100000,"failed":0,"success":1.0,
//!  "p50_ms":210.007,"p99_ms":219.101,"transmissions":1.0065},...]},...]}
//! ```
//!
//! `transmissions` are those for each request, probes included. Times are until the reply of those that were answered.

mod client;
mod fastest;
mod figures;
mod flight;
mod picture;
mod rows;
mod selection;
mod server;
mod shapes;
mod situations;
mod table;
mod world;

use std::time::Duration;

use figures::Figures;
use picture::Picture;
use rows::Row;
use situations::Situation;
use udp_retry::{RetryPolicy, Seed};
use world::World;

use super::work;
use crate::terminal::{Misuse, Outcome};

/// What is to be simulated.
pub(crate) struct Study {
    /// Of each run.
    pub(crate) requests: u64,
    /// Of a fleet.
    pub(crate) clients: u32,
    pub(crate) seed: u64,
    pub(crate) is_quick: bool,
}

/// A column with the cells of all rows, in their order.
pub(crate) struct Column {
    pub(crate) situation: Situation,
    pub(crate) cells: Vec<Figures>,
}

/// What a study is to compare.
pub(crate) struct Selected {
    study: Study,
    rows: Vec<Row>,
    situations: Vec<Situation>,
}

impl Selected {
    pub(crate) fn run(self, progress: impl Fn(usize, usize) + Sync) -> Outcome<Results> {
        let Self { study, rows, situations } = self;
        let columns = study.columns(&rows, situations, progress)?;
        Ok(Results { study, rows, columns })
    }
}

/// A study that was made.
pub(crate) struct Results {
    study: Study,
    rows: Vec<Row>,
    columns: Vec<Column>,
}

impl Results {
    pub(crate) fn text(&self) -> String {
        table::text(&self.study, &self.rows, &self.columns)
    }

    /// One line.
    pub(crate) fn json(&self) -> String {
        table::json(&self.rows, &self.columns).to_string()
    }

    /// An SVG.
    pub(crate) fn picture(&self) -> String {
        Picture::new(&self.study, &self.rows, &self.columns).to_string()
    }
}

impl Study {
    /// How many requests a column comes from.
    pub(crate) const REQUESTS: u64 = 100_000;
    pub(crate) const QUICK_REQUESTS: u64 = 5_000;
    pub(crate) const CLIENTS: u32 = 50;

    /// The named rows and situations, or all.
    pub(crate) fn of(self, rows: &[String], situations: &[String]) -> Result<Selected, Misuse> {
        let rows = named("rows <NAMES>", "policies", &rows::ALL, |row| row.name, rows)?;
        let all = situations::all();
        let situations = named("situations <NAMES>", "situations", &all, |situation| situation.name, situations)?;
        Ok(Selected { study: self, rows, situations })
    }

    fn columns(
        &self,
        rows: &[Row],
        situations: Vec<Situation>,
        progress: impl Fn(usize, usize) + Sync,
    ) -> Outcome<Vec<Column>> {
        let tasks: Vec<_> =
            situations.iter().flat_map(|situation| rows.iter().map(move |row| (situation, row))).collect();
        // Overload takes longest: queues, and what is sent again.
        let is_short = |(situation, _): &(&Situation, &Row)| situation.utilisation.is_none();
        let cells = work::all(&tasks, is_short, |(situation, row)| self.cell(situation, row), progress);
        let cells = cells.into_iter().collect::<Outcome<Vec<_>>>()?;
        let columns = situations.iter().cloned().zip(cells.chunks(rows.len().max(1)));
        Ok(columns.map(|(situation, cells)| Column { situation, cells: cells.to_vec() }).collect())
    }

    /// Each run has a seed of its own, which is that of all rows, so that they meet the same requests.
    fn cell(&self, situation: &Situation, row: &Row) -> Outcome<Figures> {
        let (runs, requests) = situation.runs(self.requests);
        let clients = if situation.is_fleet() { self.clients } else { 1 };
        let policy = RetryPolicy::default().with_deadline(DEADLINE)?;
        let run = |run| World::run(situation, row, policy, clients, requests, Seed::new(self.seed).derive(run));
        Ok(Figures::of((0..runs).map(run).collect::<Outcome<_>>()?))
    }
}

/// Of all, those of these names, in the order of the table.
fn named<T: Clone>(
    option: &str,
    what: &str,
    all: &[T],
    name: impl Fn(&T) -> &'static str,
    names: &[String],
) -> Result<Vec<T>, Misuse> {
    let has = |wanted: &String| all.iter().any(|one| name(one) == wanted);
    if let Some(unknown) = names.iter().find(|wanted| !has(wanted)) {
        let known: Vec<_> = all.iter().map(name).collect();
        let known = known.join(", ");
        return Err(Misuse(format!("invalid value '{unknown}' for '--{option}': the {what} are {known}")));
    }
    let is_wanted = |one: &&T| names.is_empty() || names.iter().any(|wanted| wanted == name(one));
    Ok(all.iter().filter(is_wanted).cloned().collect())
}

/// Of every request.
const DEADLINE: Duration = Duration::from_secs(5);
