use super::captured::Captured;
use super::recorder::lock;
use super::report::report;
use super::running::Running;
use crate::terminal::{Outcome, say};

/// Completes the files, and reports, also if the capture could not be written.
pub(super) fn finish(running: &Running<'_>) -> Outcome {
    let report = report(running).to_string();
    let captured = running.captured.as_ref().map_or(Ok(()), Captured::finish);
    if let Some(recorder) = &running.recorder {
        lock(recorder).finish()?;
    }
    if let Some(file) = &running.arguments.report {
        file.write(&format!("{report}\n"))?;
    }
    if !running.arguments.take_stdout() {
        say(report)?;
    }
    captured
}
