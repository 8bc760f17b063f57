//! The layers hold: no source uses a layer above its own, and the pure ones know no clock, socket or thread. Also
//! the facts that more than one file states: the README, the manifest and CI agree, and nothing stray is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, iter};

/// A module uses those on lower layers, plus `also`, minus `never`. A new module gets a row here, and one in the
/// table of `src/lib.rs`.
const MODULES: &[Module] = &[
    Module { name: "time", layer: 0, also: &[], never: &[] },
    Module { name: "entropy", layer: 0, also: &[], never: &[] },
    Module { name: "size", layer: 0, also: &[], never: &[] },
    Module { name: "policy", layer: 1, also: &[], never: &[] },
    Module { name: "transport", layer: 2, also: &[], never: &[] },
    Module { name: "request", layer: 2, also: &["transport"], never: &[] },
    Module { name: "pmtu", layer: 2, also: &[], never: &[] },
    Module { name: "fault", layer: 3, also: &[], never: &[] },
    Module { name: "net", layer: 4, also: &[], never: &["policy", "request", "pmtu", "fault"] },
    Module { name: "sim", layer: 4, also: &[], never: &[] },
    Module { name: "error", layer: 5, also: &[], never: &[] },
    Module { name: "requester", layer: 5, also: &["error"], never: &[] },
    Module { name: "responder", layer: 5, also: &["error"], never: &[] },
    Module { name: "discovery", layer: 5, also: &["error"], never: &[] },
    Module { name: "proxy", layer: 5, also: &["error"], never: &[] },
    Module { name: "storms", layer: 5, also: &[], never: &[] },
    Module { name: "lib", layer: 6, also: &[], never: &[] },
];

/// Up to here a module runs in virtual time and names `core` and `alloc` only.
const LAST_PURE_LAYER: u8 = 3;

/// `std` covers most of these; by their own names they are also found behind a re-export.
const IMPURE: [&str; 14] = [
    "std",
    "Instant",
    "SystemTime",
    "UdpSocket",
    "thread",
    "io",
    "HashMap",
    "HashSet",
    "RandomState",
    "println",
    "print",
    "eprintln",
    "eprint",
    "dbg",
];
/// Dependencies that reach the operating system.
const IMPURE_CRATES: [&str; 5] = ["rand", "socket2", "rustix", "mio", "tracing"];

/// The one thing of `std` that a pure layer names: a lock, as `core` has none. It decides nothing.
const LOCKED: (&str, [&str; 3]) = ("src/fault/control.rs", ["std", "::", "sync"]);

const MOST_NAMES_AT_THE_ROOT: usize = 12;

const KEPT: [&str; 14] = [
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "clippy.toml",
    "examples",
    "rustfmt.toml",
    "src",
    "tests",
];
/// These a package lacks.
const KEPT_IN_THE_REPOSITORY_ONLY: [&str; 3] = [".ci", ".gitignore", "rustfmt.toml"];
/// These no repository keeps, but its folder or an unpacked package may hold.
const TOLERATED: [&str; 5] = [".git", "target", "Cargo.toml.orig", ".cargo_vcs_info.json", ".cargo-ok"];

struct Module {
    name: &'static str,
    layer: u8,
    also: &'static [&'static str],
    never: &'static [&'static str],
}

impl Module {
    fn may_use(&self, other: &Module) -> bool {
        let granted = other.layer < self.layer || self.also.contains(&other.name);
        self.name == other.name || granted && !self.never.contains(&other.name)
    }
}

