//! The properties of a retry library, put to udp-retry and to seven others alike; then what one call costs.
//!
//! `cargo run --release` prints the tables of the README.

mod cost;
mod libraries;
mod library;
mod properties;

use std::process;

use cost::Subject;
use libraries::ALL;
use library::Library;
use properties::{Held, Property, catch};

fn main() {
    // The properties pause a clock and may leave busy threads behind, so costs come first.
    let costs = costs();

    std::panic::set_hook(Box::new(|_| {}));
    let counterexamples = properties_table();
    println!("\nCounter-examples:\n");
    for line in counterexamples {
        println!("- {line}");
    }
    println!();
    for table in costs {
        println!("{table}");
    }
    process::exit(0);
}

/// Prints a line per property as it is checked; returns the counter-examples.
fn properties_table() -> Vec<String> {
    let names: Vec<_> = ALL.iter().map(|library| library.name()).collect();
    println!("| | property | {} |", names.join(" | "));
    println!("|---|---{}|", "|---".repeat(names.len()));
    let mut counterexamples = Vec::new();
    let mut failures = [0; ALL.len()];
    for property in &properties::ALL {
        let mut cells = Vec::new();
        for (library, failures) in ALL.iter().zip(&mut failures) {
            let (cell, counterexample) = verdict(property, *library);
            *failures += u32::from(cell == FAILS);
            cells.push(cell);
            counterexamples.extend(counterexample);
        }
        println!("| {} | {} | {} |", property.number, property.sentence, cells.join(" | "));
    }
    println!("| | **failures** | {} |", failures.map(|count| count.to_string()).join(" | "));
    counterexamples
}

const FAILS: &str = "**FAIL**";

fn verdict(property: &Property, library: &'static dyn Library) -> (&'static str, Option<String>) {
    let counterexample = match catch(|| (property.check)(library)) {
        Ok(Ok(Held::Yes)) => return ("ok", None),
        Ok(Ok(Held::Inapplicable)) => return ("n/a", None),
        Ok(Err(counterexample)) => counterexample,
        Err(panic) => format!("panicked: {panic}"),
    };
    let line = format!("{} {}: {counterexample}", property.number, library.name());
    match library.announced().iter().find(|(number, _)| *number == property.number) {
        Some((_, words)) => ("doc", Some(format!("{line} (documented: {words})"))),
        None => (FAILS, Some(line)),
    }
}

/// Two tables: delays and budgets.
fn costs() -> [String; 2] {
    let delays: Vec<_> = ALL.iter().flat_map(|library| library.delay_costs()).collect();
    let budgets: Vec<_> =
        ALL.iter().filter_map(|library| library.budget_cost().map(|cost| (library.name(), cost))).collect();
    [table("one delay", &delays), table("one deposit and one withdrawal", &budgets)]
}

/// The first subject is what the others are compared with.
fn table(what: &str, subjects: &[Subject]) -> String {
    const ROUNDS: usize = 501;
    let measured: Vec<_> = subjects.iter().map(|(_, cost)| *cost).collect();
    let costs = cost::medians(ROUNDS, &measured);
    let mut table =
        format!("| {what} (median of {ROUNDS} rounds) | ns | times ours | allocations |\n|---|---|---|---|\n");
    for ((name, _), cost) in subjects.iter().zip(&costs) {
        let ratio = cost.nanos / costs[0].nanos;
        table += &format!("| {name} | {:.1} | {ratio:.2} | {:.2} |\n", cost.nanos, cost.allocations);
    }
    table
}
