//! What no compiler sees: modules use lower layers only, and what several files state is the same in each. That the
//! pure layers know no clock, socket or thread is the compiler's to say: they build without `std`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A module uses those of the rows above its own. A new one gets its place here, in `src/lib.rs` and in
/// `CONTRIBUTING.md`.
const ROWS: &str = "atomic entropy size time | policy | envelope transport | pmtu replies servers | transaction | fault | sim | net | path_mtu proxy requester serving | guide lib";
/// Sockets decide nothing and simulate nothing.
const NET_NEVER_USES: [&str; 4] = ["policy", "transaction", "fault", "sim"];
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const MOST_NAMES_AT_THE_ROOT: usize = 16;

const KEPT: &str = "CHANGELOG.md Cargo.lock Cargo.toml LICENSE-APACHE LICENSE-MIT README.md benches clippy.toml examples \
                    src tests";
const NOT_IN_A_PACKAGE: &str = ".ci .gitignore CONTRIBUTING.md rustfmt.toml";
/// These no repository keeps, but its folder or an unpacked package may hold.
const TOLERATED: &str = ".git target Cargo.toml.orig .cargo_vcs_info.json .cargo-ok";

#[test]
fn every_module_uses_lower_layers_only() {
    let row = |module: &str| ROWS.split(" | ").position(|row| row.split(' ').any(|it| it == module));
    let mut uses = 0;
    for path in sources("src").filter(|path| !path.starts_with("src/bin/")) {
        let module = path["src/".len()..].split(['/', '.']).next().unwrap();
        let own = row(module).unwrap_or_else(|| panic!("{path}: `{module}` has no row in tests/repository.rs"));
        let code = code(&path);
        let firsts = code.split("crate::").skip(1).filter_map(|rest| rest.split(|c| !in_a_name(c)).next());
        for used in firsts.filter(|used| *used != module) {
            let row = row(used).unwrap_or_else(|| panic!("{path}: `crate::{used}`: name the module that has it"));
            let never = module == "net" && NET_NEVER_USES.contains(&used);
            assert!(row < own && !never, "{path}: `{module}` must not use `{used}`");
            uses += 1;
        }
        let face = path == format!("src/{module}.rs") || path == format!("src/{module}/mod.rs");
        let hidden = code.contains("super::super") || face && code.contains("super::");
        assert!(!hidden, "{path}: `super` hides which module it leads to; write `crate::`");
    }
    assert!(uses >= 100, "only {uses} uses of other modules were found");
}

#[test]
fn at_most_sixteen_names_stand_at_the_root() {
    let front = code("src/lib.rs");
    let exported = front.split("pub use ").skip(1).map(|rest| rest.split(';').next().unwrap());
    let lists = exported.map(|path| path.rsplit("::").next().unwrap().trim_matches(['{', '}']));
    let names: Vec<&str> = lists.flat_map(|list| list.split(", ")).collect();
    assert!(names.contains(&"Seed") && names.contains(&"any_reply"), "the names were not found: {names:?}");
    assert!(names.iter().all(|name| name.chars().all(in_a_name)), "a name that hides others: {names:?}");
    assert!(names.len() <= MOST_NAMES_AT_THE_ROOT, "{} names at the root: {names:?}", names.len());
}

#[test]
fn readme_and_front_page_agree_with_the_manifest_and_with_ci() {
    let (readme, manifest, front) = (read("README.md"), read("Cargo.toml"), read("src/lib.rs"));
    let value = |key: &str| between(&manifest, &format!("\n{key} = \""), "\"");
    let minimum = value("rust-version");
    assert!(readme.contains(&format!("minimum Rust version is {minimum}")), "the README lacks Rust {minimum}");
    assert!(
        front.replace("\n//! ", " ").contains(&format!("compiler is Rust {minimum}.")),
        "src/lib.rs: Rust {minimum}"
    );
    assert!(readme.contains(&format!("(`{}`)", value("license"))), "the README states another license");
    let (series, _patch) = value("version").rsplit_once('.').unwrap();
    assert!(readme.contains(&format!("\nudp-retry = \"{series}\"")), "the README does not ask for {series}");

    let commands: Vec<&str> = between(&readme, "```sh\n", "```").lines().collect();
    assert_eq!(commands, ["cargo run --release --example lossy_backoff", "cargo test --all-features"]);
    for command in commands.iter().filter(|_| Path::new(ROOT).join(".ci").exists()) {
        let runs = read(".ci/run").lines().any(|line| line.trim() == format!("step {command}"));
        assert!(runs, ".ci/run does not run `{command}`");
    }
}