#[test]
fn every_source_uses_only_lower_layers_and_pure_layers_know_no_system() {
    let sources = sources();
    let root = names_at_the_root(&sources["src/lib.rs"]);
    let reports: Vec<Report> = sources.iter().map(|(path, source)| inspect(path, source, &root)).collect();
    let complaints: Vec<String> = reports.iter().flat_map(|report| report.complaints.clone()).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));

    // Not by having looked at nothing.
    let edges: usize = reports.iter().map(|report| report.edges.len()).sum();
    let (files, seen) = (sources.len(), sources.keys().map(|path| module_name(path)).collect::<BTreeSet<_>>());
    assert!(files >= 30 && edges >= 30, "only {files} sources with {edges} uses of other modules were read");
    for module in ["time", "entropy", "size", "policy", "transport", "request", "fault", "net", "requester", "lib"] {
        assert!(seen.contains(module), "no source of {module} was read");
    }
}

#[test]
fn at_most_twelve_names_stand_at_the_root() {
    let names = names_at_the_root(&sources()["src/lib.rs"]);
    assert!(names.contains_key("ReliableRequester"), "the names were not found: {names:?}");
    assert!(names.len() <= MOST_NAMES_AT_THE_ROOT, "{} names at the root: {:?}", names.len(), names.keys());
}

#[test]
fn the_readme_agrees_with_the_manifest_and_with_ci() {
    let (readme, manifest, front) = (read("README.md"), read("Cargo.toml"), read("src/lib.rs"));
    let version = manifest_value(&manifest, "rust-version");
    assert!(readme.contains(&format!("minimum Rust version is {version}")), "the README lacks Rust {version}");
    assert!(front.contains(&format!("oldest compiler is Rust {version}")), "src/lib.rs lacks Rust {version}");
    assert!(readme.contains(&format!("`{}`", manifest_value(&manifest, "license"))));
    let release = manifest_value(&manifest, "version");
    let (series, _patch) = release.rsplit_once('.').unwrap();
    assert!(readme.contains(&format!("udp-retry = \"{series}\"")), "the README does not ask for {series}");

    let commands: Vec<&str> =
        readme.lines().skip_while(|line| *line != "```sh").skip(1).take_while(|line| *line != "```").collect();
    assert_eq!(commands, ["cargo run --release --example lossy_backoff", "cargo test"]);
    if root().join(".ci").exists() {
        let ci = read(".ci/run");
        for command in commands {
            assert!(ci.lines().any(|line| line == format!("step {command}")), ".ci/run does not run `{command}`");
        }
    }
}

#[test]
fn the_readme_lists_every_example() {
    let listed = read("README.md");
    let mut examples = 0;
    for path in entries(&root().join("examples")).iter().filter(|path| path.extension().is_some_and(|it| it == "rs")) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(listed.contains(&format!("| `{name}` |")), "the README's table of examples lacks {name}");
        examples += 1;
    }
    assert!(examples > 0, "no example was found");
}

#[test]
fn the_top_level_holds_what_it_must_and_nothing_else() {
    let present = top_level();
    let in_repository = present.contains(".ci");
    for entry in &present {
        let known = KEPT.contains(&entry.as_str()) || TOLERATED.contains(&entry.as_str());
        assert!(known, "{entry} is not among the top-level entries listed in tests/layering.rs");
    }
    for entry in KEPT {
        let expected = in_repository || !KEPT_IN_THE_REPOSITORY_ONLY.contains(&entry);
        assert!(!expected || present.contains(entry), "{entry} is missing at the top level");
    }
}

/// The tracked files and the new ones, without the ignored; without git, what lies there.
fn top_level() -> BTreeSet<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .ok()
        .filter(|output| output.status.success() && root().join(".git").exists());
    match listed {
        Some(output) => {
            let first = |line: &str| line.split('/').next().unwrap_or(line).to_owned();
            String::from_utf8(output.stdout).unwrap().lines().map(first).collect()
        }
        None => entries(&root()).iter().map(|it| it.file_name().unwrap().to_str().unwrap().to_owned()).collect(),
    }
}

// The checker.

#[derive(Default)]
struct Report {
    /// The other modules that a source uses.
    edges: BTreeSet<String>,
    complaints: Vec<String>,
}

