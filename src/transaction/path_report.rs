use crate::transport::{PathError, PathIndex};

/// What one of several paths has shown to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PathReport {
    /// Which.
    pub path: PathIndex,
    /// How often the request was sent on it, as a probe too.
    pub transmissions: u32,
    /// What the system reported of it last, if it reported anything.
    pub last_error: Option<PathError>,
    /// Whether a reply came, or a provisional answer.
    pub answered: bool,
}

impl PathReport {
    /// Nothing yet.
    pub(super) const fn new(path: PathIndex) -> Self {
        Self { path, transmissions: 0, last_error: None, answered: false }
    }

    /// Whether it was asked, or could not be.
    pub(super) const fn has_something(&self) -> bool {
        self.transmissions > 0 || self.last_error.is_some()
    }
}
