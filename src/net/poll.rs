use std::array;
use std::io;
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::sys::Bell;
use crate::servers::Paths;
use crate::transport::PathIndex;

/// What ended a poll; nothing, if the time did, or a signal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Woken {
    pub(super) socket: bool,
    pub(super) bell: bool,
}

impl Woken {
    /// The time is up: what is queued counts all the same.
    pub(super) const LAST_LOOK: Self = Self { socket: true, bell: false };
    /// What did cannot be known.
    pub(super) const BY_ALL: Self = Self { socket: true, bell: true };
}

/// Waits for a datagram, an error or the bell.
pub(super) fn poll(socket: &UdpSocket, bell: Option<&Bell>, wait: Duration) -> io::Result<Woken> {
    let watched = PollFd::new(socket, PollFlags::IN);
    let mut both = [watched.clone(), bell.map_or(watched, Bell::watched)];
    ready(if bell.is_some() { &mut both[..] } else { &mut both[..1] }, wait)?;
    let [socket, rung] = both.map(|fd| !fd.revents().is_empty());
    Ok(Woken { socket, bell: rung && bell.is_some() })
}

/// As [`poll`], for the sockets of several paths, those that there is none for left out; which of them woke it.
pub(super) fn poll_paths<'s>(
    paths: Paths,
    socket: impl Fn(PathIndex) -> Option<&'s UdpSocket>,
    bell: Option<&'s Bell>,
    wait: Duration,
) -> io::Result<(Paths, bool)> {
    let watched = || paths.iter().filter_map(|path| Some((path, PollFd::new(socket(path)?, PollFlags::IN))));
    let Some((_, any)) = watched().next() else { return Ok((Paths::NONE, rest(bell, wait))) };
    // Where all stand that there can be, as an allocation for each wait would cost more.
    let mut fds: [PollFd<'_>; Paths::MOST + 1] = array::from_fn(|_| any.clone());
    let mut count = 0;
    for (place, fd) in fds.iter_mut().zip(bell.map(Bell::watched).into_iter().chain(watched().map(|(_, fd)| fd))) {
        *place = fd;
        count += 1;
    }
    ready(fds.get_mut(..count).unwrap_or_default(), wait)?;
    let mut woke = fds.iter().map(|fd| !fd.revents().is_empty());
    let rung = bell.is_some() && woke.next() == Some(true);
    let woken = watched().zip(woke).filter(|(_, woke)| *woke);
    Ok((woken.fold(Paths::NONE, |woken, ((path, _), _)| woken.with(path)), rung))
}

/// Waits for the bell alone, and returns whether it rang.
#[expect(clippy::disallowed_methods, reason = "nothing is there to wait for")]
pub(super) fn rest(bell: Option<&Bell>, wait: Duration) -> bool {
    let Some(bell) = bell else {
        thread::sleep(wait);
        return false;
    };
    let mut bell = [bell.watched()];
    if ready(&mut bell, wait).is_err() {
        // Without memory or descriptors for a poll; the bell is looked for again after it.
        thread::sleep(wait.min(UNPOLLED));
        return false;
    }
    bell.iter().any(|bell| !bell.revents().is_empty())
}

fn ready(fds: &mut [PollFd<'_>], wait: Duration) -> io::Result<()> {
    // Without a timer where the wait has no end: the system sets and takes back one for each other.
    let timeout = if wait < ENDLESS { Timespec::try_from(wait.min(LONGEST)).ok() } else { None };
    match rustix::event::poll(fds, timeout.as_ref()) {
        Ok(_) => Ok(()),
        Err(Errno::INTR) => {
            // What is set then says nothing.
            fds.iter_mut().for_each(PollFd::clear_revents);
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// How long nothing is looked for where the system cannot even wait.
const UNPOLLED: Duration = Duration::from_millis(100);
/// No wait that has an end is as long: 146 years.
const ENDLESS: Duration = Duration::from_nanos(1 << 62);
/// Some systems refuse a wait of more than 2³¹ ms.
const LONGEST: Duration = Duration::from_secs(1 << 20);
