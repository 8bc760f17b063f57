use std::fmt;

use serde_json::{Value, json};
use udp_retry::Impairments;
use udp_retry::fault::{DirectionStats, LinkStats};
use udp_retry::proxy::ProxyStats;

use super::running::Running;
use super::turned_away;
use crate::audit::{self, Rate};
use crate::seeds;

/// What was asked for and what was observed.
pub(super) fn report(running: &Running<'_>) -> Value {
    let Running { name, arguments, seed, proxy, started, steering, .. } = running;
    let [to_server, to_client] = &steering.before;
    let stats = proxy.stats();
    let profile = proxy.control().profile();
    let replay = arguments.network.replay.as_ref();
    // While a recording is repeated nothing else is asked for.
    let spec = |asked: &Impairments| {
        replay.map_or_else(|| asked.to_string(), |recording| format!("recording {}", recording.file))
    };
    json!({
        "listener": name,
        "listen": proxy.local_addr().to_string(),
        "upstream": proxy.upstream_addr().to_string(),
        "upstream_name": arguments.upstream.as_ref().map(ToString::to_string),
        "seed": seeds::json(seed.number()),
        "replay": replay.map(|recording| &recording.file),
        "seconds": started.elapsed().as_secs_f64(),
        "sessions": {
            "open": stats.sessions,
            "opened": stats.opened,
            "expired": stats.expired,
            "evicted": stats.evicted,
        },
        "changes": {
            "number": steering.changes,
            "last": steering.changed.map(|changed| changed.as_secs_f64()),
        },
        "shared": arguments.shared,
        "unserved": stats.unserved,
        "unserved_why": turned_away::report(proxy),
        "strangers": stats.strangers,
        "path_errors": stats.path_errors,
        "too_big": stats.too_big,
        "kernel_dropped": proxy.kernel_drops().map(|dropped| json!({
            "listener": dropped.listener,
            "sessions": dropped.sessions,
        })),
        "to_server": direction(&profile.to_server, &stats.to_server, to_server, spec(&profile.to_server)),
        "to_client": direction(&profile.to_client, &stats.to_client, to_client, spec(&profile.to_client)),
    })
}

impl Running<'_> {
    /// Of the settings of requests, and of those of replies.
    pub(super) fn rates(&self) -> [Vec<Rate>; 2] {
        let (stats, profile, before) = (self.proxy.stats(), self.proxy.control().profile(), &self.steering.before);
        [
            audit::rates(&profile.to_server, &stats.to_server.fates.since(&before[0])),
            audit::rates(&profile.to_client, &stats.to_client.fates.since(&before[1])),
        ]
    }
}

/// Settings are held against what has come since they were made.
fn direction(asked: &Impairments, stats: &DirectionStats, before: &LinkStats, spec: String) -> Value {
    let DirectionStats { fates, passed, in_flight, discarded, failed, .. } = stats;
    let (dropped, since) = (&fates.dropped, fates.since(before));
    json!({
        "spec": spec,
        "received": fates.received,
        "delivered": fates.delivered,
        "duplicates": fates.duplicates,
        "dropped": {
            "script": dropped.script,
            "outage": dropped.outage,
            "mtu": dropped.mtu,
            "queue": dropped.queue,
            "loss": dropped.loss,
            "capacity": dropped.capacity,
        },
        "passed": passed,
        "in_flight": in_flight,
        "discarded": discarded,
        "failed": failed,
        "knobs": audit::rates(asked, &since).iter().map(Rate::to_json).collect::<Vec<_>>(),
        "spared": fates.spared,
        "unmet": audit::unmet(asked, &since),
    })
}

/// One line of a terminal, of 80 columns: a longer one would not be overwritten by the next.
pub(super) struct Counters<'a>(pub(super) &'a ProxyStats);

impl fmt::Display for Counters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProxyStats { to_server, to_client, sessions, .. } = self.0;
        let way = |stats: &DirectionStats| format!("{} in, {} out", stats.fates.received, stats.passed);
        let line = format!("clients {sessions} | to server {} | to client {}", way(to_server), way(to_client));
        // In ASCII.
        f.write_str(line.get(..COLUMNS - 1).unwrap_or(&line))
    }
}

const COLUMNS: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_fit_a_line_of_a_terminal_whatever_they_have_counted() {
        let mut stats = ProxyStats::default();
        assert_eq!(Counters(&stats).to_string(), "clients 0 | to server 0 in, 0 out | to client 0 in, 0 out");
        (stats.sessions, stats.to_server.passed, stats.to_client.passed) = (65_536, u64::MAX, u64::MAX);
        stats.to_server.fates.received = u64::MAX;
        assert_eq!(Counters(&stats).to_string().len(), 79);
    }
}
