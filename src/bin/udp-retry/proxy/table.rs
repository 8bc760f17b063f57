use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use serde_json::Value;

use crate::audit::{self, Rate};

/// A report for people: its counters, and what was observed of each setting, in 80 columns unless a specification is longer.
pub(super) struct Table<'a> {
    pub(super) report: &'a Value,
    /// Of requests, and of replies.
    pub(super) rates: [Vec<Rate>; 2],
    /// There are other listeners, so that its name says which one it is.
    pub(super) is_one_of_several: bool,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { report, rates, .. } = self;
        let text = |key: &str| shown(&report[key]);
        let seconds = report["seconds"].as_f64().unwrap_or_default();
        writeln!(f, "{} in front of {}", text("listen"), text("upstream"))?;
        writeln!(f, "for {seconds:.1} s, --seed {}\n", text("seed"))?;
        // Also what is counted one day and has no name here.
        for (name, value) in report.as_object().into_iter().flatten() {
            if !APART.contains(&name.as_str()) && self.says_something(name, value) {
                row(f, &name.replace('_', " "), &parts(value))?;
            }
        }
        writeln!(f, "\n{:<NAME$}{:>COUNT$}{:>COUNT$}", "", "to server", "to client")?;
        for (name, [there, back]) in counters(report) {
            if KEPT.contains(&name.as_str()) || there + back > 0 {
                writeln!(f, "{name:<NAME$}{there:>COUNT$}{back:>COUNT$}")?;
            }
        }
        for (way, rates) in WAYS.into_iter().zip(rates) {
            let asked = &report[way];
            write!(f, "\n{}: {}", way.replace('_', " "), shown(&asked["spec"]))?;
            if !rates.is_empty() {
                write!(f, "\n{}", audit::table(rates))?;
            }
            let unmet: Vec<_> = asked["unmet"].as_array().into_iter().flatten().map(shown).collect();
            if !unmet.is_empty() {
                write!(f, "\n\n  met by no datagram: {}", unmet.join(", "))?;
            }
            if way == WAYS[0] {
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

impl Table<'_> {
    /// Whether a line of its own for that is any use to who reads the first one.
    fn says_something(&self, name: &str, value: &Value) -> bool {
        match name {
            "listener" => self.is_one_of_several,
            "upstream_name" => value.as_str().is_some_and(|name| name.parse::<SocketAddr>().is_err()),
            _ => true,
        }
    }
}

/// A name and what belongs to it, in as many lines as that takes.
fn row(f: &mut fmt::Formatter<'_>, name: &str, parts: &[String]) -> fmt::Result {
    let mut line = format!("{name:<PROPERTY$}");
    for (n, part) in parts.iter().enumerate() {
        let separator = if n + 1 < parts.len() { "," } else { "" };
        if n > 0 && line.chars().count() + 1 + part.chars().count() + separator.len() > COLUMNS {
            writeln!(f, "{line}")?;
            line = format!("{:<PROPERTY$}{part}{separator}", "");
        } else {
            line.push_str(&format!("{}{part}{separator}", if n > 0 { " " } else { "" }));
        }
    }
    if parts.is_empty() { Ok(()) } else { writeln!(f, "{line}") }
}

/// What is known of it; of several counters those that have counted.
fn parts(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Object(members) => {
            let counted = members.iter().flat_map(|(name, value)| member(name, value)).collect::<Vec<_>>();
            if counted.is_empty() { vec!["none".to_owned()] } else { counted }
        }
        other => vec![shown(other)],
    }
}

fn member(name: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Object(members) => members.iter().flat_map(|(name, value)| member(name, value)).collect(),
        value if *value == 0 => Vec::new(),
        value => vec![format!("{} {}", name.replace('_', " "), shown(value))],
    }
}

/// Of both directions, in the order of a datagram's life; the causes of drops below their sum.
fn counters(report: &Value) -> Vec<(String, [u64; 2])> {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let whole = |name: &str| (name.replace('_', " "), WAYS.map(|way| number(&report[way][name])));
    let of_cause = |cause: &String| (format!("  {cause}"), WAYS.map(|way| number(&report[way]["dropped"][cause])));
    let causes: Vec<_> = names(WAYS.map(|way| &report[way]["dropped"])).iter().map(of_cause).collect();
    let dropped = causes.iter().fold([0, 0], |[there, back], (_, [to, from])| [there + to, back + from]);
    let others = names(WAYS.map(|way| &report[way]));
    let others = others.iter().filter(|name| !ORDER.contains(&name.as_str()) && *name != "received");
    let mut counters = vec![whole("received"), ("dropped".to_owned(), dropped)];
    counters.extend(causes);
    counters.extend(ORDER.map(whole));
    counters.extend(others.map(|name| whole(name)).filter(|(name, _)| name != "dropped"));
    counters
}

