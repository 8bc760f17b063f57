//! A signal that ends what runs, so that it still says what came of it.
#![expect(clippy::disallowed_methods, reason = "a pause between two requests, and a look at the signal now and then")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use udp_retry::net::CancelHandle;

/// Set by Ctrl-C and by whatever else asks a program to end; the second one ends it at once.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Set by SIGHUP, too.
    pub(crate) fn new() -> io::Result<Self> {
        let interrupt = Self::but_for_hangup()?;
        on_hangup(&interrupt.0)?;
        Ok(interrupt)
    }

    /// Where SIGHUP means something else.
    pub(crate) fn but_for_hangup() -> io::Result<Self> {
        let set = Arc::new(AtomicBool::new(false));
        for &signal in ENDING {
            // In this order: the first one finds it unset.
            flag::register_conditional_shutdown(signal, 128 + signal, set.clone())?;
            flag::register(signal, set.clone())?;
        }
        Ok(Self(set))
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Until then, or until it is set.
    pub(crate) fn sleep(&self, mut wait: Duration) {
        while !wait.is_zero() && !self.is_set() {
            let step = wait.min(TURN);
            thread::sleep(step);
            wait -= step;
        }
    }

    /// Has it end this wait, too.
    pub(crate) fn ends(&self, wait: CancelHandle) -> io::Result<()> {
        let interrupt = self.clone();
        thread::Builder::new().spawn(move || {
            while !interrupt.is_set() {
                thread::sleep(TURN);
            }
            wait.cancel();
        })?;
        Ok(())
    }
}

/// Has SIGHUP set this, unless it was ignored when the program started, as it is under `nohup`.
///
/// Any number of them do no more: a terminal that closes sends it, and so does the shell in it.
#[cfg(unix)]
pub(crate) fn on_hangup(set: &Arc<AtomicBool>) -> io::Result<()> {
    if !ignored::is_ignored(signal_hook::consts::SIGHUP) {
        flag::register(signal_hook::consts::SIGHUP, set.clone())?;
    }
    Ok(())
}

/// There is none.
#[cfg(not(unix))]
pub(crate) fn on_hangup(_set: &Arc<AtomicBool>) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
const ENDING: &[i32] = &[SIGINT, SIGTERM, signal_hook::consts::SIGQUIT];
#[cfg(not(unix))]
const ENDING: &[i32] = &[SIGINT, SIGTERM];

const TURN: Duration = Duration::from_millis(20);

/// What to do at a signal can only be asked for by setting it, but for two who know.
#[cfg(unix)]
mod ignored {
    use std::fs;
    use std::process::{Command, Stdio};

    pub(super) fn is_ignored(signal: i32) -> bool {
        let status = fs::read_to_string("/proc/self/status").ok();
        status.and_then(|status| in_status(&status, signal)).unwrap_or_else(|| in_a_shell(signal))
    }

    /// As Linux shows it: a bit for each signal, from 1.
    fn in_status(status: &str, signal: i32) -> Option<bool> {
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
        let ignored = u64::from_str_radix(ignored.trim(), 16).ok()?;
        Some(ignored.checked_shr(u32::try_from(signal - 1).ok()?)? & 1 == 1)
    }

    /// What is ignored is inherited, and a shell cannot trap it then (POSIX, `trap`).
    fn in_a_shell(signal: i32) -> bool {
        let script = format!("trap 'echo trapped' {signal}; kill -{signal} $$; :");
        let shell = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).stderr(Stdio::null()).output();
        shell.is_ok_and(|it| it.status.success() && it.stdout.is_empty())
    }

    #[cfg(test)]
    mod tests {
        use signal_hook::consts::{SIGHUP, SIGTERM};

        use super::*;

        #[test]
        fn a_signal_is_ignored_if_its_bit_is_set() {
            let status =
                "Name:\tproxy\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000004002\n";
            let ignored: Vec<_> = (1..=64).filter(|&signal| in_status(status, signal) == Some(true)).collect();
            assert_eq!(ignored, [1, 13]);
            for unreadable in ["", "SigIgn:", "SigIgn:\tnone"] {
                assert_eq!(in_status(unreadable, SIGHUP), None);
            }
        }

        #[cfg(target_os = "linux")]
        #[test]
        fn a_shell_says_the_same_as_the_system() {
            let status = fs::read_to_string("/proc/self/status").unwrap();
            // Ignored from the start in one of its own, whatever holds for this process.
            for signal in [SIGHUP, SIGTERM] {
                assert_eq!(Some(in_a_shell(signal)), in_status(&status, signal), "signal {signal}");
            }
            let program = "grep SigIgn: /proc/self/status; trap 'echo trapped' HUP; kill -HUP $$; :";
            let nohup = format!("trap '' HUP; exec sh -c \"{}\"", program.replace('$', "\\$"));
            let output = Command::new("sh").args(["-c", &nohup]).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert_eq!(in_status(&text, SIGHUP), Some(true), "{text}");
            assert!(output.status.success() && !text.contains("trapped"), "{text}");
        }
    }
}
