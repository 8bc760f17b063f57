//! Lines on standard output and standard error, and an exit code.

use std::error::Error;
use std::fmt::{self, Display};
use std::io::{self, Write};
use std::process::ExitCode;

/// What a command comes to; fit to cross threads.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Wrong usage that only the command itself can see: it ends the program as `clap` does, with 2.
#[derive(Debug)]
pub(crate) struct Misuse(pub(crate) String);

impl Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Misuse {}

/// Prints a result. The error may be a closed pipe, which [`exit_code`] takes for a quiet end.
pub(crate) fn say(line: impl Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// Remarks something on standard error, beside any result. That it cannot be read there is no reason to end.
pub(crate) fn remark(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// 0 when done, 1 when the thing failed.
pub(crate) fn exit_code(outcome: Outcome) -> ExitCode {
    match outcome {
        Err(error) if !is_closed_pipe(&*error) => {
            remark(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
