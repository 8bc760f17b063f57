use alloc::vec::Vec;

use super::wire::{self, Kind, Message};
use crate::entropy::{IdSource, Seed};
use crate::size::Plpmtu;

/// The whole logic of a responder for [`EchoFormat`](super::EchoFormat): writes the answer to a datagram that arrived with
/// `actual` bytes, of which `request` was read, and returns whether there is one.
///
/// An answer states the length that arrived, which is `actual` even where the buffer was smaller, so a responder needs no large
/// one: [`Received::actual`](crate::transport::Received::actual). It is as long as it was asked to be, but **never more than three
/// times as long as what came** (RFC 9000 §8.1), and no answer is answered, so no forged source makes an attack of it.
///
/// `way_back` is what fits into one packet to that client as far as this host knows; a longer answer is not asked of the system,
/// and the client learns the limit instead. [`kernel_pmtu`](crate::net::kernel_pmtu) of a throw-away socket that is connected to the
/// client says it. **A responder's socket must not fragment**: set [`Fragmentation::Probing`] or
/// [`Fragmentation::Forbidden`], or always give `way_back`. Where a send is refused as too big, call this again with what fits.
///
/// ```
/// use udp_retry::path_mtu::answer_probe;
/// use udp_retry::size::Plpmtu;
///
/// // 600 bytes, which ask for an answer of 1472.
/// let mut request = [0; 600];
/// request[..22].copy_from_slice(b"uPMT\x01\x00token...\x00\x00\x00\x05\x00\x00\x05\xc0");
///
/// let mut answer = Vec::new();
/// assert!(answer_probe(&request, 600, None, &mut answer));
/// assert_eq!(answer.len(), 1472);
/// assert_eq!(answer[..22], *b"uPMT\x02\x00token...\x00\x00\x00\x05\x02\x58\x00\x00");
///
/// // Only 1372 bytes fit into one packet, and that is said in a short answer.
/// assert!(answer_probe(&request, 600, Some(Plpmtu::new(1372)), &mut answer));
/// assert_eq!(answer, b"uPMT\x03\x00token...\x00\x00\x00\x05\x02\x58\x05\x5c");
/// assert!(!answer_probe(b"something else", 14, None, &mut answer));
/// ```
///
/// [`Fragmentation::Probing`]: crate::transport::Fragmentation::Probing
/// [`Fragmentation::Forbidden`]: crate::transport::Fragmentation::Forbidden
#[must_use]
pub fn answer_probe(request: &[u8], actual: usize, way_back: Option<Plpmtu>, answer: &mut Vec<u8>) -> bool {
    let Some(asked) = Message::read(request).filter(|it| it.kind == Kind::Request) else { return false };
    let most = way_back.map_or(usize::MAX, Plpmtu::bytes).min(actual.saturating_mul(MOST_TIMES)).max(wire::LEN);
    let size = usize::from(asked.size).max(wire::LEN);
    let received = u16::try_from(actual).unwrap_or(u16::MAX);
    let (kind, limit, len) = match size <= most {
        true => (Kind::Answer, 0, size),
        false => (Kind::Refusal, u16::try_from(most).unwrap_or(u16::MAX), wire::LEN),
    };
    answer.clear();
    answer.resize(len, 0);
    // A link that compresses would carry more zeros than it carries bytes.
    IdSource::from_seed(Seed::new(u64::from_be_bytes(asked.token))).fill(answer);
    Message { kind, received, size: limit, ..asked }.write(answer)
}

pub(super) const MOST_TIMES: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: [u8; 8] = *b"12345678";

    fn answered(len: usize, actual: usize, size: u16, way_back: Option<u16>) -> Option<(Message, usize)> {
        let mut request = vec![7; len];
        let asked = Message { kind: Kind::Request, token: TOKEN, id: 9, received: 0, size };
        let _ = asked.write(&mut request);
        let mut answer = vec![1; 5];
        let is_answered = answer_probe(&request, actual, way_back.map(Plpmtu::new), &mut answer);
        is_answered.then(|| (Message::read(&answer).unwrap(), answer.len()))
    }

    #[test]
    fn an_answer_is_as_long_as_asked_at_most_three_times_what_came() {
        let message = |kind, received, size| Message { kind, token: TOKEN, id: 9, received, size };
        for (len, actual, asked, way_back, kind, limit, answer) in [
            (22, 22, 0, None, Kind::Answer, 0, 22),
            (22, 22, 21, None, Kind::Answer, 0, 22),
            (22, 22, 66, None, Kind::Answer, 0, 66),
            (22, 22, 67, None, Kind::Refusal, 66, 22),
            (22, 500, 1500, None, Kind::Answer, 0, 1500),
            (500, 500, 1501, None, Kind::Refusal, 1500, 22),
            (500, 500, 1500, Some(1500), Kind::Answer, 0, 1500),
            (500, 500, 1500, Some(1499), Kind::Refusal, 1499, 22),
            (500, 500, 1500, Some(0), Kind::Refusal, 22, 22),
            (22, 65_507, u16::MAX, None, Kind::Answer, 0, 65_535),
        ] {
            let found = answered(len, actual, asked, way_back);
            let received = u16::try_from(actual).unwrap();
            assert_eq!(found, Some((message(kind, received, limit), answer)), "{len} {actual} {asked} {way_back:?}");
        }
        assert_eq!(answered(21, 21, 0, None), None);
    }

    #[test]
    fn no_answer_is_answered() {
        for kind in [Kind::Answer, Kind::Refusal] {
            let mut datagram = [0; 30];
            assert!(Message { kind, token: TOKEN, id: 9, received: 30, size: 0 }.write(&mut datagram));
            assert!(!answer_probe(&datagram, 30, None, &mut Vec::new()));
        }
    }

    #[test]
    fn the_padding_of_an_answer_does_not_repeat() {
        let mut request = [7; 600];
        assert!(Message { kind: Kind::Request, token: TOKEN, id: 9, received: 0, size: 1600 }.write(&mut request));
        let mut answer = Vec::new();
        assert!(answer_probe(&request, 600, None, &mut answer));
        let words: std::collections::BTreeSet<&[u8]> = answer[22..].chunks_exact(4).collect();
        assert!(words.len() > 390, "{}", words.len());
    }
}
