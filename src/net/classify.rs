use std::io;

use rustix::io::Errno;

use crate::transport::PathError;

/// What a system error means for a datagram that is being sent, by the names that the platform itself gives its numbers,
/// which differ even between processors. The limit of [`PathError::TooBig`] is unknown here; a transport asks its socket.
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
    let code = error.raw_os_error();
    let named = code.and_then(by_name);
    named.or_else(|| by_kind(error.kind())).unwrap_or(PathError::Other(code.unwrap_or(0)))
}

/// As [`classify`], of an error that a receive reported, or that an earlier datagram met: it can only be the path's word,
/// never a rule of this host.
#[cold]
pub(super) fn classify_received(error: &io::Error) -> PathError {
    match classify(error) {
        // What Linux makes of ICMPv6 "administratively prohibited", "failed policy" and "reject route", and of ICMP
        // "source route failed".
        PathError::Denied | PathError::Unsupported => PathError::Unreachable,
        error => error,
    }
}

/// By number, because two names may have the same one.
fn by_name(code: i32) -> Option<PathError> {
    MEANINGS.iter().find(|(name, _)| name.raw_os_error() == code).map(|&(_, meaning)| meaning)
}

/// For errors that did not come from the system itself, and for numbers that only the standard library knows, such as
/// those of Windows outside its sockets.
fn by_kind(kind: io::ErrorKind) -> Option<PathError> {
    Some(match kind {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => PathError::Refused,
        io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => PathError::Unreachable,
        io::ErrorKind::PermissionDenied => PathError::Denied,
        io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => PathError::NoBuffers,
        io::ErrorKind::Unsupported => PathError::Unsupported,
        _ => return None,
    })
}

