use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex};

use super::captured::Captured;
use super::listeners::Listeners;
use super::recorder::{Recorder, lock};
use super::report::report;
use super::running::Running;
use super::table::Table;
use crate::terminal::{Outcome, remark, say};

/// Ends the listeners, completes their recordings and captures, and reports: a line for each. What cannot be written leaves the rest of it as
/// it is, and the report somewhere.
pub(super) fn finish(listeners: Listeners<'_>) -> Outcome {
    let (reports_apart, records_apart) = (listeners.reports_to_stdout(), listeners.records_to_stdout());
    let Listeners { running, process, .. } = listeners;
    let reports: Vec<_> = running.iter().map(report).collect();
    let text = reports.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let is_one_of_several = running.len() > 1;
    let table =
        |(running, report): (&Running<'_>, _)| Table { report, rates: running.rates(), is_one_of_several }.to_string();
    let tables = running.iter().zip(&reports).map(table);
    let tables = tables.collect::<Vec<_>>().join("\n\n");
    // Their sessions may have all the descriptors that there are, and a report needs one.
    let files: Vec<_> = running.into_iter().map(|Running { recorder, captured, .. }| (recorder, captured)).collect();
    let recorded =
        files.iter().filter_map(|(recorder, _)| recorder.as_ref()).map(completed).fold(Ok(()), io::Result::and);
    let captured = files.iter().filter_map(|(_, captured)| captured.as_ref()).map(Captured::finish);
    let captured = captured.fold(Ok(()), io::Result::and);
    let filed = process.report.as_ref().map_or(Ok(()), |file| file.write(&format!("{text}\n")));
    let shown = match () {
        () if reports_apart || records_apart => Ok(()),
        () if !process.json && io::stdout().is_terminal() => say(tables),
        () => say(&text),
    };
    // Standard output is for something else, or takes nothing.
    if is_loud(&shown)
        || ((reports_apart || records_apart) && is_loud(&filed))
        || (records_apart && (is_loud(&recorded) || is_loud(&captured)))
    {
        remark(&text);
    }
    let outcomes = [recorded, captured, filed, shown];
    let told: Vec<_> = outcomes.iter().filter(|it| is_loud(it)).filter_map(|it| it.as_ref().err()).collect();
    match told.as_slice() {
        [] => Ok(outcomes.into_iter().collect::<io::Result<()>>()?),
        told => Err(told.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ").into()),
    }
}

fn completed(recorder: &Arc<Mutex<Recorder>>) -> io::Result<()> {
    lock(recorder).finish()
}

/// A closed pipe is a quiet end.
fn is_loud(outcome: &io::Result<()>) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe)
}
