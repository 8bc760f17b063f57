use alloc::sync::Arc;
use core::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::Capture;
use super::comment::{Tag, Verdict};
use super::file::File;
use super::packet::Ends;
use crate::fault::direction::Direction;
use crate::fault::record::Record;
use crate::time::{Ns, Timestamp, saturating_ns};

/// Where one network writes its datagrams, if anywhere.
pub(crate) struct Tap {
    file: Option<Arc<Mutex<File>>>,
    /// When it was attached, by the network's clock, and in nanoseconds since 1970.
    origin: Timestamp,
    start: Ns,
    /// Of the client's side and the server's.
    sides: [Interface; 2],
}

/// Where a packet is seen.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Interface(u32);

impl Tap {
    pub(crate) const NONE: Self =
        Self { file: None, origin: Timestamp::ZERO, start: 0, sides: [Interface(0), Interface(0)] };

    /// Writes to this capture from `now` on, which is `start` unless the caller has set that. Interfaces are still to be made.
    pub(crate) fn new(capture: Capture, now: Timestamp, start: SystemTime) -> Self {
        let Capture { file, start: set } = capture;
        let since = set.unwrap_or(start).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { file: Some(file), origin: now, start: saturating_ns(since), ..Self::NONE }
    }

    /// The same for the two sides of links.
    pub(crate) fn between_sides(capture: Capture, now: Timestamp, start: SystemTime) -> Self {
        let tap = Self::new(capture, now, start);
        let sides = ["client", "server"].map(|side| tap.interface(&side));
        Self { sides, ..tap }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.file.is_some()
    }

    pub(crate) fn interface(&self, name: &dyn fmt::Display) -> Interface {
        let mut number = 0;
        self.with(|file| number = file.interface(name));
        Interface(number)
    }

    /// A datagram enters a link.
    #[inline]
    pub(crate) fn entered(&self, record: &Record, ends: Ends, datagram: &[u8]) {
        if self.is_on() {
            self.entered_at(self.side(record.direction), record, ends, datagram);
        }
    }

    /// The same at an interface of the caller's.
    pub(crate) fn entered_at(&self, interface: Interface, record: &Record, ends: Ends, datagram: &[u8]) {
        let missing = record.len.saturating_sub(datagram.len());
        self.packet(interface, record.at, ends, (datagram, missing), format_args!("{}", Verdict(record)));
    }

    /// A copy has left its link.
    #[inline]
    pub(crate) fn left(&self, tag: &Tag, at: Timestamp, ends: Ends, datagram: &[u8], missing: usize) {
        if self.is_on() {
            self.packet(self.side(tag.direction.opposite()), at, ends, (datagram, missing), format_args!("{tag}"));
        }
    }

    /// A datagram is seen at an interface. `missing` bytes of it are not at hand.
    pub(crate) fn packet(
        &self,
        interface: Interface,
        at: Timestamp,
        ends: Ends,
        datagram: (&[u8], usize),
        comment: fmt::Arguments<'_>,
    ) {
        let nanos = self.start.saturating_add(at.since_ns(self.origin));
        self.with(|file| file.packet(interface.0, nanos, ends, datagram, comment));
    }

    /// The side from which a datagram of this direction comes.
    fn side(&self, direction: Direction) -> Interface {
        let [client, server] = self.sides;
        if direction == Direction::ToServer { client } else { server }
    }

    fn with(&self, act: impl FnOnce(&mut File)) {
        if let Some(file) = &self.file {
            act(&mut file.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}
