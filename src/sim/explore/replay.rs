use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::any::type_name_of_val;
use core::fmt::Write as _;

use super::counterexample::{Counterexample, Details, Origin, Repeats, Shrinking, Story, links_of};
use super::panics::Listening;
use super::record::Record;
use super::run::{Name, Run, Scenario};
use crate::entropy::Seed;
use crate::fault::{Direction, Impairments};
use crate::sim::plan::Plan;
use crate::sim::world::MadePath;
use crate::sim::{Fault, SimNet};

/// Runs a scenario once, in a network with this seed and with certain faults only: the test that a [`Counterexample`]
/// prints, so that a failure stays found.
///
/// Each path has its number, by the order in which the scenario uses or sets them, and what happens in its two
/// directions, requests first, whatever the scenario asks for. Of other paths, and of one that the scenario sets a second
/// time, the least delay is left of what it asks for, and the script if there is one here.
///
/// ```
/// # use udp_retry::fault::Profile;
/// use udp_retry::sim::{SimNet, echo, replay};
/// use udp_retry::{ReliableRequester, RetryPolicy, transaction_id};
///
/// fn is_answered(net: &SimNet) -> Result<(), Box<dyn std::error::Error>> {
/// #   let (client, server) = (net.host("10.0.0.1".parse()?)?, net.host("10.0.0.2".parse()?)?);
/// #   net.path(client, server, Profile::both("loss 30%; delay 20ms ~5ms".parse()?))?;
/// #   net.serve("10.0.0.2:1060".parse()?, echo())?;
/// #   let transport = net.connect(client, "10.0.0.2:1060".parse()?)?;
/// #   let mut requester = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN).over(transport)?;
///     // ...
///     requester.request(&[7, b'?'])?;
///     Ok(())
/// }
///
/// replay(49, &[(0, "script { drop 1 }; delay 15ms", "delay 15ms")], is_answered)?;
/// # Ok::<(), udp_retry::sim::Counterexample>(())
/// ```
///
/// # Errors
///
/// The failure; also if the impairments of a path cannot be read.
pub fn replay<E: ToString>(
    seed: u64,
    paths: &[(u64, &str, &str)],
    scenario: impl Fn(&SimNet) -> Result<(), E>,
) -> Result<(), Counterexample> {
    let name = Name::plain(type_name_of_val(&scenario));
    let run = |net: &SimNet| scenario(net).map_err(|error| error.to_string());
    let links = read(paths).map_err(Counterexample::not_run)?;
    replayed(Seed::new(seed), links, &Scenario { name, run: &run })
}

type Links = BTreeMap<(u64, Direction), Impairments>;

fn read(paths: &[(u64, &str, &str)]) -> Result<Links, String> {
    let mut links = BTreeMap::new();
    for &(path, to_server, to_client) in paths {
        for (direction, text) in [(Direction::ToServer, to_server), (Direction::ToClient, to_client)] {
            let read: Result<Impairments, _> = text.parse();
            let read = read.map_err(|error| format!("path {path}, {}, {text:?}: {error}", direction.as_str()))?;
            if links.insert((path, direction), read).is_some() {
                return Err(format!("path {path} is given twice"));
            }
        }
    }
    Ok(links)
}

fn replayed(seed: Seed, links: Links, scenario: &Scenario<'_>) -> Result<(), Counterexample> {
    let rules = links.iter().flat_map(|(link, impairments)| {
        impairments.script().rules().iter().map(|&(n, rule)| Fault { path: link.0, direction: link.1, n, rule })
    });
    let faults: Vec<Fault> = rules.collect();
    let _listening = Listening::start();
    let record = Record::new();
    let ended = Run::by(Plan::pinned(links)).watched(record.clone()).make(seed, scenario);
    let Some(error) = ended.failure else { return Ok(()) };
    let record = record.take();
    let details = Box::new(Details {
        origin: Origin::Replayed,
        scenario: scenario.name,
        repeats: Repeats::Exactly,
        shrinking: Shrinking::Complete,
        before: None,
        story: Story { met: record.met, log: record.log, paths: ended.paths, unmet: ended.unmet },
    });
    Err(Counterexample { seed, error, faults: Some(faults), shrunk_error: None, details })
}

