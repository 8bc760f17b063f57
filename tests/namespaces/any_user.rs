//! The networks of these tests take no privileges: every topology is built, and its path found, by a user who has none.
#![cfg(target_os = "linux")]

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use crate::again::this_test;
use crate::watchdog::{MINUTE, within};

/// Whoever runs this without privileges runs all tests so.
#[test]
fn every_topology_is_found_by_a_user_without_privileges() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let test = this_test!();
    within(2 * MINUTE, move || {
        let possible = as_nobody(&["unshare", "-Urn", "true"]).output();
        if !possible.as_ref().is_ok_and(|output| output.status.success()) {
            let reason = format!("nobody may not make namespaces: {possible:?}");
            assert!(env::var_os("UDP_RETRY_REQUIRE_ALL").is_none(), "{reason}");
            println!("SKIPPED {test}: {reason}");
            return;
        }
        let program = Readable::new();
        let path = program.0.to_str().unwrap();
        let output = as_nobody(&["timeout", "-k", "5", "100", path, "path_mtu::", "--nocapture"]).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}");
        let topologies = ["direct", "chain", "chain2", "blackhole", "l2hole", "asym"];
        if !said.contains("SKIPPED") && !cfg!(udp_retry_portable) {
            let is_found = |topology: &&str| said.contains(&format!("\n{topology} fd00:"));
            assert!(topologies.iter().all(is_found), "{said}");
        }
        println!("{said}");
    });
}

fn as_nobody(words: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).args(words).current_dir("/");
    command
}

/// This program where every user may run it; its folder may be closed to them.
struct Readable(PathBuf);

impl Readable {
    fn new() -> Self {
        let copy = env::temp_dir().join(format!("udp-retry-namespaces-{}", std::process::id()));
        // By a program: a child that another test starts meanwhile would inherit this one's descriptor for writing, and
        // what is open for writing cannot be run.
        let mut install = Command::new("install");
        install.args(["-m", "755"]).args([&env::current_exe().unwrap(), &copy]);
        assert!(install.status().unwrap().success());
        Self(copy)
    }
}

impl Drop for Readable {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