/// Those that stand in one of them, at least.
fn names(objects: [&Value; 2]) -> BTreeSet<String> {
    objects.into_iter().filter_map(Value::as_object).flat_map(|members| members.keys().cloned()).collect()
}

/// Without quotes.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

const WAYS: [&str; 2] = ["to_server", "to_client"];
/// They have their own places, or say nothing that these do not.
const APART: [&str; 7] = ["listen", "upstream", "seed", "seconds", "replay", "to_server", "to_client"];
/// From what the link has let through to what became of it.
const ORDER: [&str; 7] = ["spared", "delivered", "duplicates", "passed", "in_flight", "discarded", "failed"];
/// Also if there were none.
const KEPT: [&str; 3] = ["received", "dropped", "passed"];
/// Columns.
const NAME: usize = 14;
const COUNT: usize = 14;
/// Of what is not counted in each direction.
const PROPERTY: usize = 16;
/// Of all of it.
const COLUMNS: usize = 80;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn way(spec: &str, received: u64, loss: u64) -> Value {
        json!({
            "spec": spec, "received": received, "delivered": received - loss, "duplicates": 0,
            "dropped": { "loss": loss, "queue": 0 },
            "passed": received - loss, "in_flight": 0, "discarded": 0, "failed": 0, "spared": 0, "unmet": [],
        })
    }

    #[test]
    fn it_shows_what_was_asked_and_observed_in_each_direction_and_what_else_was_counted() {
        let mut report = json!({
            "listen": "127.0.0.1:5353", "upstream": "[2001:db8::53]:53", "seed": "18446744073709551615", "replay": null,
            "seconds": 12.34, "sessions": { "open": 3, "opened": 4, "expired": 1, "evicted": 0 }, "unserved": 0,
            "path_errors": 2, "to_server": way("loss 30%", 120, 37), "to_client": way("none", 83, 0),
        });
        report["to_server"]["unmet"] = json!(["outage", "dose"]);
        // What is counted one day.
        report["kernel_drops"] = json!(null);
        report["unserved_why"] = json!({
            "by_reason": { "no_port": 3, "no_socket": 0, "not_there_at_all": 12345678 },
            "last_error": "Cannot assign requested address", "more": null,
        });
        report["strangers"] = json!({ "by_reason": { "no_port": 0 }, "last_error": null });
        report["to_client"]["dropped"]["duststorm"] = json!(7);
        report["to_client"]["vanished"] = json!(5);
        let rates = [vec![Rate::new("loss", 0.3, Some(37.0 / 120.0), 0.25, 120)], vec![]];
        let table = Table { report: &report, rates, is_one_of_several: false }.to_string();
        let expected = "\
127.0.0.1:5353 in front of [2001:db8::53]:53
for 12.3 s, --seed 18446744073709551615

path errors     2
sessions        expired 1, open 3, opened 4
strangers       none
unserved        0
unserved why    no port 3, not there at all 12345678,
                last error Cannot assign requested address

                   to server     to client
received                 120            83
dropped                   37             7
  duststorm                0             7
  loss                    37             0
delivered                 83            83
passed                    83            83
vanished                   0             5

to server: loss 30%

        asked  observed  bound   of
  loss    30%   30.833%  ± 25%  120  ok

  met by no datagram: outage, dose

to client: none";
        assert_eq!(table, expected, "\n{table}");
    }

    #[test]
    fn names_are_shown_where_they_say_something() {
        let shown = |upstream_name: &Value, is_one_of_several: bool| {
            let mut report = json!({ "listener": "dns", "listen": "127.0.0.1:5353", "upstream": "9.9.9.9:53" });
            (report["upstream_name"], report["seconds"]) = (upstream_name.clone(), 1.into());
            let (rates, nothing) = ([vec![], vec![]], way("none", 0, 0));
            (report["to_server"], report["to_client"]) = (nothing.clone(), nothing);
            let table = Table { report: &report, rates, is_one_of_several }.to_string();
            ["listener        dns\n", "upstream name   "].map(|line| table.contains(line))
        };
        assert_eq!(shown(&json!("9.9.9.9:53"), false), [false, false]);
        assert_eq!(shown(&json!("dns.quad9.net:53"), false), [false, true]);
        assert_eq!(
            shown(&json!("[fe80::1%eth0]:53"), true),
            [true, true],
            "the interface is shown by its name here alone"
        );
        assert_eq!(shown(&Value::Null, true), [true, false]);
    }
}
