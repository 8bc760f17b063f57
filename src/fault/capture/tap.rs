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
        self.packet(interface, record.at, ends, (datagram, missing), &Verdict(record));
    }

    /// A copy has left its link.
    #[inline]
    pub(crate) fn left(&self, tag: &Tag, at: Timestamp, ends: Ends, datagram: &[u8], missing: usize) {
        if self.is_on() {
            self.packet(self.side(tag.direction.opposite()), at, ends, (datagram, missing), tag);
        }
    }

    /// A datagram is seen at an interface. `missing` bytes of it are not at hand.
    pub(crate) fn packet(
        &self,
        interface: Interface,
        at: Timestamp,
        ends: Ends,
        datagram: (&[u8], usize),
        comment: &dyn fmt::Display,
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

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
    use core::time::Duration;
    use std::io::{self, Write};

    use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
    use pcap_file::pcapng::{Block, PcapNgReader};

    use super::*;

    #[test]
    fn a_comment_ends_where_an_option_does_and_within_no_character() {
        for (letter, longest) in [("a", 65_535), ("\u{e9}", 65_534), ("\u{20ac}", 65_535), ("\u{1d11e}", 65_532)] {
            for more in [0, 1, 70_000] {
                let long = letter.repeat(longest / letter.len() + more);
                let found = written(SystemTime::UNIX_EPOCH, &[(0, &long), (0, ""), (0, "next")]);
                assert!(found[0].1.len() == longest && long.starts_with(&found[0].1), "{} bytes", found[0].1.len());
                assert_eq!(found[1..], [(0, String::new()), (0, "next".to_owned())]);
            }
        }
    }

    #[test]
    fn times_before_1970_and_after_the_last_that_fits_are_the_nearest_that_do() {
        let times = |start| written(start, &[(0, ""), (1, ""), (2, ""), (Ns::MAX, "")]).into_iter().map(|it| it.0);
        let of = |nanos| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert!(times(before).eq([0, 1, 2, Ns::MAX]));
        assert!(times(of(700)).eq([700, 701, 702, Ns::MAX]));
        // Some systems count in steps of 100 ns.
        let late = Ns::MAX - Ns::MAX % 100;
        assert!(times(of(late)).eq([late, late + 1, late + 2, Ns::MAX]));
        assert!(times(of(Ns::MAX) + Duration::from_secs(1)).eq([Ns::MAX; 4]));
    }

    #[test]
    fn a_packet_at_no_interface_ends_the_file_with_an_error() {
        let capture = Capture::new(io::sink());
        let tap = Tap::new(capture.clone(), Timestamp::ZERO, SystemTime::UNIX_EPOCH);
        tap.packet(Interface(0), Timestamp::ZERO, ends(), (&[], 0), &"");
        assert!(capture.finish().unwrap_err().to_string().contains("interface"));
        assert!(capture.finish().is_ok(), "it has been told");
    }

    /// What a file has of packets at these times with these comments.
    fn written(start: SystemTime, packets: &[(Ns, &str)]) -> Vec<(Ns, String)> {
        let memory = Memory::default();
        let capture = Capture::new(memory.clone()).starting_at(start);
        let tap = Tap::new(capture.clone(), Timestamp::ZERO, SystemTime::UNIX_EPOCH);
        let interface = tap.interface(&"side");
        for (at, comment) in packets {
            tap.packet(interface, Timestamp::from_nanos(*at), ends(), (b"datagram", 0), comment);
        }
        capture.finish().unwrap();
        let file = memory.0.lock().unwrap().clone();
        let (mut reader, mut found) = (PcapNgReader::new(file.as_slice()).unwrap(), Vec::new());
        while let Some(block) = reader.next_block() {
            let Block::EnhancedPacket(packet) = block.unwrap() else { continue };
            let [EnhancedPacketOption::Comment(comment)] = packet.options.as_slice() else { panic!("{packet:?}") };
            found.push((saturating_ns(packet.timestamp), comment.to_string()));
        }
        assert_eq!(found.len(), packets.len());
        found
    }

    fn ends() -> Ends {
        (([192, 0, 2, 1], 1).into(), ([192, 0, 2, 2], 2).into())
    }

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
