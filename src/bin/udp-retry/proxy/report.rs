use std::fmt;

use serde_json::{Value, json};
use udp_retry::Impairments;
use udp_retry::fault::DirectionStats;
use udp_retry::proxy::ProxyStats;

use super::running::Running;
use super::turned_away;
use crate::audit;

/// What was asked for and what was observed.
pub(super) fn report(running: &Running<'_>) -> Value {
    let Running { arguments, seed, proxy, started, .. } = running;
    let stats = proxy.stats();
    let profile = proxy.control().profile();
    json!({
        "listen": proxy.local_addr().to_string(),
        "upstream": proxy.upstream_addr().to_string(),
        "upstream_name": arguments.upstream.as_ref().map(ToString::to_string),
        "seed": seed.number(),
        "replay": arguments.network.replay.as_ref().map(|recording| &recording.file),
        "seconds": started.elapsed().as_secs_f64(),
        "sessions": {
            "open": stats.sessions,
            "opened": stats.opened,
            "expired": stats.expired,
            "evicted": stats.evicted,
        },
        "unserved": stats.unserved,
        "unserved_why": turned_away::report(proxy),
        "strangers": stats.strangers,
        "path_errors": stats.path_errors,
        "to_server": direction(&profile.to_server, &stats.to_server),
        "to_client": direction(&profile.to_client, &stats.to_client),
    })
}

fn direction(asked: &Impairments, stats: &DirectionStats) -> Value {
    let DirectionStats { fates, passed, in_flight, discarded, failed, .. } = stats;
    let dropped = &fates.dropped;
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
        "knobs": audit::rates(asked, fates).iter().map(audit::Rate::to_json).collect::<Vec<_>>(),
        "spared": fates.spared,
        "unmet": audit::unmet(asked, fates),
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
