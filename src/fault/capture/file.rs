use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::io::{self, Write};

use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::pcapng::{Block, PcapNgBlock, PcapNgWriter};
use pcap_file::{DataLink, Endianness, PcapError, PcapResult};

use super::packet::{self, Ends};
use crate::size::LARGEST_DATAGRAM;

/// Blocks of a pcapng file (draft-ietf-opsawg-pcapng), until the writer fails.
pub(super) struct File {
    /// `None` once the file has ended.
    open: Option<Open>,
    error: Option<io::Error>,
}

struct Open {
    writer: Box<dyn Write + Send>,
    /// Whole ones that are not written yet.
    blocks: PcapNgWriter<Vec<u8>>,
    /// The last packet, whose memory serves the next.
    packet: Block<'static>,
}

impl File {
    pub(super) fn new(writer: Box<dyn Write + Send>) -> Self {
        let blocks = Vec::with_capacity(PIECE + LARGEST_DATAGRAM + LARGEST_REST);
        match PcapNgWriter::with_section_header(blocks, section()) {
            Ok(blocks) => Self { open: Some(Open { writer, blocks, packet: packet().into_block() }), error: None },
            Err(error) => Self { open: None, error: Some(of_writer(error)) },
        }
    }

    /// One more interface; returns its number.
    pub(super) fn interface(&mut self, name: &dyn fmt::Display) -> u32 {
        let mut number = 0;
        self.append(|open| {
            number = open.blocks.interfaces().len();
            let name = InterfaceDescriptionOption::IfName(name.to_string().into());
            let options = vec![name, InterfaceDescriptionOption::IfTsResol(NANOSECONDS)];
            // Packets begin with an IP header of either version, and are as long as they are.
            open.blocks.write_pcapng_block(InterfaceDescriptionBlock { linktype: DataLink::RAW, snaplen: 0, options })
        });
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// A datagram of which `missing` bytes are not at hand, at this time since 1970.
    pub(super) fn packet(
        &mut self,
        interface: u32,
        nanos: u64,
        ends: Ends,
        (datagram, missing): (&[u8], usize),
        comment: &dyn fmt::Display,
    ) {
        self.append(|Open { blocks, packet, .. }| {
            if let Block::EnhancedPacket(packet) = packet {
                packet.interface_id = interface;
                packet.timestamp = Duration::from_nanos(nanos);
                let data = packet.data.to_mut();
                data.clear();
                packet.original_len = packet::write(data, ends, datagram, missing);
                packet.options.iter_mut().for_each(|option| say(option, comment));
            }
            blocks.write_block(packet)
        });
    }

    /// Writes what there is.
    pub(super) fn flush(&mut self) {
        self.write(|writer, blocks| writer.write_all(blocks).and_then(|()| writer.flush()));
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.flush();
        self.open = None;
        self.error.take().map_or(Ok(()), Err)
    }

    fn append(&mut self, block: impl FnOnce(&mut Open) -> PcapResult<usize>) {
        let Some(open) = &mut self.open else { return };
        match block(open) {
            Ok(_) if open.blocks.get_ref().len() < PIECE => {}
            Ok(_) => self.write(|writer, blocks| writer.write_all(blocks)),
            Err(error) => self.end(of_writer(error)),
        }
    }

    fn write(&mut self, write: impl FnOnce(&mut dyn Write, &[u8]) -> io::Result<()>) {
        // Taken out meanwhile, so that a writer that panics is not called again.
        let Some(mut open) = self.open.take() else { return };
        match write(&mut open.writer, open.blocks.get_ref()) {
            Ok(()) => {
                open.blocks.get_mut().clear();
                self.open = Some(open);
            }
            Err(error) => self.end(error),
        }
    }

    fn end(&mut self, error: io::Error) {
        (self.open, self.error) = (None, Some(error));
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.flush();
    }
}

fn section() -> SectionHeaderBlock<'static> {
    let program = SectionHeaderOption::UserApplication(concat!("udp-retry ", env!("CARGO_PKG_VERSION")).into());
    // Alike on every machine.
    SectionHeaderBlock { endianness: Endianness::Little, options: vec![program], ..SectionHeaderBlock::default() }
}

fn packet() -> EnhancedPacketBlock<'static> {
    let (timestamp, data) = (Duration::ZERO, Cow::Borrowed(&[][..]));
    let options = vec![EnhancedPacketOption::Comment("".into())];
    EnhancedPacketBlock { interface_id: 0, timestamp, original_len: 0, data, options }
}

/// The text of an option that is a comment.
fn say(option: &mut EnhancedPacketOption<'static>, comment: &dyn fmt::Display) {
    let EnhancedPacketOption::Comment(text) = option else { return };
    let text = text.to_mut();
    text.clear();
    // A string takes everything.
    _ = fmt::Write::write_fmt(text, format_args!("{comment}"));
    while text.len() > usize::from(u16::MAX) {
        text.pop();
    }
}

fn of_writer(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        error => io::Error::other(error.to_string()),
    }
}

/// Bytes of blocks after which they are written: enough to make the calls of the system cheap.
const PIECE: usize = 64 << 10;
/// Of a block, beside the datagram: headers, and a comment on eight copies with eight flipped bits each.
const LARGEST_REST: usize = 4 << 10;
/// Negative powers of ten.
const NANOSECONDS: u8 = 9;