fn inspect(path: &str, source: &str, root: &BTreeMap<String, String>) -> Report {
    let mut report = Report::default();
    let name = module_name(path);
    let Some(module) = module(name) else {
        report.complaints.push(format!("{path}: `{name}` has no layer: add it to MODULES in tests/layering.rs"));
        return report;
    };
    let tokens = without_tests(tokens(source));
    if module.layer <= LAST_PURE_LAYER {
        report.complaints.extend(impurities(path, &tokens));
    }
    if name == "lib" {
        return report;
    }
    for (line, used) in uses(path, &tokens) {
        let used = match used {
            Ok(first) => root.get(&first).unwrap_or(&first).clone(),
            Err(complaint) => {
                report.complaints.push(format!("{path}:{line}: {complaint}"));
                continue;
            }
        };
        match self::module(&used) {
            None => report.complaints.push(format!("{path}:{line}: `crate::{used}` is no module of the table")),
            Some(other) if !module.may_use(other) => {
                report.complaints.push(format!("{path}:{line}: `{name}` must not use `{used}`"));
            }
            Some(other) if other.name != name => {
                report.edges.insert(used);
            }
            Some(_) => {}
        }
    }
    report
}

fn module(name: &str) -> Option<&'static Module> {
    MODULES.iter().find(|module| module.name == name)
}

/// `src/net/sys/linux.rs` belongs to `net`.
fn module_name(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
}

fn impurities(path: &str, tokens: &[Token]) -> Vec<String> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let follows = |text: &str| at > 0 && tokens[at - 1].text == text;
        let leads = tokens.get(at + 1).is_some_and(|next| next.text == "::");
        let dependency = IMPURE_CRATES.contains(&&*token.text) && (leads || follows("use") || follows("crate"));
        let lock = path == LOCKED.0 && tokens[at..].iter().map(|token| &*token.text).take(3).eq(LOCKED.1);
        if dependency || IMPURE.contains(&&*token.text) && !lock {
            found.push(format!("{path}:{}: `{}` in a pure layer", token.line, token.text));
        }
    }
    found
}

/// The names directly below the crate's root that a source reaches, each with its line.
fn uses(path: &str, tokens: &[Token]) -> Vec<(usize, Result<String, String>)> {
    let below_the_root = path.matches('/').count() == 1 || path.matches('/').count() == 2 && path.ends_with("/mod.rs");
    let mut found = Vec::new();
    let (mut depth, mut inline_modules) = (0_usize, Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        let text = |back: usize| at.checked_sub(back).map_or("", |before| tokens[before].text.as_str());
        match token.text.as_str() {
            "{" => {
                depth += 1;
                if text(2) == "mod" {
                    inline_modules.push(depth);
                }
            }
            "}" => {
                if inline_modules.last() == Some(&depth) {
                    inline_modules.pop();
                }
                depth = depth.saturating_sub(1);
            }
            "super" if text(1) == "::" && text(2) == "super" => {
                found.push((token.line, Err("`super::super` hides where it leads: write `crate::`".into())));
            }
            "crate" | "super"
                if tokens.get(at + 1).is_some_and(|next| next.text == "::")
                    && (token.text == "crate" || below_the_root && inline_modules.is_empty()) =>
            {
                found.extend(firsts(&tokens[at + 2..]).into_iter().map(|first| (token.line, first)));
            }
            // `use crate as other;` and `extern crate self as other;`
            "as" if matches!(text(1), "crate" | "self") => {
                found.push((token.line, Err("the crate under another name: write `crate::`".into())));
            }
            _ => {}
        }
    }
    found
}

