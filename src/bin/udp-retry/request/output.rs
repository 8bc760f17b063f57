//! Standard output for many lines.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::time::{Duration, Instant};

/// One write for many lines. A terminal has every line at once, anything else what there is from time to time, so that
/// nobody waits for a slow server's last reply to read its first.
pub(crate) struct Output {
    pub(crate) buffer: BufWriter<StdoutLock<'static>>,
    pause: Duration,
    flushed: Instant,
}

impl Output {
    pub(crate) fn new() -> Self {
        let pause = if io::stdout().is_terminal() { Duration::ZERO } else { Duration::from_millis(200) };
        let buffer = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        Self { buffer, pause, flushed: Instant::now() }
    }

    /// A line, which a terminal has at once.
    pub(crate) fn line(
        &mut self,
        line: impl FnOnce(&mut BufWriter<StdoutLock<'static>>) -> io::Result<()>,
    ) -> io::Result<()> {
        line(&mut self.buffer)?;
        if self.pause.is_zero() { self.buffer.flush() } else { Ok(()) }
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.buffer.flush()
    }

    /// Writes what there is, if the next chance comes only after `wait`, and that is too late.
    pub(crate) fn flush_if_old(&mut self, now: Instant, wait: Duration) -> io::Result<()> {
        if now.duration_since(self.flushed).saturating_add(wait) >= self.pause {
            self.flushed = now;
            self.buffer.flush()?;
        }
        Ok(())
    }
}
