use alloc::vec::Vec;

/// Buffers for replies that were used and are free.
#[derive(Debug)]
pub(super) struct Spare {
    buffers: Vec<Vec<u8>>,
}

impl Spare {
    pub(super) fn new() -> Self {
        Self { buffers: Vec::new() }
    }

    /// A buffer with these bytes.
    pub(super) fn filled(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut buffer = self.buffers.pop().unwrap_or_default();
        buffer.extend_from_slice(payload);
        buffer
    }

    /// Keeps a buffer, or returns it if there are enough, or if it is large.
    pub(super) fn take_back(&mut self, mut buffer: Vec<u8>) -> Option<Vec<u8>> {
        if self.buffers.len() >= MOST || buffer.capacity() > LARGEST {
            return Some(buffer);
        }
        buffer.clear();
        self.buffers.push(buffer);
        None
    }
}

/// They take 8 MiB at most.
const MOST: usize = 2048;
const LARGEST: usize = 4096;