/// The first names after `crate::`: one, or those of a group.
fn firsts(tokens: &[Token]) -> Vec<Result<String, String>> {
    let glob = || Err("`*` of the crate's root hides what is used".to_owned());
    match tokens.first().map(|token| token.text.as_str()) {
        Some("*") => vec![glob()],
        Some("{") => {
            let (mut depth, mut names) = (0, Vec::new());
            for pair in tokens.windows(2) {
                match pair[0].text.as_str() {
                    "{" => depth += 1,
                    "}" if depth == 1 => break,
                    "}" => depth -= 1,
                    _ => {}
                }
                let starts = depth == 1 && matches!(pair[0].text.as_str(), "{" | ",");
                match pair[1].text.as_str() {
                    "*" if starts => names.push(glob()),
                    name if starts && name != "}" => names.push(Ok(name.to_owned())),
                    _ => {}
                }
            }
            names
        }
        // `pub(in crate::x)` and every plain path.
        Some(name) => vec![Ok(name.to_owned())],
        None => vec![],
    }
}

/// Each name that `lib.rs` re-exports, with the module it comes from.
fn names_at_the_root(source: &str) -> BTreeMap<String, String> {
    let tokens = without_tests(tokens(source));
    let mut names = BTreeMap::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        if pair[0].text == "pub" && pair[1].text == "use" {
            let path: Vec<&str> =
                tokens[at + 2..].iter().map(|token| token.text.as_str()).take_while(|text| *text != ";").collect();
            let from = path.iter().find(|text| !matches!(**text, "crate" | "self" | "::")).unwrap();
            // A name is what ends a branch: followed by `,` or `}` or nothing.
            for (n, name) in path.iter().enumerate() {
                let ends = path.get(n + 1).is_none_or(|next| matches!(*next, "," | "}"));
                if ends && !matches!(*name, "," | "}" | "{") {
                    names.insert((*name).to_owned(), (*from).to_owned());
                }
            }
        }
    }
    names
}

#[derive(Clone, PartialEq, Debug)]
struct Token {
    text: String,
    line: usize,
}

/// Names, `::` and single signs; comments, strings, characters, lifetimes and numbers are left out.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let char_at = |at: usize| chars.get(at).copied().unwrap_or('\0');
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    let name_end = |from: usize| (from..).find(|at| !in_name(char_at(*at))).unwrap_or(from);
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let end = match (char_at(at), char_at(at + 1)) {
            ('/', '/') => (at..chars.len()).find(|it| char_at(*it) == '\n').unwrap_or(chars.len()),
            ('/', '*') => block_comment_end(&chars, at),
            ('"', _) => string_end(&chars, at),
            // A character, unless no quote closes it: then a lifetime.
            ('\'', '\\') => {
                (at + 3..chars.len()).find(|it| char_at(*it) == '\'').map_or(chars.len(), |quote| quote + 1)
            }
            ('\'', _) if char_at(at + 2) == '\'' => at + 3,
            ('\'', _) => name_end(at + 1),
            (':', ':') => {
                found.push(Token { text: "::".to_owned(), line });
                at + 2
            }
            (c, _) if in_name(c) => {
                let end = name_end(at);
                let name: String = chars[at..end].iter().collect();
                let hashes = (end..chars.len()).take_while(|it| char_at(*it) == '#').count();
                let raw = name.ends_with('r') && name.len() <= 2 && char_at(end + hashes) == '"';
                match name.as_str() {
                    "r" | "br" | "cr" if raw => raw_string_end(&chars, end, hashes),
                    "r" if hashes == 1 => end + 1,
                    "b" | "c" if char_at(end) == '"' => end,
                    "b" if char_at(end) == '\'' => end,
                    _ => {
                        if !c.is_ascii_digit() {
                            found.push(Token { text: name, line });
                        }
                        end
                    }
                }
            }
            (c, _) => {
                if !c.is_whitespace() {
                    found.push(Token { text: c.to_string(), line });
                }
                at + 1
            }
        };
        line += chars[at..end].iter().filter(|c| **c == '\n').count();
        at = end;
    }
    found
}

