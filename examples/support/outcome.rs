//! Lines on standard output, and an exit code.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// What an example comes to; fit to cross threads.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Prints a result. The error may be a closed pipe, which [`exit_code`] takes for a quiet end.
pub(crate) fn say(line: impl Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// 0 when done, 1 when the thing failed; wrong usage ended in `clap` already, with 2.
pub(crate) fn exit_code(outcome: Outcome) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    // No one is left to tell if this fails too.
    let _ = writeln!(io::stderr(), "error: {error}");
    ExitCode::FAILURE
}
