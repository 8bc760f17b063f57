//! Messages of STUN (RFC 8489): which answer belongs to which request, and what it says.

use std::net::{IpAddr, SocketAddr};

use udp_retry::transaction::{Match, ReplyMatcher};
use udp_retry::transaction_id;

/// An answer has the request's cookie and id. One that cannot be read is none (RFC 8489 §6.3): a good one may follow.
pub(crate) fn answers(request: &[u8], datagram: &[u8]) -> bool {
    transaction_id(4..20).judge(request, datagram) == Match::Reply && decode(datagram).is_some()
}

/// What a server says.
#[derive(PartialEq, Debug)]
pub(crate) enum Answer {
    Address(SocketAddr),
    Error {
        code: u16,
        reason: String,
    },
    /// It must not be used by one who does not know these attributes (RFC 8489 §6.3.3, §6.3.4).
    Unknown(Vec<u16>),
}

pub(crate) fn decode(datagram: &[u8]) -> Option<Answer> {
    let (header, mut rest) = datagram.split_at_checked(20)?;
    let (kind, length) = (number(header, 0)?, number(header, 2)?);
    if usize::from(length) != rest.len() || length % 4 != 0 || header[4..8] != COOKIE {
        return None;
    }
    let (mut plain, mut xored, mut error, mut unknown) = (None, None, None, Vec::new());
    // Of two attributes of one type the first counts. Whether one can be read matters only if it is needed.
    while !rest.is_empty() {
        let (attribute, length) = (number(rest, 0)?, usize::from(number(rest, 2)?));
        let Some(value) = rest.get(4..4 + length) else {
            // What nobody has to understand may be broken.
            if attribute < OPTIONAL { return None } else { break }
        };
        match attribute {
            MAPPED_ADDRESS => plain = plain.or(Some(address(value, &[0; 16]))),
            XOR_MAPPED_ADDRESS => xored = xored.or(Some(address(value, &header[4..]))),
            ERROR_CODE => error = error.or(Some(error_code(value))),
            // No attribute behind it counts (§14.5), and there is no key to check it with.
            MESSAGE_INTEGRITY | MESSAGE_INTEGRITY_SHA256 => break,
            _ if attribute < OPTIONAL && !UNDERSTOOD.contains(&attribute) => unknown.push(attribute),
            _ => {}
        }
        rest = rest.get(4 + length.next_multiple_of(4)..)?;
    }
    match kind {
        BINDING_SUCCESS | BINDING_ERROR if !unknown.is_empty() => Some(Answer::Unknown(unknown)),
        // Something on the path may have changed the plain one.
        BINDING_SUCCESS => xored.or(plain).flatten().map(Answer::Address),
        BINDING_ERROR => error.flatten(),
        _ => None,
    }
}

fn address(value: &[u8], key: &[u8]) -> Option<SocketAddr> {
    let &[_, family, ..] = value else { return None };
    let xor = |bytes: &[u8]| -> Vec<u8> { bytes.iter().zip(key).map(|(byte, key)| byte ^ key).collect() };
    let (port, bytes) = (number(&xor(value.get(2..4)?), 0)?, xor(value.get(4..)?));
    let ip = match family {
        1 if value.len() == 8 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        2 if value.len() == 20 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn error_code(value: &[u8]) -> Option<Answer> {
    let &[_, _, class, number, ref reason @ ..] = value else { return None };
    let (class, number) = (u16::from(class & 7), u16::from(number));
    let valid = (3..=6).contains(&class) && number < 100;
    let reason = String::from_utf8_lossy(reason).chars().filter(|char| !char.is_control()).collect();
    valid.then_some(Answer::Error { code: class * 100 + number, reason })
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(crate) const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;
const MAPPED_ADDRESS: u16 = 0x0001;
const ERROR_CODE: u16 = 0x0009;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
/// From here on nobody has to understand an attribute.
const OPTIONAL: u16 = 0x8000;
/// What else RFC 8489 has below, or has reserved: servers of RFC 3489 add their own addresses to each answer.
const UNDERSTOOD: [u16; 12] = [2, 3, 4, 5, 6, 7, 0x0a, 0x0b, 0x14, 0x15, 0x1d, 0x1e];
