use std::io;

use crate::transaction::{Failure, RequestError};
use crate::transport::PathError;

impl From<RequestError> for io::Error {
    /// Keeps the error inside: `into_inner` and a downcast give it back.
    fn from(error: RequestError) -> Self {
        let kind = match error.failure() {
            Failure::TimedOut(_) => io::ErrorKind::TimedOut,
            Failure::Refused => io::ErrorKind::ConnectionRefused,
            Failure::Unreachable => io::ErrorKind::HostUnreachable,
            Failure::TooLarge { .. } | Failure::Unmatchable => io::ErrorKind::InvalidInput,
            Failure::Truncated { .. } => io::ErrorKind::InvalidData,
            Failure::Local(PathError::Denied) => io::ErrorKind::PermissionDenied,
            Failure::Local(PathError::Unsupported) | Failure::NoFreshPort => io::ErrorKind::Unsupported,
            Failure::Local(_) => io::ErrorKind::Other,
            // Not `Interrupted`: callers of the standard library take that as "try again".
            Failure::IdsResting { .. } => io::ErrorKind::ResourceBusy,
            Failure::Cancelled => io::ErrorKind::ConnectionAborted,
        };
        Self::new(kind, error)
    }
}
