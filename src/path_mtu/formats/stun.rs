use alloc::vec::Vec;

use super::{Answer, Asked, ProbeFormat, Token, put};
use crate::pmtu::ProbeId;

/// Probes that any STUN server answers: a Binding request that a PADDING attribute makes as long as is needed (RFC 8489 §5, RFC
/// 5780 §7.6).
///
/// Whatever response repeats the transaction id confirms a size, an error, too: a server without RFC 5780 says that it does not
/// know the attribute (420). One that knows it may pad its response as well; then a size has to pass both ways. STUN has
/// lengths in steps of four bytes, so that sizes between are probed by the next one, and never exceeded.
#[doc(alias = "RFC 5780")]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct StunPadding;

impl StunPadding {
    /// The format.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl ProbeFormat for StunPadding {
    fn write(&self, asked: &Asked, datagram: &mut Vec<u8>) -> bool {
        datagram.resize(datagram.len().next_multiple_of(4), 0);
        let length = |from| datagram.len().checked_sub(from).and_then(|it| u16::try_from(it).ok());
        let (Some(message), Some(padding)) = (length(HEADER), length(HEADER + ATTRIBUTE)) else { return false };
        let header = REQUEST.into_iter().chain(message.to_be_bytes()).chain(COOKIE).chain(asked.token);
        put(datagram, header.chain(asked.id.number().to_be_bytes()).chain(PADDING).chain(padding.to_be_bytes()));
        true
    }

    fn judge(&self, token: &Token, datagram: &[u8]) -> Option<Answer> {
        let (class, id) = read(token, datagram)?;
        [SUCCESS, ERROR].contains(&class).then_some(Answer::Arrived { id, received: None })
    }

    fn quoted(&self, token: &Token, beginning: &[u8]) -> Option<ProbeId> {
        read(token, beginning).filter(|it| it.0 == REQUEST).map(|it| it.1)
    }
}

/// The class of a message of this search, and the probe that it belongs to.
fn read(token: &Token, message: &[u8]) -> Option<([u8; 2], ProbeId)> {
    let (class, rest) = message.split_first_chunk()?;
    let (_length, rest) = rest.split_first_chunk::<2>()?;
    let rest = rest.strip_prefix(&COOKIE)?.strip_prefix(token)?;
    Some((*class, ProbeId::new(u32::from_be_bytes(*rest.first_chunk()?))))
}

const REQUEST: [u8; 2] = [0x00, 0x01];
const SUCCESS: [u8; 2] = [0x01, 0x01];
const ERROR: [u8; 2] = [0x01, 0x11];
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const PADDING: [u8; 2] = [0x00, 0x26];
const HEADER: usize = 20;
const ATTRIBUTE: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Token = *b"12345678";

    fn asked(id: u32) -> Asked {
        Asked::new(TOKEN, ProbeId::new(id), None)
    }

    #[test]
    fn a_request_has_these_bytes() {
        let mut datagram = vec![9; 30];
        assert!(StunPadding.write(&asked(0x0a0b_0c0d), &mut datagram));
        let mut expected = b"\x00\x01\x00\x0c\x21\x12\xa4\x42".to_vec();
        expected.extend(b"12345678\x0a\x0b\x0c\x0d\x00\x26\x00\x08\x09\x09\x09\x09\x09\x09\x00\x00");
        assert_eq!(datagram, expected);
        assert_eq!(StunPadding.quoted(&TOKEN, &datagram[..20]), Some(ProbeId::new(0x0a0b_0c0d)));
        assert_eq!(StunPadding.quoted(&TOKEN, &datagram[..19]), None);
        assert_eq!(StunPadding.judge(&TOKEN, &datagram), None);
    }

    #[test]
    fn a_length_is_the_next_that_stun_has() {
        for (len, has) in [(24, 24), (25, 28), (548, 548), (1422, 1424), (1472, 1472), (65_507, 65_508)] {
            let mut datagram = vec![9; len];
            assert!(StunPadding.write(&asked(1), &mut datagram));
            assert_eq!(datagram.len(), has);
            let number = |at: usize| usize::from(u16::from_be_bytes([datagram[at], datagram[at + 1]]));
            assert_eq!((number(2), number(22)), (has - 20, has - 24));
        }
        for len in [0, 19, 20] {
            assert!(!StunPadding.write(&asked(1), &mut vec![9; len]), "{len}");
        }
    }

    #[test]
    fn any_response_that_repeats_the_transaction_id_answers() {
        for (class, answers) in [(SUCCESS, true), (ERROR, true), (REQUEST, false), ([0x00, 0x11], false)] {
            let mut response = class.to_vec();
            response.extend(b"\x00\x00\x21\x12\xa4\x4212345678\x00\x00\x00\x07");
            let expected = answers.then_some(Answer::Arrived { id: ProbeId::new(7), received: None });
            assert_eq!(StunPadding.judge(&TOKEN, &response), expected, "{class:?}");
            assert_eq!(StunPadding.judge(b"12345679", &response), None);
            response[4] = 0;
            assert_eq!(StunPadding.judge(&TOKEN, &response), None, "the cookie");
        }
    }
}
