use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use std::io::{self, Write};

use super::packet::{self, Ends};
use crate::size::LARGEST_DATAGRAM;

/// Blocks of a pcapng file (draft-ietf-opsawg-pcapng), little endian, until the writer fails.
pub(super) struct File {
    /// `None` once the file has ended.
    writer: Option<Box<dyn Write + Send>>,
    error: Option<io::Error>,
    /// Whole blocks that are not written yet.
    buffer: Vec<u8>,
    interfaces: u32,
}

impl File {
    pub(super) fn new(writer: Box<dyn Write + Send>) -> Self {
        let mut buffer = Vec::with_capacity(PIECE + LARGEST_DATAGRAM + LARGEST_REST);
        section_header(&mut buffer);
        Self { writer: Some(writer), error: None, buffer, interfaces: 0 }
    }

    /// One more interface; returns its number.
    pub(super) fn interface(&mut self, name: &dyn fmt::Display) -> u32 {
        let number = self.interfaces;
        self.interfaces += 1;
        self.append(|buffer| {
            block(buffer, INTERFACE, |buffer| {
                buffer.extend_from_slice(&LINKTYPE_RAW.to_le_bytes());
                buffer.extend_from_slice(&[0; 2]);
                buffer.extend_from_slice(&NO_LIMIT.to_le_bytes());
                text(buffer, IF_NAME, format_args!("{name}"));
                option(buffer, IF_TSRESOL, |buffer| buffer.push(NANOSECONDS));
                option(buffer, END_OF_OPTIONS, |_| {});
            });
        });
        number
    }

    /// A datagram of which `missing` bytes are not at hand, at this time since 1970.
    pub(super) fn packet(
        &mut self,
        interface: u32,
        nanos: u64,
        ends: Ends,
        (datagram, missing): (&[u8], usize),
        comment: fmt::Arguments<'_>,
    ) {
        self.append(|buffer| {
            block(buffer, ENHANCED_PACKET, |buffer| {
                buffer.extend_from_slice(&interface.to_le_bytes());
                // The higher half stands first.
                buffer.extend_from_slice(&nanos.rotate_left(32).to_le_bytes());
                let lengths = buffer.len();
                buffer.extend_from_slice(&[0; 8]);
                let original = packet::write(buffer, ends, datagram, missing);
                let captured = buffer.len() - lengths - 8;
                patch(buffer, lengths, &u32::try_from(captured).unwrap_or(u32::MAX).to_le_bytes());
                patch(buffer, lengths + 4, &original.to_le_bytes());
                pad(buffer, captured);
                text(buffer, COMMENT, comment);
                option(buffer, END_OF_OPTIONS, |_| {});
            });
        });
    }

    /// Writes what there is.
    pub(super) fn flush(&mut self) {
        self.write(|writer, blocks| writer.write_all(blocks).and_then(|()| writer.flush()));
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.flush();
        self.writer = None;
        self.buffer = Vec::new();
        self.error.take().map_or(Ok(()), Err)
    }

    fn append(&mut self, blocks: impl FnOnce(&mut Vec<u8>)) {
        if self.writer.is_none() {
            return;
        }
        blocks(&mut self.buffer);
        if self.buffer.len() >= PIECE {
            self.write(|writer, blocks| writer.write_all(blocks));
        }
    }

    fn write(&mut self, write: impl FnOnce(&mut dyn Write, &[u8]) -> io::Result<()>) {
        // Taken out meanwhile, so that a writer that panics is not called again.
        let Some(mut writer) = self.writer.take() else { return };
        match write(&mut writer, &self.buffer) {
            Ok(()) => {
                self.buffer.clear();
                self.writer = Some(writer);
            }
            Err(error) => {
                self.buffer = Vec::new();
                self.error = Some(error);
            }
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.flush();
    }
}

fn section_header(buffer: &mut Vec<u8>) {
    block(buffer, SECTION_HEADER, |buffer| {
        buffer.extend_from_slice(&BYTE_ORDER.to_le_bytes());
        // The version.
        buffer.extend_from_slice(&1_u16.to_le_bytes());
        buffer.extend_from_slice(&0_u16.to_le_bytes());
        buffer.extend_from_slice(&UNKNOWN_LENGTH.to_le_bytes());
        text(buffer, SHB_USERAPPL, format_args!("udp-retry {}", env!("CARGO_PKG_VERSION")));
        option(buffer, END_OF_OPTIONS, |_| {});
    });
}

/// Its length stands before and behind it.
fn block(buffer: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = buffer.len();
    buffer.extend_from_slice(&kind.to_le_bytes());
    buffer.extend_from_slice(&[0; 4]);
    body(buffer);
    let length = u32::try_from(buffer.len() - start + 4).unwrap_or(u32::MAX).to_le_bytes();
    patch(buffer, start + 4, &length);
    buffer.extend_from_slice(&length);
}

fn option(buffer: &mut Vec<u8>, code: u16, value: impl FnOnce(&mut Vec<u8>)) {
    buffer.extend_from_slice(&code.to_le_bytes());
    buffer.extend_from_slice(&[0; 2]);
    let start = buffer.len();
    value(buffer);
    buffer.truncate(start + usize::from(u16::MAX));
    let length = buffer.len() - start;
    patch(buffer, start - 2, &u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
    pad(buffer, length);
}

fn text(buffer: &mut Vec<u8>, code: u16, text: fmt::Arguments<'_>) {
    // A vector takes everything.
    option(buffer, code, |buffer| _ = buffer.write_fmt(text));
}

/// To whole words, behind this many bytes.
fn pad(buffer: &mut Vec<u8>, length: usize) {
    buffer.resize(buffer.len() + length.wrapping_neg() % 4, 0);
}

fn patch(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = buffer.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Bytes of blocks after which they are written: enough to make the calls of the system cheap.
const PIECE: usize = 64 << 10;
/// Of a block, beside the datagram: headers, and a comment on eight copies with eight flipped bits each.
const LARGEST_REST: usize = 4 << 10;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const UNKNOWN_LENGTH: u64 = u64::MAX;
/// Packets begin with an IP header of either version.
const LINKTYPE_RAW: u16 = 101;
/// Of the bytes of a packet.
const NO_LIMIT: u32 = 0;
/// Negative powers of ten.
const NANOSECONDS: u8 = 9;

const END_OF_OPTIONS: u16 = 0;
const COMMENT: u16 = 1;
const IF_NAME: u16 = 2;
const SHB_USERAPPL: u16 = 4;
const IF_TSRESOL: u16 = 9;
