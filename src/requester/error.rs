use std::io;

use crate::servers::ServersError;
use crate::transaction::{Failure, RequestError};
use crate::transport::{NoEntropy, PathError};

/// Why a requester cannot ask several servers.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OverServersError {
    /// None, or too many.
    #[error(transparent)]
    Servers(#[from] ServersError),
    /// The matcher stamps ids, and the transport has no unpredictable bytes for them.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

impl From<RequestError> for io::Error {
    /// Keeps the error inside: `into_inner` and a downcast give it back.
    fn from(error: RequestError) -> Self {
        let kind = match error.failure() {
            Failure::TimedOut(_) => io::ErrorKind::TimedOut,
            Failure::Refused => io::ErrorKind::ConnectionRefused,
            Failure::Unreachable => io::ErrorKind::HostUnreachable,
            Failure::TooLarge { .. } | Failure::Unmatchable | Failure::UnknownPeer => io::ErrorKind::InvalidInput,
            Failure::Truncated { .. } => io::ErrorKind::InvalidData,
            Failure::Local(PathError::Denied) => io::ErrorKind::PermissionDenied,
            Failure::Local(PathError::Unsupported) | Failure::NoFreshPort => io::ErrorKind::Unsupported,
            Failure::Local(_) => io::ErrorKind::Other,
            // Not `Interrupted`: callers of the standard library take that as "try again".
            Failure::IdsResting { .. } | Failure::IdInUse | Failure::TooManyPolicies => io::ErrorKind::ResourceBusy,
            Failure::ServerRestarted => io::ErrorKind::ConnectionReset,
            Failure::Cancelled | Failure::Stopped => io::ErrorKind::ConnectionAborted,
        };
        Self::new(kind, error)
    }
}
