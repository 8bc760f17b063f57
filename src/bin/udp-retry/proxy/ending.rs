use std::io::{self, IsTerminal};

use super::recorder::lock;
use super::report::report;
use super::running::Running;
use super::table::Table;
use crate::output::OutputFile;
use crate::terminal::{Outcome, remark, say};

/// Ends the proxy, completes the recording, and reports. What cannot be written leaves the rest of it as it is, and the report somewhere.
pub(super) fn finish(running: Running<'_>) -> Outcome {
    let (report, rates) = (report(&running), running.rates());
    let Running { arguments, proxy, recorder, .. } = running;
    // Its sessions may have all the descriptors that there are, and a report needs one.
    drop(proxy);
    let recorded = recorder.as_ref().map_or(Ok(()), |recorder| lock(recorder).finish());
    let filed = arguments.report.as_ref().map_or(Ok(()), |file| file.write(&format!("{report}\n")));
    let is_apart = arguments.take_stdout();
    let shown = match () {
        () if is_apart => Ok(()),
        () if !arguments.json && io::stdout().is_terminal() => say(Table { report: &report, rates }),
        () => say(&report),
    };
    // Standard output is for something else, or takes nothing.
    let is_recording = arguments.record == Some(OutputFile::Stdout);
    if is_loud(&shown) || (is_apart && is_loud(&filed)) || (is_recording && is_loud(&recorded)) {
        remark(&report);
    }
    let outcomes = [recorded, filed, shown];
    let told: Vec<_> = outcomes.iter().filter(|it| is_loud(it)).filter_map(|it| it.as_ref().err()).collect();
    match told.as_slice() {
        [] => Ok(outcomes.into_iter().collect::<io::Result<()>>()?),
        told => Err(told.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ").into()),
    }
}

/// A closed pipe is a quiet end.
fn is_loud(outcome: &io::Result<()>) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe)
}
