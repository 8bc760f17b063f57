//! Where an option has something written: a file, or "-", which is standard output.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};

use crate::terminal::Misuse;

/// What an option names. A file that is called "-" is "./-".
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum OutputFile {
    /// Then nothing else may stand there.
    Stdout,
    At(PathBuf),
}

impl OutputFile {
    /// Whether a drawing takes standard output for itself.
    ///
    /// # Errors
    ///
    /// JSON was to stand there too.
    pub(crate) fn takes_stdout(svg: Option<&Self>, json: bool) -> Result<bool, Misuse> {
        match svg == Some(&Self::Stdout) {
            true if json => Err(Misuse("'--svg -' cannot be used with '--json': both take standard output".to_owned())),
            takes => Ok(takes),
        }
    }

    /// Opens it, empty.
    pub(crate) fn create(&self) -> io::Result<Box<dyn Write + Send>> {
        match self {
            Self::Stdout => Ok(Box::new(io::stdout())),
            Self::At(path) => Ok(Box::new(File::create(path).map_err(|error| self.failed(error))?)),
        }
    }

    /// Writes all of it to what [`create`](Self::create) opened.
    pub(crate) fn fill(&self, opened: &mut dyn Write, text: &str) -> io::Result<()> {
        opened.write_all(text.as_bytes()).and_then(|()| opened.flush()).map_err(|error| self.failed(error))
    }

    pub(crate) fn write(&self, text: &str) -> io::Result<()> {
        self.fill(&mut *self.create()?, text)
    }

    /// Names the file, and keeps the kind: a closed pipe stays a quiet end on standard output.
    pub(crate) fn failed(&self, error: io::Error) -> io::Error {
        match self {
            Self::Stdout => error,
            Self::At(path) => io::Error::other(format!("cannot write {}: {error}", path.display())),
        }
    }
}

/// For `clap`.
pub(crate) fn output_file() -> impl TypedValueParser<Value = OutputFile> {
    PathBufValueParser::new()
        .map(|path| if path.as_os_str() == "-" { OutputFile::Stdout } else { OutputFile::At(path) })
}