/// Comments nest.
fn block_comment_end(chars: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (0_usize, from);
    while at < chars.len() {
        match chars[at..chars.len().min(at + 2)] {
            ['/', '*'] => (depth, at) = (depth + 1, at + 2),
            ['*', '/'] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    chars.len().min(at + 1)
}

fn raw_string_end(chars: &[char], hash: usize, hashes: usize) -> usize {
    let close: Vec<char> = iter::once('"').chain(iter::repeat_n('#', hashes)).collect();
    let start = hash + hashes + 1;
    (start..chars.len()).find(|at| chars[*at..].starts_with(&close)).map_or(chars.len(), |at| at + close.len())
}

/// Leaves out every item behind `#[cfg(test)]`.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if tokens[at..].iter().map(|token| token.text.as_str()).take(MARK.len()).eq(MARK) {
            at = item_end(&tokens, at + MARK.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// Behind the first `;` outside all brackets, or the brace that closes the first one opened outside them.
fn item_end(tokens: &[Token], from: usize) -> usize {
    let mut open = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match token.text.as_str() {
            "(" | "[" | "{" => open += 1,
            ")" | "]" => open = open.saturating_sub(1),
            "}" => {
                open = open.saturating_sub(1);
                if open == 0 {
                    return at + 1;
                }
            }
            ";" if open == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

// What lies on the disk.

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    read.map(|entry| entry.unwrap().path()).collect()
}

/// Every source of the library, by its path with forward slashes.
fn sources() -> BTreeMap<String, String> {
    let mut folders = vec![root().join("src")];
    let mut sources = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            if path.is_dir() {
                // The tool is a crate of its own, on top of everything that is public.
                if !path.ends_with("src/bin") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
                let source = read(&relative);
                sources.insert(relative, source);
            }
        }
    }
    sources
}

/// The value of the first `key = "value"`, which is the package's own.
fn manifest_value<'m>(manifest: &'m str, key: &str) -> &'m str {
    let value = |line: &'m str| line.strip_prefix(key)?.strip_prefix(" = \"")?.split('"').next();
    manifest.lines().find_map(value).unwrap_or_else(|| panic!("Cargo.toml lacks {key}"))
}

// The checker, checked.

fn complaints(path: &str, source: &str) -> Vec<String> {
    let root = names_at_the_root("pub use net::ConnectedUdp; pub use transaction::{any_reply, transaction_id as id};");
    inspect(path, source, &root).complaints
}

#[test]
fn the_checker_finds_a_higher_layer_however_it_is_named() {
    for (path, source) in [
        ("src/time.rs", "use crate::policy::Backoff;"),
        ("src/time.rs", "fn f() -> crate::policy::Backoff {}"),
        ("src/time.rs", "use super::policy;"),
        ("src/policy/mod.rs", "pub(crate) use super::transaction::RetryTimer;"),
        ("src/policy/backoff.rs", "use crate::{entropy::{Seed, uniform}, time, transaction::RetryTimer};"),
        ("src/transport.rs", "use crate::transaction::RetryTimer;"),
        ("src/fault/sink.rs", "use crate::ConnectedUdp;"),
        ("src/net/udp.rs", "use crate::any_reply;"),
        ("src/net/udp.rs", "use crate::id;"),
        ("src/net/sys/linux.rs", "use super::super::policy::Backoff;"),
        ("src/time.rs", "mod inner { use super::super::policy; }"),
        ("src/requester.rs", "use crate::proxy::Proxy;"),
        ("src/request/mod.rs", "use crate::*;"),
        ("src/request/mod.rs", "use crate::{time::*, *};"),
        ("src/request/mod.rs", "use crate as all;"),
        ("src/request/mod.rs", "use crate::nowhere::X;"),
        ("src/time.rs", "#[cfg(test)] mod tests { fn f() {} } use crate::policy::Backoff;"),
        ("src/time.rs", "const C: char = '\"'; use crate::policy::Backoff; const D: char = '\"';"),
        ("src/time.rs", "fn f<'a>(x: &'a str) {} use crate::policy::Backoff;"),
        ("src/time.rs", "const S: &str = r#\"a \" b\"#; use crate::policy::Backoff;"),
        ("src/time.rs", "/* a /* nested */ one */ use crate::policy::Backoff;"),
        ("src/time.rs", "mod inner { } use super::policy;"),
    ] {
        assert_eq!(complaints(path, source).len(), 1, "{path}: {source}: {:?}", complaints(path, source));
    }
    assert_eq!(
        complaints("src/time.rs", "\n\nuse crate::policy::Backoff;"),
        ["src/time.rs:3: `time` must not use `policy`"]
    );
}

