use std::fs::File;
use std::io::{self, Stdout, Write};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use udp_retry::fault::Record;

use crate::output::OutputFile;
use crate::terminal::Outcome;

/// The fates, as lines of a file. The first error ends it and is told at the end.
///
/// It is written in blocks of whole lines, so that it can be read whatever ends the program.
pub(super) struct Recorder {
    target: Target,
    name: OutputFile,
    /// Whole lines that are not written yet.
    block: Vec<u8>,
    /// Bytes that are written, up to the end of a line.
    whole: u64,
    failed: Option<io::Error>,
}

impl Recorder {
    pub(super) fn create(name: &OutputFile) -> Outcome<Arc<Mutex<Self>>> {
        let target = match name {
            OutputFile::Stdout => Target::Stdout(io::stdout()),
            OutputFile::At(path) => Target::File(File::create(path).map_err(|error| name.failed(error))?),
        };
        Ok(Arc::new(Mutex::new(Self { target, name: name.clone(), block: Vec::new(), whole: 0, failed: None })))
    }

    pub(super) fn note(&mut self, record: &Record) {
        if self.failed.is_none() {
            self.block.extend_from_slice(format!("{record}\n").as_bytes());
            if self.block.len() >= BLOCK {
                self.write();
            }
        }
    }

    /// Writes what it has.
    pub(super) fn write(&mut self) {
        let block = mem::take(&mut self.block);
        let (written, outcome) = write_all(&mut self.target, &block);
        self.whole += whole_lines(&block[..written]) as u64;
        if let Err(error) = outcome {
            self.target.end_at(self.whole);
            self.failed = Some(error);
        } else {
            self.block = block;
            self.block.clear();
        }
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.write();
        self.failed.take().map_or(Ok(()), |error| Err(self.name.failed(error)))
    }
}

pub(super) fn lock(recorder: &Mutex<Recorder>) -> MutexGuard<'_, Recorder> {
    recorder.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where it goes.
enum Target {
    Stdout(Stdout),
    File(File),
}

impl Target {
    /// Takes off half a line that a full disk has left; only from a file of its own.
    fn end_at(&self, bytes: u64) {
        if let Self::File(file) = self {
            // What is no regular file has no length, and keeps it.
            let _ = file.set_len(bytes);
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File(file) => file.flush(),
        }
    }
}

/// As [`Write::write_all`], and how many bytes it has written.
fn write_all(target: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match target.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, target.flush())
}

/// Bytes of the lines that are whole.
fn whole_lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1)
}

/// Bytes, and the rest of a line: far more than a call of the system costs.
const BLOCK: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes this many bytes, a few at a time, and then no more.
    struct Disk {
        free: usize,
        interrupted: bool,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.interrupted = !self.interrupted;
            if self.interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let taken = bytes.len().min(self.free).min(7);
            self.free -= taken;
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_full_disk_took_is_known_to_the_byte() {
        for free in 0..=30 {
            let (written, outcome) = write_all(&mut Disk { free, interrupted: false }, b"123456789\n123456789\n");
            assert_eq!((written, outcome.is_ok()), (free.min(20), free >= 20));
        }
    }

    #[test]
    fn lines_are_whole_up_to_the_last_end_of_one() {
        for (bytes, whole) in [("", 0), ("a", 0), ("\n", 1), ("a\n", 2), ("a\nb", 2), ("a\nb\n", 4)] {
            assert_eq!(whole_lines(bytes.as_bytes()), whole, "{bytes:?}");
        }
    }
}
