use std::io::{self, BufWriter, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use udp_retry::fault::Record;

use crate::output::OutputFile;
use crate::terminal::Outcome;

/// The fates, as lines of a file. The first error ends it and is told at the end.
pub(super) struct Recorder {
    file: io::Result<BufWriter<Box<dyn Write + Send>>>,
    name: OutputFile,
}

impl Recorder {
    pub(super) fn create(name: &OutputFile) -> Outcome<Arc<Mutex<Self>>> {
        Ok(Arc::new(Mutex::new(Self { file: Ok(BufWriter::new(name.create()?)), name: name.clone() })))
    }

    pub(super) fn note(&mut self, record: &Record) {
        if let Ok(file) = &mut self.file {
            if let Err(error) = writeln!(file, "{record}") {
                self.file = Err(error);
            }
        }
    }

    pub(super) fn finish(&mut self) -> Outcome {
        let written = match &mut self.file {
            Ok(file) => file.flush(),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        Ok(written.map_err(|error| self.name.failed(error))?)
    }
}

pub(super) fn lock(recorder: &Mutex<Recorder>) -> MutexGuard<'_, Recorder> {
    recorder.lock().unwrap_or_else(PoisonError::into_inner)
}