#[test]
fn the_checker_finds_clocks_sockets_and_threads_in_pure_layers_only() {
    for source in [
        "use std::fmt;",
        "fn f() { ::std::process::abort() }",
        "fn f(now: Instant) {}",
        "fn f() -> Result<(), io::Error> {}",
        "use core::net::{Ipv4Addr, UdpSocket};",
        "fn f() { thread::yield_now() }",
        "type Seen = HashMap<u8, u8>;",
        "use rand::Rng;",
        "fn f() { rustix::event::poll() }",
        "use socket2 as s;",
        "fn f() { println!() }",
    ] {
        for pure in ["src/size.rs", "src/policy/new.rs", "src/request/mod.rs", "src/transport.rs", "src/fault/sink.rs"]
        {
            assert_eq!(complaints(pure, source).len(), 1, "{pure}: {source}");
        }
        assert_eq!(complaints("src/net/udp.rs", source), [""; 0]);
    }
}

#[test]
fn the_checker_lets_one_file_have_a_lock_and_nothing_else() {
    assert_eq!(complaints("src/fault/control.rs", "use std::sync::Mutex;"), [""; 0]);
    assert_eq!(complaints("src/fault/sink.rs", "use std::sync::Mutex;").len(), 1);
    assert_eq!(complaints("src/fault/control.rs", "use std::time::Duration; use std::thread::spawn;").len(), 3);
}

#[test]
fn the_checker_is_content_with_lower_layers_tests_and_words() {
    for (path, source) in [
        ("src/request/mod.rs", "use crate::transport::PathError; use crate::{policy::RetryPolicy, time::{Ns, *}};"),
        ("src/request/matching.rs", "use super::Hold;"),
        ("src/requester.rs", "use crate::ConnectedUdp; use crate::error::RequestError; use crate::fault::LossySink;"),
        ("src/time.rs", "mod inner { use super::Timestamp; }"),
        ("src/time.rs", "//! [`x`](crate::net)\n/// std::thread\n// Instant\n/* crate::net */ fn f() {}"),
        ("src/time.rs", "const S: [&str; 3] = [\"crate::net \\\" std\", r\"std\", r##\"std \"# crate::net\"##];"),
        ("src/time.rs", "const C: [u8; 2] = [b'\\'', b'\"']; const S: &[u8] = b\"std\"; fn f<'std>() {}"),
        ("src/time.rs", "#[cfg(test)] #[expect(x, reason = \"y\")] mod tests { use std::thread; use crate::net::A; }"),
        ("src/time.rs", "#[cfg(test)] use std::thread; fn f(random: u8, rand: u8) {}"),
    ] {
        assert_eq!(complaints(path, source), [""; 0], "{path}: {source}");
    }
}

#[test]
fn the_checker_asks_for_the_layer_of_a_new_module() {
    for path in ["src/clock.rs", "src/clock/mod.rs"] {
        assert_eq!(
            complaints(path, ""),
            [format!("{path}: `clock` has no layer: add it to MODULES in tests/layering.rs")]
        );
    }
}

#[test]
fn the_checker_counts_the_names_of_every_group() {
    let names = names_at_the_root("pub use a::B; pub use crate::c::{D, e::{F, G as H}}; use i::J; // pub use k::L;");
    let pairs: Vec<(&str, &str)> = names.iter().map(|(name, from)| (name.as_str(), from.as_str())).collect();
    assert_eq!(pairs, [("B", "a"), ("D", "c"), ("F", "c"), ("H", "c")]);
}
