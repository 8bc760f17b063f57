use alloc::vec::Vec;

use super::{Answer, Asked, ProbeFormat, Token, put};
use crate::pmtu::ProbeId;

/// Probes that DNS servers answer: a query for the addresses of a name, which EDNS padding makes as long as is needed (RFC 6891,
/// RFC 7830).
///
/// Any response to the question confirms a size, whatever its code. **Many servers take no more than 1232 bytes**, which looks
/// like a path that carries no more ([`Evidence::ServiceOrPath`](crate::path_mtu::Evidence::ServiceOrPath)). Of the token of a search a query carries 16
/// bits, and the port of the socket is what else a forger has to guess (RFC 5452 §4).
#[doc(alias = "EDNS")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DnsPadding {
    /// As it stands in a query: the name, the type and the class.
    question: Vec<u8>,
}

/// No name that the DNS can have: labels of 1 to 63 bytes, and 255 bytes in all (RFC 1035 §2.3.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no name of the DNS: it has labels of 1 to 63 bytes, and 255 bytes in all")]
#[non_exhaustive]
pub struct BadDnsName;

impl DnsPadding {
    /// Asks for this name, such as one that the server has at hand; `"."` is the root.
    ///
    /// # Errors
    ///
    /// [`BadDnsName`].
    pub fn new(name: &str) -> Result<Self, BadDnsName> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let mut question = Vec::new();
        for label in name.split('.').filter(|_| !name.is_empty()) {
            let len = u8::try_from(label.len()).ok().filter(|len| (1..=MOST_OF_LABEL).contains(len));
            question.push(len.ok_or(BadDnsName)?);
            question.extend_from_slice(label.as_bytes());
        }
        question.push(0);
        if question.len() > MOST_OF_NAME {
            return Err(BadDnsName);
        }
        question.extend(ADDRESS.into_iter().chain(INTERNET));
        Ok(Self { question })
    }
}

impl ProbeFormat for DnsPadding {
    fn write(&self, asked: &Asked, datagram: &mut Vec<u8>) -> bool {
        let length = |from: usize| datagram.len().checked_sub(from).and_then(|it| u16::try_from(it).ok());
        let before = HEADER + self.question.len() + OPT;
        let (Some(data), Some(padding)) = (length(before), length(before + OPTION)) else { return false };
        let query = id_of(&asked.token, asked.id).to_be_bytes().into_iter().chain(ONE_QUESTION);
        let query = query.chain(self.question.iter().copied()).chain(OPT_HEADER).chain(data.to_be_bytes());
        put(datagram, query.chain(PADDING).chain(padding.to_be_bytes()));
        true
    }

    fn judge(&self, token: &Token, datagram: &[u8]) -> Option<Answer> {
        let (id, flags, rest) = read(token, datagram)?;
        let (questions, rest) = rest.split_first_chunk::<2>()?;
        let (_records, rest) = rest.split_first_chunk::<6>()?;
        // A server that makes nothing of a query may leave the question out.
        let is_ours = match questions {
            [0, 0] => true,
            _ => rest.get(..self.question.len()).is_some_and(|it| it.eq_ignore_ascii_case(&self.question)),
        };
        (flags & RESPONSE != 0 && is_ours).then_some(Answer::Arrived { id, received: None })
    }

    fn quoted(&self, token: &Token, beginning: &[u8]) -> Option<ProbeId> {
        let (id, flags, _) = read(token, beginning)?;
        (flags & RESPONSE == 0).then_some(id)
    }
}

fn read<'d>(token: &Token, datagram: &'d [u8]) -> Option<(ProbeId, u16, &'d [u8])> {
    let (id, rest) = datagram.split_first_chunk()?;
    let (flags, rest) = rest.split_first_chunk()?;
    let number = u16::from_be_bytes(*id).wrapping_sub(first_id(token));
    Some((ProbeId::new(number.into()), u16::from_be_bytes(*flags), rest))
}

