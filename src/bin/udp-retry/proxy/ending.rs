use super::recorder::lock;
use super::report::report;
use super::running::Running;
use crate::terminal::{Outcome, say};

/// Completes the recording, and reports.
pub(super) fn finish(running: &Running<'_>) -> Outcome {
    let report = report(running).to_string();
    if let Some(recorder) = &running.recorder {
        lock(recorder).finish()?;
    }
    if let Some(file) = &running.arguments.report {
        file.write(&format!("{report}\n"))?;
    }
    if !running.arguments.take_stdout() {
        say(report)?;
    }
    Ok(())
}
