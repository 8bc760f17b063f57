//! The columns of the table: which servers, how much load, by how many clients.

use std::time::Duration;

use udp_retry::time::Timestamp;

use super::server::Kind;

/// A column.
#[derive(Clone)]
pub(crate) struct Situation {
    pub(crate) name: &'static str,
    /// Which table it stands in.
    pub(crate) group: Group,
    pub(crate) servers: Vec<Kind>,
    /// Requests a second, of all clients together.
    pub(crate) rate: f64,
    /// Requests that begin then count, and what is sent then.
    pub(crate) window: (Timestamp, Timestamp),
    /// Of the capacity of all servers together.
    pub(crate) utilisation: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// One client, and servers that answer as many as are asked.
    Health,
    /// One client, and servers that cannot do more than they can.
    Load,
    /// The same, with many clients.
    Fleet,
}

impl Situation {
    /// How often a run is repeated, and of how many requests each is, if there are to be this many.
    pub(crate) fn runs(&self, requests: u64) -> (u64, u64) {
        match self.window {
            EVER => (1, requests),
            // What happens once in a run is seen in several.
            _ => ((requests / OF_A_TROUBLE).max(1), OF_A_TROUBLE),
        }
    }

    pub(crate) fn is_fleet(&self) -> bool {
        self.group == Group::Fleet
    }
}

/// All of them, in the order of the tables.
pub(crate) fn all() -> Vec<Situation> {
    let health = |name, servers: [Kind; 3]| Situation {
        name,
        group: Group::Health,
        servers: servers.to_vec(),
        rate: 100.0,
        window: EVER,
        utilisation: None,
    };
    let silent = |from, until| Kind { silent: Some((from, until)), ..FINE };
    let dead = silent(Timestamp::ZERO, Timestamp::MAX);
    let window = (second(TROUBLE), second(TROUBLE + WINDOW));
    let out = silent(second(TROUBLE), second(TROUBLE + OUTAGE));
    let mut all = vec![
        health("mixed", [dead, SLOW, LOSSY]),
        health("slow-lossy-fine", [SLOW, LOSSY, FINE]),
        Situation { window, ..health("dies", [silent(second(TROUBLE), Timestamp::MAX), FINE, FINE]) },
        Situation { window, ..health("outage", [out; 3]) },
        Situation { rate: 0.1, ..health("rare", [FINE; 3]) },
        Situation { rate: 0.1, ..health("rare-dead", [dead, FINE, FINE]) },
    ];
    for (group, names) in [(Group::Load, LOADS), (Group::Fleet, FLEETS)] {
        for (name, rate) in names.into_iter().zip(RATES) {
            let equal = name != LOADS[4] && name != FLEETS[4];
            let capacities = if equal { [50; 3] } else { [25, 50, 100] };
            let servers = capacities.map(|capacity| Kind { capacity: Some(capacity), ..NEAR });
            let utilisation = equal.then(|| rate / 150.0);
            all.push(Situation { group, rate, utilisation, ..health(name, servers) });
        }
    }
    all
}

/// By capacity: equal servers, then 1 : 2 : 4.
const LOADS: [&str; 5] = ["load-67", "load-87", "load-97", "load-107", "unequal"];
const FLEETS: [&str; 5] = ["fleet-67", "fleet-87", "fleet-97", "fleet-107", "fleet-unequal"];
const RATES: [f64; 5] = [100.0, 130.0, 145.0, 160.0, 140.0];

const FINE: Kind = Kind { round_trip: Duration::from_millis(40), loss: 0.005, capacity: None, silent: None };
const SLOW: Kind = Kind { round_trip: Duration::from_millis(200), loss: 0.0, ..FINE };
/// With a fiftieth of a second of work a reply takes 40 ms, as those of others.
const NEAR: Kind = Kind { round_trip: Duration::from_millis(20), loss: 0.0, ..FINE };
const LOSSY: Kind = Kind { loss: 0.3, ..FINE };

const EVER: (Timestamp, Timestamp) = (Timestamp::ZERO, Timestamp::MAX);
/// Seconds: when something happens that counts for as long as the window lasts, and how long an outage of all is.
const TROUBLE: u64 = 25;
const WINDOW: u64 = 15;
const OUTAGE: u64 = 10;
/// 45 s at 100 a second: what begins after the window is load on it.
const OF_A_TROUBLE: u64 = 4500;

fn second(second: u64) -> Timestamp {
    Timestamp::ZERO.after(Duration::from_secs(second))
}
