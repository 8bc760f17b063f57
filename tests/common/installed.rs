//! Programs of others, which `tests/install-programs.sh` installs.

use std::process::{Command, Stdio};

/// Whether all are; a test that lacks one is skipped and says so, and with `UDP_RETRY_REQUIRE_ALL` set that is a failure.
pub(crate) fn installed(test: &str, programs: &[&str]) -> bool {
    let missing = |program: &&&str| {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
        !found.unwrap().success()
    };
    let Some(missing) = programs.iter().find(missing) else { return true };
    assert!(
        std::env::var_os("UDP_RETRY_REQUIRE_ALL").is_none(),
        "{missing} is not installed: tests/install-programs.sh"
    );
    println!("SKIPPED {test}: {missing} is not installed: tests/install-programs.sh");
    false
}
