use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use super::sys::{self, System};
use crate::time::{Ns, Timestamp};

/// Monotonic time since the process first asked for it: one origin for all transports, so that their moments compare.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    system: System,
    origin: Ns,
}

/// The clock of this process, from the first use on.
static CLOCK: OnceLock<Clock> = OnceLock::new();

/// Has the time that the system sleeps count for deadlines and waits of this process: call it before the first transport
/// is made.
///
/// By default it does not count where the system's monotonic clock stands still meanwhile (Linux, macOS): a deadline of
/// 30 s is one of 30 s awake. With this, a request whose deadline passed while the system slept ends within a second of its
/// waking. Linux and Android (`CLOCK_BOOTTIME`); waits of more than a second then take a system call for each.
///
/// # Errors
///
/// [`io::ErrorKind::Unsupported`] on other systems; [`io::ErrorKind::ResourceBusy`] if a transport was made before, as
/// moments of two clocks cannot be compared.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # if cfg!(not(target_os = "linux")) { return Ok(()); }
/// udp_retry::net::count_time_asleep()?;
/// # Ok(())
/// # }
/// ```
pub fn count_time_asleep() -> io::Result<()> {
    let wanted = System::counting_sleep().ok_or(io::ErrorKind::Unsupported)?;
    let present = CLOCK.get_or_init(|| Clock::starting_now(wanted));
    if present.system == wanted { Ok(()) } else { Err(io::ErrorKind::ResourceBusy.into()) }
}

impl Clock {
    pub(super) fn new() -> Self {
        *CLOCK.get_or_init(|| Self::starting_now(System::Monotonic))
    }

    fn starting_now(system: System) -> Self {
        Self { system, origin: sys::nanoseconds(system) }
    }

    #[inline]
    pub(super) fn now(&self) -> Timestamp {
        // It never runs backwards.
        Timestamp::from_nanos(sys::nanoseconds(self.system).wrapping_sub(self.origin))
    }

    /// Whether it goes on while the system sleeps, as no wait does.
    #[inline]
    pub(super) fn counts_sleep(&self) -> bool {
        self.system != System::Monotonic
    }

    /// How long to wait at once. A system may end a wait late by 0.1 % of what was asked (Linux does), so a long one first
    /// asks for a little less, and then for the remainder, whose 0.1 % is nothing. And a wait goes on after the system slept
    /// as if it had not.
    pub(super) fn step(&self, remaining: Duration) -> Duration {
        const PRECISE: Duration = Duration::from_millis(50);
        const UNASLEEP: Duration = Duration::from_secs(1);
        let step = if remaining > PRECISE { remaining - remaining / 256 } else { remaining };
        if self.counts_sleep() { step.min(UNASLEEP) } else { step }
    }
}
