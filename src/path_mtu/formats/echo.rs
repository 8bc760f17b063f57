use alloc::vec::Vec;

use super::{Answer, Asked, ProbeFormat, Token};
use crate::path_mtu::wire::{Kind, Message};
use crate::pmtu::ProbeId;
use crate::size::Plpmtu;

/// Probes for a responder that calls [`answer_probe`](crate::path_mtu::answer_probe), for both directions.
///
/// | bytes | request | answer |
/// |---|---|---|
/// | 0 to 3 | `uPMT` | `uPMT` |
/// | 4 | 1 | 2, or 3 if it is shorter than it was asked to be |
/// | 5 | 0 | 0 |
/// | 6 to 13 | a token, unpredictable | the same |
/// | 14 to 17 | the number of the probe | the same |
/// | 18, 19 | 0 | how many bytes arrived, at most 65,535 |
/// | 20, 21 | how long the answer is to be; 0: as short as it can be | 0; of a 3, the largest that would be sent, 0 if unknown |
/// | from 22 | bytes that mean nothing | the same kind |
///
/// Numbers are in network byte order.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct EchoFormat;

impl EchoFormat {
    /// The format.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl ProbeFormat for EchoFormat {
    fn has_responder(&self) -> bool {
        true
    }

    fn write(&self, asked: &Asked, datagram: &mut Vec<u8>) -> bool {
        let size = asked.answer.map_or(0, |it| u16::try_from(it.bytes()).unwrap_or(u16::MAX));
        let Asked { token, id, .. } = *asked;
        Message { kind: Kind::Request, token, id: id.number(), received: 0, size }.write(datagram)
    }

    fn judge(&self, token: &Token, datagram: &[u8]) -> Option<Answer> {
        let message = Message::read(datagram).filter(|it| it.token == *token)?;
        let id = ProbeId::new(message.id);
        match message.kind {
            Kind::Request => None,
            Kind::Answer => Some(Answer::Arrived { id, received: Some(message.received.into()) }),
            Kind::Refusal => Some(Answer::Refused { id, limit: (message.size > 0).then(|| Plpmtu::new(message.size)) }),
        }
    }

    fn quoted(&self, token: &Token, beginning: &[u8]) -> Option<ProbeId> {
        let message = Message::read(beginning)?;
        (message.kind == Kind::Request && message.token == *token).then(|| ProbeId::new(message.id))
    }
}
