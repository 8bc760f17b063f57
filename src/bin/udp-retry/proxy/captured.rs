use std::io;

use udp_retry::fault::Capture;

use crate::output::OutputFile;
use crate::terminal::Outcome;

/// The packets, in a file for Wireshark.
pub(super) struct Captured {
    pub(super) capture: Capture,
    name: OutputFile,
}

impl Captured {
    pub(super) fn create(name: &OutputFile) -> Outcome<Self> {
        Ok(Self { capture: Capture::new(name.create()?), name: name.clone() })
    }

    /// Writes the rest. The error is the first that the file met.
    pub(super) fn finish(&self) -> io::Result<()> {
        self.capture.finish().map_err(|error| self.name.failed(error))
    }
}