/// The test that makes a run again; its name ends in `suffix`.
pub(super) fn as_test(
    seed: Seed,
    scenario: Name,
    suffix: &str,
    paths: &[MadePath],
    faults: &[Fault],
    error: &str,
) -> String {
    let function = Function::named(scenario);
    let name = format!("{}_{suffix}", function.path.rsplit("::").next().unwrap_or_default());
    let mut test = String::new();
    // Writing to a string cannot fail.
    let _ = write_test(&mut test, seed, &name, &function, &shown(paths, faults), error);
    test
}

fn write_test(
    out: &mut String,
    seed: Seed,
    name: &str,
    function: &Function,
    paths: &[&MadePath],
    error: &str,
) -> core::fmt::Result {
    writeln!(out, "#[test]\nfn {name}() {{")?;
    for line in error.lines().take(MOST_LINES) {
        writeln!(out, "    // {line}")?;
    }
    writeln!(out, "    let paths = [{}", if paths.is_empty() { "];" } else { "" })?;
    for MadePath { path, client, server, profile } in paths {
        if let (Some(client), Some(server)) = (client, server) {
            writeln!(out, "        // Requests go from {client} to {server}.")?;
        }
        let (to_server, to_client) = (profile.to_server.to_string(), profile.to_client.to_string());
        writeln!(out, "        ({path}, {to_server:?}, {to_client:?}),")?;
    }
    if !paths.is_empty() {
        writeln!(out, "    ];")?;
    }
    if function.is_closure {
        writeln!(out, "    // The scenario is a closure; make it a function of this name.")?;
    }
    let scenario = &function.path;
    if function.with_tasks {
        writeln!(out, "    udp_retry::sim::replay({seed}, &paths, udp_retry::sim::with_tasks({scenario}))")?;
    } else {
        writeln!(out, "    udp_retry::sim::replay({seed}, &paths, {scenario})")?;
    }
    writeln!(out, "        .unwrap_or_else(|failure| panic!(\"{{failure}}\"));")?;
    out.push_str("}\n");
    Ok(())
}

/// All paths if they are few, else those that have a fault: the least delay of the others is what the scenario sets.
fn shown<'p>(paths: &'p [MadePath], faults: &[Fault]) -> Vec<&'p MadePath> {
    let links = links_of(faults);
    let few = paths.len() <= FEW_PATHS;
    paths.iter().filter(|path| few || links.iter().any(|(of, _)| *of == path.path)).collect()
}

/// The scenario as a test can name it.
struct Function {
    path: String,
    is_closure: bool,
    with_tasks: bool,
}

impl Function {
    /// From what the compiler calls it, such as `my_crate::tests::scenario`.
    fn named(Name { of, with_tasks }: Name) -> Self {
        let path = of.trim_start_matches('&');
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':');
        if !path.chars().all(plain) {
            return Self { path: "scenario".to_string(), is_closure: true, with_tasks };
        }
        let path = match path.split_once("::") {
            Some((first, rest)) if is_own_crate(first) => ["crate", rest].join("::"),
            _ => path.to_string(),
        };
        Self { path, is_closure: false, with_tasks }
    }
}

/// Whether this is the crate that the running program is made of: by the program's name, as far as cargo gives it.
fn is_own_crate(name: &str) -> bool {
    let program = std::env::current_exe().ok();
    let stem = program.as_ref().and_then(|path| path.file_stem()?.to_str()).unwrap_or_default();
    // Cargo puts 16 digits behind the names of tests.
    let stem = match stem.rsplit_once('-') {
        Some((stem, hash)) if hash.len() == 16 && hash.chars().all(|c| c.is_ascii_hexdigit()) => stem,
        _ => stem,
    };
    stem.replace('-', "_") == name
}

/// Of what the scenario reports, as a comment.
const MOST_LINES: usize = 6;
const FEW_PATHS: usize = 4;
