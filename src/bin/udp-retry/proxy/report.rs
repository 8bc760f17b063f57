use std::fmt;

use serde_json::{Value, json};
use udp_retry::Impairments;
use udp_retry::fault::{DirectionStats, LinkStats};
use udp_retry::proxy::ProxyStats;

use super::running::Running;
use crate::audit;

/// What was asked for and what was observed.
pub(super) fn report(running: &Running<'_>) -> Value {
    let Running { name, arguments, seed, proxy, started, steering, .. } = running;
    let [to_server, to_client] = &steering.before;
    let stats = proxy.stats();
    let profile = proxy.control().profile();
    json!({
        "listener": name,
        "listen": proxy.local_addr().to_string(),
        "upstream": proxy.upstream_addr().to_string(),
        "seed": seed.number(),
        "replay": arguments.network.replay.as_ref().map(|recording| &recording.file),
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
        "path_errors": stats.path_errors,
        "too_big": stats.too_big,
        "kernel_dropped": proxy.kernel_drops().map(|dropped| json!({
            "listener": dropped.listener,
            "sessions": dropped.sessions,
        })),
        "to_server": direction(&profile.to_server, &stats.to_server, to_server),
        "to_client": direction(&profile.to_client, &stats.to_client, to_client),
    })
}

/// Settings are held against what has come since they were made.
fn direction(asked: &Impairments, stats: &DirectionStats, before: &LinkStats) -> Value {
    let DirectionStats { fates, passed, in_flight, discarded, failed, .. } = stats;
    let (dropped, since) = (&fates.dropped, fates.since(before));
    json!({
        "spec": asked.to_string(),
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
        "knobs": audit::rates(asked, &since).iter().map(audit::Rate::to_json).collect::<Vec<_>>(),
        "spared": fates.spared,
        "unmet": audit::unmet(asked, &since),
    })
}

/// One line of a terminal.
pub(super) struct Counters<'a>(pub(super) &'a ProxyStats);

impl fmt::Display for Counters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProxyStats { to_server, to_client, sessions, .. } = self.0;
        let way = |stats: &DirectionStats| {
            let DirectionStats { fates, passed, in_flight, .. } = stats;
            format!("{} in, {passed} out, {} dropped, {in_flight} on their way", fates.received, fates.dropped.total())
        };
        write!(f, "{sessions} clients | to server: {} | to client: {}", way(to_server), way(to_client))
    }
}