const MEANINGS: &[(Errno, PathError)] = &[
    (Errno::CONNREFUSED, PathError::Refused),
    // Windows' port unreachable.
    (Errno::CONNRESET, PathError::Refused),
    // Protocol unreachable.
    (Errno::NOPROTOOPT, PathError::Refused),
    (Errno::NETDOWN, PathError::Unreachable),
    (Errno::NETUNREACH, PathError::Unreachable),
    (Errno::HOSTDOWN, PathError::Unreachable),
    (Errno::HOSTUNREACH, PathError::Unreachable),
    // Windows' time to live exceeded.
    (Errno::NETRESET, PathError::Unreachable),
    // This host has no such family of addresses.
    (Errno::AFNOSUPPORT, PathError::Unreachable),
    // The source address is gone, or the device.
    (Errno::ADDRNOTAVAIL, PathError::Unreachable),
    #[cfg(not(windows))]
    (Errno::NODEV, PathError::Unreachable),
    #[cfg(not(windows))]
    (Errno::NXIO, PathError::Unreachable),
    // Parameter problem.
    #[cfg(not(windows))]
    (Errno::PROTO, PathError::Unreachable),
    // Source host isolated.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    (Errno::NONET, PathError::Unreachable),
    (Errno::MSGSIZE, PathError::TooBig { limit: None }),
    (Errno::ACCESS, PathError::Denied),
    #[cfg(not(windows))]
    (Errno::PERM, PathError::Denied),
    (Errno::AGAIN, PathError::NoBuffers),
    #[cfg(not(windows))]
    (Errno::NOMEM, PathError::NoBuffers),
    (Errno::NOBUFS, PathError::NoBuffers),
    (Errno::OPNOTSUPP, PathError::Unsupported),
    #[cfg(not(any(windows, target_os = "redox")))]
    (Errno::NOTSUP, PathError::Unsupported),
];

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_THERE: i32 = 0;
    const TOO_BIG: PathError = PathError::TooBig { limit: None };

    /// The numbers as the systems' own headers have them: Linux in general, on MIPS and on SPARC, macOS, FreeBSD, Windows.
    const NUMBERS: [(&str, PathError, [i32; 6]); 22] = [
        ("ECONNREFUSED", PathError::Refused, [111, 146, 61, 61, 61, 10061]),
        ("ECONNRESET", PathError::Refused, [104, 131, 54, 54, 54, 10054]),
        ("ENOPROTOOPT", PathError::Refused, [92, 99, 42, 42, 42, 10042]),
        ("ENETDOWN", PathError::Unreachable, [100, 127, 50, 50, 50, 10050]),
        ("ENETUNREACH", PathError::Unreachable, [101, 128, 51, 51, 51, 10051]),
        ("EHOSTDOWN", PathError::Unreachable, [112, 147, 64, 64, 64, 10064]),
        ("EHOSTUNREACH", PathError::Unreachable, [113, 148, 65, 65, 65, 10065]),
        ("ENETRESET", PathError::Unreachable, [102, 129, 52, 52, 52, 10052]),
        ("EAFNOSUPPORT", PathError::Unreachable, [97, 124, 47, 47, 47, 10047]),
        ("EADDRNOTAVAIL", PathError::Unreachable, [99, 126, 49, 49, 49, 10049]),
        ("ENODEV", PathError::Unreachable, [19, 19, 19, 19, 19, NOT_THERE]),
        ("ENXIO", PathError::Unreachable, [6, 6, 6, 6, 6, NOT_THERE]),
        ("EPROTO", PathError::Unreachable, [71, 71, 86, 100, 92, NOT_THERE]),
        ("ENONET", PathError::Unreachable, [64, 64, 80, NOT_THERE, NOT_THERE, NOT_THERE]),
        ("EMSGSIZE", TOO_BIG, [90, 97, 40, 40, 40, 10040]),
        ("EACCES", PathError::Denied, [13, 13, 13, 13, 13, 10013]),
        ("EPERM", PathError::Denied, [1, 1, 1, 1, 1, NOT_THERE]),
        ("EAGAIN", PathError::NoBuffers, [11, 11, 11, 35, 35, 10035]),
        ("ENOMEM", PathError::NoBuffers, [12, 12, 12, 12, 12, NOT_THERE]),
        ("ENOBUFS", PathError::NoBuffers, [105, 132, 55, 55, 55, 10055]),
        ("EOPNOTSUPP", PathError::Unsupported, [95, 122, 45, 102, 45, 10045]),
        ("ENOTSUP", PathError::Unsupported, [95, 122, 45, 45, 45, NOT_THERE]),
    ];

    /// This platform's place in each row, if it has one.
    fn here() -> Option<usize> {
        let on_linux = cfg!(any(target_os = "linux", target_os = "android"));
        match () {
            () if on_linux && cfg!(any(target_arch = "mips", target_arch = "mips64")) => Some(1),
            () if on_linux && cfg!(any(target_arch = "sparc", target_arch = "sparc64")) => Some(2),
            () if on_linux => Some(0),
            () if cfg!(target_os = "macos") => Some(3),
            () if cfg!(target_os = "freebsd") => Some(4),
            () if cfg!(windows) => Some(5),
            () => None,
        }
    }

    fn numbers_here() -> impl Iterator<Item = (&'static str, PathError, i32)> {
        let here = here();
        NUMBERS.into_iter().filter_map(move |(name, meaning, numbers)| Some((name, meaning, numbers[here?])))
    }

    #[test]
    fn every_code_of_the_table_has_its_meaning() {
        for (name, meaning, number) in numbers_here().filter(|&(_, _, number)| number != NOT_THERE) {
            assert_eq!(by_name(number), Some(meaning), "{name}");
            assert_eq!(classify(&io::Error::from_raw_os_error(number)), meaning, "{name}");
        }
    }

    #[test]
    fn the_table_has_these_rows_and_no_other() {
        if here().is_some() {
            let mut table: Vec<_> = MEANINGS.iter().map(|(name, _)| name.raw_os_error()).collect();
            let numbers = numbers_here().map(|(_, _, number)| number);
            let mut tested: Vec<_> = numbers.filter(|&number| number != NOT_THERE).collect();
            // With the names that share a number: elsewhere they do not.
            table.sort_unstable();
            tested.sort_unstable();
            assert_eq!(table, tested);
        }
    }

    #[test]
    fn the_standard_library_contradicts_no_row() {
        for (name, meaning) in MEANINGS {
            let kind = io::Error::from(*name).kind();
            assert!(by_kind(kind).is_none_or(|by_kind| by_kind == *meaning), "{name:?} is {kind:?}");
        }
    }

    #[test]
    fn only_a_path_can_forbid_what_a_receive_reports() {
        for (error, sent, received) in [
            (Errno::ACCESS, PathError::Denied, PathError::Unreachable),
            (Errno::OPNOTSUPP, PathError::Unsupported, PathError::Unreachable),
            (Errno::CONNREFUSED, PathError::Refused, PathError::Refused),
            (Errno::MSGSIZE, TOO_BIG, TOO_BIG),
            (Errno::NOBUFS, PathError::NoBuffers, PathError::NoBuffers),
        ] {
            let error = error.into();
            assert_eq!((classify(&error), classify_received(&error)), (sent, received), "{error}");
        }
    }

    #[test]
    fn unknown_numbers_are_kept() {
        for number in [9999, i32::MAX, -5] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!([classify(&error), classify_received(&error)], [PathError::Other(number); 2]);
        }
        let interrupted = io::Error::from(Errno::INTR);
        assert_eq!(classify(&interrupted), PathError::Other(Errno::INTR.raw_os_error()));
    }

    #[test]
    fn errors_without_a_number_go_by_their_kind() {
        for (kind, meaning) in [
            (io::ErrorKind::ConnectionRefused, PathError::Refused),
            (io::ErrorKind::ConnectionReset, PathError::Refused),
            (io::ErrorKind::NetworkUnreachable, PathError::Unreachable),
            (io::ErrorKind::HostUnreachable, PathError::Unreachable),
            (io::ErrorKind::NetworkDown, PathError::Unreachable),
            (io::ErrorKind::AddrNotAvailable, PathError::Unreachable),
            (io::ErrorKind::PermissionDenied, PathError::Denied),
            (io::ErrorKind::WouldBlock, PathError::NoBuffers),
            (io::ErrorKind::OutOfMemory, PathError::NoBuffers),
            (io::ErrorKind::Unsupported, PathError::Unsupported),
            (io::ErrorKind::InvalidData, PathError::Other(0)),
        ] {
            assert_eq!(classify(&io::Error::from(kind)), meaning);
        }
    }
}