#[expect(clippy::cast_possible_truncation, reason = "a search has far less than 2¹⁶ probes")]
fn id_of(token: &Token, id: ProbeId) -> u16 {
    first_id(token).wrapping_add(id.number() as u16)
}

fn first_id(token: &Token) -> u16 {
    let [high, low, ..] = *token;
    u16::from_be_bytes([high, low])
}

const RESPONSE: u16 = 0x8000;
/// Recursion desired, one question, one additional record.
const ONE_QUESTION: [u8; 10] = [1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
const ADDRESS: [u8; 2] = [0, 1];
const INTERNET: [u8; 2] = [0, 1];
/// The root, the type OPT (41), a response of 1232 bytes at most, version 0 (RFC 6891 §6.1.2).
const OPT_HEADER: [u8; 9] = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0];
/// RFC 7830 §3.
const PADDING: [u8; 2] = [0, 12];
const HEADER: usize = 12;
const OPT: usize = 11;
const OPTION: usize = 4;
const MOST_OF_LABEL: u8 = 63;
const MOST_OF_NAME: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Token = [0xff, 0xfe, 3, 4, 5, 6, 7, 8];

    fn format() -> DnsPadding {
        DnsPadding::new("a.example").unwrap()
    }

    #[test]
    fn a_query_has_these_bytes() {
        let mut query = vec![9; 45];
        assert!(format().write(&Asked::new(TOKEN, ProbeId::new(3), None), &mut query));
        let mut expected = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01".to_vec();
        expected.extend(b"\x01a\x07example\x00\x00\x01\x00\x01");
        expected.extend(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x07\x00\x0c\x00\x03\x09\x09\x09");
        assert_eq!(query, expected);
        assert_eq!(format().quoted(&TOKEN, &query[..8]), Some(ProbeId::new(3)));
        assert_eq!(format().judge(&TOKEN, &query), None);
        for (len, fits) in [(41, false), (42, true), (65_507, true)] {
            let mut query = vec![9; len];
            assert_eq!(format().write(&Asked::new(TOKEN, ProbeId::new(3), None), &mut query), fits, "{len}");
            assert_eq!(query.len(), len);
        }
    }

    #[test]
    fn a_response_to_the_question_answers_whatever_its_code() {
        let response = |flags: u16, questions: u8, name: &[u8]| {
            let mut response = b"\x00\x01".to_vec();
            response.extend(flags.to_be_bytes());
            response.extend([0, questions, 0, 0, 0, 0, 0, 0]);
            response.extend(name);
            format().judge(&TOKEN, &response)
        };
        let ours = b"\x01A\x07exAMPle\x00\x00\x01\x00\x01";
        let yes = Some(Answer::Arrived { id: ProbeId::new(3), received: None });
        assert_eq!(response(0x8180, 1, ours), yes);
        assert_eq!(response(0x8183, 1, ours), yes, "no such name");
        assert_eq!(response(0x8181, 0, b""), yes, "a format error");
        assert_eq!(response(0x0100, 1, ours), None, "a query");
        assert_eq!(response(0x8180, 1, b"\x01b\x07example\x00\x00\x01\x00\x01"), None);
        assert_eq!(response(0x8180, 1, b""), None);
        assert_eq!(format().judge(&TOKEN, b"\x00\x01\x81\x80"), None);
    }

    #[test]
    fn a_name_has_labels_of_1_to_63_bytes_and_255_in_all() {
        let label = "x".repeat(63);
        let longest = [&label[..], &label, &label, &"x".repeat(61)].join(".");
        for name in [".", "", "a", "a.", &label, &longest] {
            assert!(DnsPadding::new(name).is_ok(), "{name}");
        }
        for name in ["..", ".a", "a..b", "a..", &format!("{label}x"), &format!("{longest}x")] {
            assert_eq!(DnsPadding::new(name), Err(BadDnsName), "{name}");
        }
        assert_eq!(DnsPadding::new(".").unwrap().question, [0, 0, 1, 0, 1]);
    }
}
