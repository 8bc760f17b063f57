//! The counters as text for Prometheus, in its exposition format 0.0.4.

use std::fmt::Write as _;

use udp_retry::fault::{Direction, DirectionStats};
use udp_retry::proxy::{KernelDrops, ProxyStats};

use super::running::Running;

/// What one listener had counted at a moment.
#[derive(Debug)]
pub(super) struct Metrics {
    name: String,
    seconds: f64,
    changes: u64,
    stats: ProxyStats,
    kernel: Option<KernelDrops>,
}

impl Metrics {
    pub(super) fn of(running: &Running<'_>) -> Self {
        Self {
            name: running.name.to_owned(),
            seconds: running.started.elapsed().as_secs_f64(),
            changes: running.steering.changes,
            stats: running.proxy.stats(),
            kernel: running.proxy.kernel_drops(),
        }
    }

    fn direction(&self, direction: Direction) -> &DirectionStats {
        match direction {
            Direction::ToServer => &self.stats.to_server,
            Direction::ToClient => &self.stats.to_client,
        }
    }
}

/// A family of metrics stands together, whichever listeners it is of. Ends with the line `# EOF`.
pub(super) fn text(listeners: &[&Metrics]) -> String {
    let mut text = String::new();
    for (name, kind, help, value) in DIRECTED {
        head(&mut text, name, kind, help);
        for it in listeners {
            for (direction, label) in DIRECTIONS {
                let (listener, value) = (&it.name, value(it.direction(direction)));
                line(&mut text, name, &format!("listener=\"{listener}\",direction=\"{label}\""), value as f64);
            }
        }
    }
    let (name, kind, help) = DROPPED;
    head(&mut text, name, kind, help);
    for it in listeners {
        for (direction, label) in DIRECTIONS {
            for (cause, count) in causes(it.direction(direction)) {
                let labels = format!("listener=\"{}\",direction=\"{label}\",cause=\"{cause}\"", it.name);
                line(&mut text, name, &labels, count as f64);
            }
        }
    }
    for (name, kind, help, value) in WHOLE {
        let known = listeners.iter().filter_map(|it| Some((it, value(it)?)));
        let lines: Vec<_> = known.map(|(it, value)| (format!("listener=\"{}\"", it.name), value)).collect();
        // What the system does not tell of any is left out.
        if !lines.is_empty() {
            head(&mut text, name, kind, help);
            lines.iter().for_each(|(labels, value)| line(&mut text, name, labels, *value));
        }
    }
    text.push_str("# EOF\n");
    text
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    // To a string nothing fails.
    let _ = writeln!(text, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}");
}

/// Names need no escapes: they are letters, digits, - and _.
fn line(text: &mut String, name: &str, labels: &str, value: f64) {
    let _ = writeln!(text, "{PREFIX}{name}{{{labels}}} {value}");
}

fn causes(stats: &DirectionStats) -> [(&'static str, u64); 6] {
    let dropped = &stats.fates.dropped;
    [
        ("script", dropped.script),
        ("outage", dropped.outage),
        ("mtu", dropped.mtu),
        ("queue", dropped.queue),
        ("loss", dropped.loss),
        ("capacity", dropped.capacity),
    ]
}

/// Name, kind, help, and the value by direction.
type Directed = (&'static str, &'static str, &'static str, fn(&DirectionStats) -> u64);
/// The same by listener; `None` if it is not known.
type Whole = (&'static str, &'static str, &'static str, fn(&Metrics) -> Option<f64>);

const PREFIX: &str = "udp_retry_proxy_";
const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";
const DIRECTIONS: [(Direction, &str); 2] = [(Direction::ToServer, "to_server"), (Direction::ToClient, "to_client")];

const DIRECTED: [Directed; 13] = [
    ("received_total", COUNTER, "Datagrams that came in.", |it| it.fates.received),
    ("delivered_total", COUNTER, "Copies that the links let through.", |it| it.fates.delivered),
    ("duplicates_total", COUNTER, "Second and further copies among them.", |it| it.fates.duplicates),
    ("corrupted_total", COUNTER, "Copies with flipped bits.", |it| it.fates.corrupted),
    ("truncated_total", COUNTER, "Copies that were truncated.", |it| it.fates.truncated),
    ("clamped_total", COUNTER, "Datagrams that were truncated to the MTU.", |it| it.fates.clamped),
    ("held_total", COUNTER, "Datagrams that were held back to be overtaken.", |it| it.fates.held),
    ("scripted_total", COUNTER, "Datagrams that the script has a rule for.", |it| it.fates.scripted),
    ("spared_total", COUNTER, "Datagrams that the dose has spared.", |it| it.fates.spared),
    ("passed_total", COUNTER, "Copies that were sent on.", |it| it.passed),
    ("discarded_total", COUNTER, "Copies whose session had ended.", |it| it.discarded),
    ("failed_total", COUNTER, "Copies that the system did not send.", |it| it.failed),
    ("in_flight", GAUGE, "Copies that wait until they are due.", |it| it.in_flight),
];

const DROPPED: (&str, &str, &str) = ("dropped_total", COUNTER, "Datagrams that did not pass, by cause.");

const WHOLE: [Whole; 11] = [
    ("sessions", GAUGE, "Sessions at present.", |it| Some(it.stats.sessions as f64)),
    ("sessions_opened_total", COUNTER, "Sessions so far.", |it| Some(it.stats.opened as f64)),
    ("sessions_expired_total", COUNTER, "Sessions that were idle for too long.", |it| Some(it.stats.expired as f64)),
    ("sessions_evicted_total", COUNTER, "Sessions that ended for new ones.", |it| Some(it.stats.evicted as f64)),
    ("unserved_total", COUNTER, "Datagrams that no session could be had for.", |it| Some(it.stats.unserved as f64)),
    ("path_errors_total", COUNTER, "Errors of earlier datagrams that the system reported.", |it| {
        Some(it.stats.path_errors as f64)
    }),
    ("too_big_total", COUNTER, "Copies larger than a packet can be, among those that failed.", |it| {
        Some(it.stats.too_big as f64)
    }),
    ("kernel_dropped_total", COUNTER, "Requests that the system dropped before the proxy read them.", |it| {
        Some(it.kernel?.listener as f64)
    }),
    ("replies_kernel_dropped_total", COUNTER, "Replies that the system dropped before the proxy read them.", |it| {
        Some(it.kernel?.sessions as f64)
    }),
    ("changes_total", COUNTER, "Changes of the settings by commands.", |it| Some(it.changes as f64)),
    ("uptime_seconds", GAUGE, "Time since the start.", |it| Some(it.seconds)),
];