#[test]
fn every_feature_and_every_example_stands_in_its_table() {
    let (readme, manifest) = (read("README.md"), read("Cargo.toml"));
    let front = read("src/lib.rs").replace("//! ", "").replace("//!", "");
    let features = between(&manifest, "\n[features]\n", "\n\n").lines().filter_map(|line| line.split_once(" = "));
    let (default, features): (Vec<_>, Vec<_>) = features.partition(|(name, _)| *name == "default");
    let state = |name: &str| if default[0].1.contains(&format!("\"{name}\"")) { "on" } else { "off" };
    let stated: BTreeSet<_> = features.iter().map(|(name, _)| format!("| `{name}` | {} |", state(name))).collect();
    for (place, text) in [("README.md", &readme), ("src/lib.rs", &front)] {
        let rows = between(text, "feature | default | adds |\n|---|---|---|\n", "\n\n").lines();
        let listed = rows.filter(|row| row.starts_with('|')).map(|row| row.split_inclusive('|').take(3).collect());
        assert_eq!(listed.collect::<BTreeSet<String>>(), stated, "the features in {place} and those of Cargo.toml");
    }

    let rows = between(&readme, "| example | shows |\n|---|---|\n", "\n\n").lines();
    let listed: BTreeSet<String> = rows.map(|row| format!("examples/{}.rs", between(row, "| `", "` |"))).collect();
    let present: BTreeSet<String> = sources("examples").filter(|path| path.matches('/').count() == 1).collect();
    assert_eq!(listed, present, "the examples in README.md and those in the folder");
}

#[test]
fn the_top_level_holds_what_it_must_and_nothing_else() {
    let git = Command::new("git").args(["ls-files", "-co", "--exclude-standard"]).current_dir(ROOT).output();
    let git = git.ok().filter(|output| output.status.success() && Path::new(ROOT).join(".git").exists());
    // The tracked files and the new ones, without the ignored; without git, what lies there.
    let present: BTreeSet<String> = match git {
        Some(output) => {
            String::from_utf8(output.stdout).unwrap().lines().map(|it| it.split('/').next().unwrap().into()).collect()
        }
        None => fs::read_dir(ROOT).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect(),
    };
    let of_repository = NOT_IN_A_PACKAGE.split(' ').filter(|_| present.contains(".ci"));
    let expected: BTreeSet<&str> = KEPT.split_whitespace().chain(of_repository).collect();
    let found = present.iter().map(String::as_str).filter(|entry| !TOLERATED.split(' ').any(|it| it == *entry));
    assert_eq!(found.collect::<BTreeSet<_>>(), expected);
}

/// Of a manifest that cargo has rewritten for a package, the original.
fn read(path: &str) -> String {
    let read = |path: &str| fs::read_to_string(Path::new(ROOT).join(path));
    read(&format!("{path}.orig")).or_else(|_| read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The paths of all sources below a folder.
fn sources(folder: &str) -> impl Iterator<Item = String> {
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(Path::new(ROOT).join(&folder)).unwrap().map(Result::unwrap) {
            let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() { &mut folders } else { &mut found }.push(path);
        }
    }
    found.into_iter().filter(|path| path.ends_with(".rs"))
}

/// A source without comments and without the unit tests at its end.
fn code(path: &str) -> String {
    let source = read(path);
    let code = source.lines().take_while(|line| !line.starts_with("mod tests"));
    code.filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect()
}

fn in_a_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    let rest = text.split_once(start).unwrap_or_else(|| panic!("no {start:?}")).1;
    rest.split_once(end).unwrap_or_else(|| panic!("no {end:?} after {start:?}")).0
}
