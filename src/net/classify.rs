use std::io;

use crate::transport::PathError;

/// What a system error means for a datagram, by its number: several have no [`io::ErrorKind`], and the kinds
/// differ between systems. The limit of [`PathError::TooBig`] is unknown here; a transport asks its socket.
///
/// ```
/// use std::io;
/// use udp_retry::net::classify;
/// use udp_retry::transport::PathError;
///
/// assert_eq!(classify(&io::Error::from(io::ErrorKind::ConnectionRefused)), PathError::Refused);
/// ```
#[cold]
#[must_use]
pub fn classify(error: &io::Error) -> PathError {
    match error.raw_os_error() {
        Some(code) => by_code(code),
        None => by_kind(error.kind()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", windows)))]
use bsd as by_code;
#[cfg(any(target_os = "linux", target_os = "android"))]
use linux as by_code;
#[cfg(windows)]
use windows as by_code;

/// By the names of asm-generic/errno.h: ECONNREFUSED ECONNRESET ENOPROTOOPT, ENETDOWN ENETUNREACH EHOSTDOWN
/// EHOSTUNREACH, EMSGSIZE, EPERM EACCES, EAGAIN ENOMEM ENOBUFS, EOPNOTSUPP.
#[cfg(any(test, target_os = "linux", target_os = "android"))]
fn linux(code: i32) -> PathError {
    match code {
        111 | 104 | 92 => PathError::Refused,
        100 | 101 | 112 | 113 => PathError::Unreachable,
        90 => PathError::TooBig { limit: None },
        1 | 13 => PathError::Denied,
        11 | 12 | 105 => PathError::NoBuffers,
        95 => PathError::Unsupported,
        code => PathError::Other(code),
    }
}

/// The same names in the order above, as macOS and the BSDs number them; ENOTSUP is 45, EOPNOTSUPP 102 on macOS.
#[cfg(any(test, not(any(target_os = "linux", target_os = "android", windows))))]
fn bsd(code: i32) -> PathError {
    match code {
        61 | 54 | 42 => PathError::Refused,
        50 | 51 | 64 | 65 => PathError::Unreachable,
        40 => PathError::TooBig { limit: None },
        1 | 13 => PathError::Denied,
        35 | 12 | 55 => PathError::NoBuffers,
        45 | 102 => PathError::Unsupported,
        code => PathError::Other(code),
    }
}

/// WSAECONNREFUSED WSAECONNRESET (port unreachable, seen on receive), WSAENETDOWN WSAENETUNREACH WSAENETRESET (time to
/// live exceeded) WSAEHOSTDOWN WSAEHOSTUNREACH, WSAEMSGSIZE, WSAEACCES, WSAEWOULDBLOCK WSAENOBUFS, WSAEOPNOTSUPP.
#[cfg(any(test, windows))]
fn windows(code: i32) -> PathError {
    match code {
        10061 | 10054 => PathError::Refused,
        10050 | 10051 | 10052 | 10064 | 10065 => PathError::Unreachable,
        10040 => PathError::TooBig { limit: None },
        10013 => PathError::Denied,
        10035 | 10055 => PathError::NoBuffers,
        10045 => PathError::Unsupported,
        code => PathError::Other(code),
    }
}

/// For errors that did not come from the system itself.
fn by_kind(kind: io::ErrorKind) -> PathError {
    match kind {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => PathError::Refused,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkDown => {
            PathError::Unreachable
        }
        io::ErrorKind::PermissionDenied => PathError::Denied,
        io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => PathError::NoBuffers,
        io::ErrorKind::Unsupported => PathError::Unsupported,
        _ => PathError::Other(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOO_BIG: PathError = PathError::TooBig { limit: None };

    #[test]
    fn every_platform_numbers_the_same_meanings() {
        // ECONNREFUSED, ECONNRESET, ENETDOWN, ENETUNREACH, EHOSTDOWN, EHOSTUNREACH, EMSGSIZE, EACCES, EAGAIN, ENOBUFS,
        // EOPNOTSUPP
        let meanings = [
            PathError::Refused,
            PathError::Refused,
            PathError::Unreachable,
            PathError::Unreachable,
            PathError::Unreachable,
            PathError::Unreachable,
            TOO_BIG,
            PathError::Denied,
            PathError::NoBuffers,
            PathError::NoBuffers,
            PathError::Unsupported,
        ];
        assert_eq!([111, 104, 100, 101, 112, 113, 90, 13, 11, 105, 95].map(linux), meanings);
        assert_eq!([61, 54, 50, 51, 64, 65, 40, 13, 35, 55, 102].map(bsd), meanings);
        assert_eq!(
            [10061, 10054, 10050, 10051, 10064, 10065, 10040, 10013, 10035, 10055, 10045].map(windows),
            meanings
        );
        assert_eq!(linux(1), PathError::Denied);
        assert_eq!(bsd(1), PathError::Denied);
        assert_eq!(windows(10052), PathError::Unreachable);
    }

    #[test]
    fn unknown_numbers_are_kept() {
        assert_eq!([linux(9999), bsd(9999), windows(9999)], [PathError::Other(9999); 3]);
        assert_eq!(linux(4), PathError::Other(4));
    }

    #[test]
    fn errors_without_a_number_go_by_their_kind() {
        for (kind, meaning) in [
            (io::ErrorKind::ConnectionReset, PathError::Refused),
            (io::ErrorKind::HostUnreachable, PathError::Unreachable),
            (io::ErrorKind::PermissionDenied, PathError::Denied),
            (io::ErrorKind::WouldBlock, PathError::NoBuffers),
            (io::ErrorKind::Unsupported, PathError::Unsupported),
            (io::ErrorKind::InvalidData, PathError::Other(0)),
        ] {
            assert_eq!(classify(&io::Error::from(kind)), meaning);
        }
    }
}
