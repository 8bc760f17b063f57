//! An example as a program that tests can run.

use std::env::{self, consts::EXE_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds it if it is not, or is older than what it is made of: `cargo test` builds all examples, but
/// `cargo test --test NAME` alone does not. That may take minutes, so it comes before a test's time is measured.
pub(crate) fn built(example: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let path = profile.join("examples").join(format!("{example}{EXE_SUFFIX}"));
    if !is_fresh(&path) {
        build(example, profile);
    }
    assert!(is_fresh(&path), "{} is older than its sources", path.display());
    path
}

/// Newer than all that it was made of, as cargo notes it.
fn is_fresh(path: &Path) -> bool {
    let written = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let sources = fs::read_to_string(path.with_extension("d")).unwrap_or_default();
    let built = written(path);
    built.is_some() && sources.split_whitespace().all(|source| written(Path::new(source)) <= built)
}

/// As `cargo test` would, so that what it has built is used.
fn build(example: &str, profile: &Path) {
    let name = match profile.file_name().unwrap().to_str().unwrap() {
        "debug" => "test",
        other => other,
    };
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet", "--profile", name, "--example", example]);
    cargo.arg("--target-dir").arg(profile.parent().unwrap());
    if cfg!(feature = "tracing") {
        cargo.arg("--all-features");
    }
    assert!(cargo.status().unwrap().success(), "the example {example} cannot be built");
}
