//! Where an example lies once it is built.

use std::env::consts::EXE_SUFFIX;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// All of `cargo test` builds the examples, but `cargo test --test NAME` alone does not, and an old one proves nothing.
pub(crate) fn built(example: &str) -> PathBuf {
    fresh(example).unwrap_or_else(|_| {
        LazyLock::force(&BUILD);
        fresh(example).unwrap_or_else(|problem| panic!("{problem}: run `cargo build --examples`"))
    })
}

/// Once, whichever test asks first.
static BUILD: LazyLock<()> = LazyLock::new(|| {
    let cargo = Command::new(env!("CARGO")).args(["build", "--examples"]).output().unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
});

fn fresh(example: &str) -> Result<PathBuf, String> {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples").join(format!("{example}{EXE_SUFFIX}"));
    let written = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let Some(built) = written(&path) else { return Err(format!("{} is not built", path.display())) };
    // What it was made of, as cargo notes it.
    let sources = fs::read_to_string(path.with_extension("d")).unwrap_or_default();
    match sources.split_whitespace().find(|source| written(Path::new(source)) > Some(built)) {
        Some(newer) => Err(format!("{} is older than {newer}", path.display())),
        None => Ok(path),
    }
}
