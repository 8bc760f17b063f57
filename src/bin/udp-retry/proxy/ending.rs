use super::listeners::Listeners;
use super::recorder::lock;
use super::report::report;
use crate::terminal::{Outcome, say};

/// Completes the recordings, and reports: a line for each listener.
pub(super) fn finish(listeners: &Listeners<'_>) -> Outcome {
    let reports: Vec<String> = listeners.running.iter().map(|running| report(running).to_string()).collect();
    for recorder in listeners.running.iter().filter_map(|running| running.recorder.as_ref()) {
        lock(recorder).finish()?;
    }
    if let Some(file) = &listeners.process.report {
        file.write(&format!("{}\n", reports.join("\n")))?;
    }
    if !listeners.take_stdout() {
        say(reports.join("\n"))?;
    }
    Ok(())
}
