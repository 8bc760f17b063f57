//! The policies that are compared.

use udp_retry::Seed;
use udp_retry::servers::{ServerSet, ServerSettings};

use super::fastest::Fastest;
use super::selection::Selection;
use super::shapes::{Greedy, OneServer, RoundRobin, WideBand};
use crate::terminal::Outcome;

/// A row of the table.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Of a client that has asked nothing yet, for this many servers.
    pub(crate) selection: fn(usize, Seed) -> Outcome<Box<dyn Selection>>,
}

/// In the order of the table; the crate's own at the end.
pub(crate) const ALL: [Row; 7] = [
    Row { name: "one-server", selection: |servers, seed| Ok(Box::new(OneServer::new(servers, seed))) },
    Row { name: ROUND_ROBIN, selection: |servers, seed| Ok(Box::new(RoundRobin::new(servers, seed))) },
    Row { name: "fastest", selection: |servers, seed| Ok(Box::new(Fastest::new(servers, seed))) },
    Row { name: "unbound", selection: |servers, seed| Ok(Box::new(WideBand::new(servers, seed)?)) },
    Row { name: "greedy", selection: |servers, _| Ok(Box::new(Greedy::new(servers)?)) },
    Row { name: BANDED, selection: |servers, seed| own(servers, ServerSettings::new(), seed) },
    Row {
        name: "banded-hedged",
        selection: |servers, seed| own(servers, ServerSettings::new().with_hedging(HEDGED)?, seed),
    },
];

/// The crate's own, with its defaults.
pub(crate) const BANDED: &str = "banded";
pub(crate) const ROUND_ROBIN: &str = "round-robin";
/// The share of requests that may be hedged.
const HEDGED: f64 = 0.05;

fn own(servers: usize, settings: ServerSettings, seed: Seed) -> Outcome<Box<dyn Selection>> {
    Ok(Box::new(ServerSet::new(servers, settings, seed)?))
}
