//! Where an example lies once it is built.

use std::env::consts::EXE_SUFFIX;
use std::fs;
use std::path::{Path, PathBuf};

/// `cargo test` builds the examples, but `cargo test --test NAME` alone does not, and an old one proves nothing.
pub(crate) fn built(example: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples").join(format!("{example}{EXE_SUFFIX}"));
    let written = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let Some(built) = written(&path) else {
        panic!("{} is not built: run `cargo build --examples`, or all of `cargo test`", path.display());
    };
    // What it was made of, as cargo notes it.
    let sources = fs::read_to_string(path.with_extension("d")).unwrap_or_default();
    if let Some(newer) = sources.split_whitespace().find(|source| written(Path::new(source)) > Some(built)) {
        panic!("{} is older than {newer}: run `cargo build --examples`, or all of `cargo test`", path.display());
    }
    path
}
