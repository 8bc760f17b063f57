//! The wait of the event loop, as precise as the system allows.

use core::time::Duration;
use std::io;

use mio::{Registry, Token};

use crate::time::Timestamp;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use precise::Timer;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) use rounded::Timer;

/// By a timer of the kernel among the events: the timeouts of `epoll_wait` are whole milliseconds.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod precise {
    use std::os::fd::{AsRawFd, OwnedFd};

    use mio::Interest;
    use mio::unix::SourceFd;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };

    use super::*;

    #[derive(Debug)]
    pub(in crate::proxy) struct Timer {
        descriptor: OwnedFd,
        /// What it will fire at.
        armed: Option<Timestamp>,
    }

    impl Timer {
        pub(in crate::proxy) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
            let descriptor = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            registry.register(&mut SourceFd(&descriptor.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Self { descriptor, armed: None })
        }

        /// How long to wait for events: until `rough`, rounded up to milliseconds. The timer ends it at `precise`.
        pub(in crate::proxy) fn wait(
            &mut self,
            now: Timestamp,
            precise: Option<Timestamp>,
            rough: Timestamp,
        ) -> io::Result<Duration> {
            match precise {
                Some(due) if due <= now => return Ok(Duration::ZERO),
                Some(due) if due < rough && self.armed != Some(due) => self.arm(due, due.since(now))?,
                _ => {}
            }
            Ok(rough.since(now))
        }

        /// It has fired, and does not fire again until it is armed.
        pub(in crate::proxy) fn on_event(&mut self) {
            // Not read: arming resets it, and each expiry is an edge of its own.
            self.armed = None;
        }

        fn arm(&mut self, due: Timestamp, wait: Duration) -> io::Result<()> {
            let it_value = Timespec {
                tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: wait.subsec_nanos().into(),
            };
            let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
            timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &once)?;
            self.armed = Some(due);
            Ok(())
        }
    }
}

/// By the timeout of the poll, which mio rounds up to milliseconds.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod rounded {
    use super::*;

    #[derive(Debug)]
    pub(in crate::proxy) struct Timer;

    impl Timer {
        pub(in crate::proxy) fn new(_registry: &Registry, _token: Token) -> io::Result<Self> {
            Ok(Self)
        }

        pub(in crate::proxy) fn wait(
            &mut self,
            now: Timestamp,
            precise: Option<Timestamp>,
            rough: Timestamp,
        ) -> io::Result<Duration> {
            Ok(precise.map_or(rough, |due| due.min(rough)).since(now))
        }

        pub(in crate::proxy) fn on_event(&mut self) {}
    }
}
