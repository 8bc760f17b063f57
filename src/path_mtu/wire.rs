//! The bytes of [`EchoFormat`](super::EchoFormat).

use super::Token;

/// What stands before the padding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) token: Token,
    pub(super) id: u32,
    pub(super) received: u16,
    /// Of a request, what the answer is to have; of a refusal, what it could have.
    pub(super) size: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Request = 1,
    Answer = 2,
    Refusal = 3,
}

impl Message {
    pub(super) fn read(datagram: &[u8]) -> Option<Self> {
        let (header, _) = datagram.split_first_chunk::<LEN>()?;
        let (magic, rest) = header.split_first_chunk()?;
        let (&[kind, _], rest) = rest.split_first_chunk()?;
        let (&token, rest) = rest.split_first_chunk()?;
        let (&id, rest) = rest.split_first_chunk()?;
        let (&received, rest) = rest.split_first_chunk()?;
        let size = rest.first_chunk()?;
        let kind = [Kind::Request, Kind::Answer, Kind::Refusal].into_iter().find(|&it| it as u8 == kind)?;
        let (received, size) = (u16::from_be_bytes(received), u16::from_be_bytes(*size));
        (magic == MAGIC).then_some(Self { kind, token, id: u32::from_be_bytes(id), received, size })
    }

    /// False if it is not that long.
    pub(super) fn write(&self, datagram: &mut [u8]) -> bool {
        let header = MAGIC.iter().copied().chain([self.kind as u8, 0]).chain(self.token).chain(self.id.to_be_bytes());
        let header = header.chain(self.received.to_be_bytes()).chain(self.size.to_be_bytes());
        datagram.iter_mut().zip(header).map(|(to, byte)| *to = byte).count() == LEN
    }
}

/// Bytes of a message without padding.
pub(super) const LEN: usize = 22;
const MAGIC: &[u8; 4] = b"uPMT";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_these_bytes() {
        let token = [1, 2, 3, 4, 5, 6, 7, 8];
        for (kind, byte) in [(Kind::Request, 1), (Kind::Answer, 2), (Kind::Refusal, 3)] {
            let message = Message { kind, token, id: 0x0a0b_0c0d, received: 0x0506, size: 0x0708 };
            let mut bytes = [9; 24];
            assert!(message.write(&mut bytes));
            let mut expected = *b"uPMT\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08\x0a\x0b\x0c\x0d\x05\x06\x07\x08\x09\x09";
            expected[4] = byte;
            assert_eq!(bytes, expected);
            assert_eq!(Message::read(&bytes), Some(message));
            assert!(!message.write(&mut bytes[..21]));
            assert_eq!(Message::read(&bytes[..21]), None);
        }
        assert_eq!(Message::read(&[0; 22]), None);
        assert_eq!(Message::read(b"uPMT\x04.................."), None);
    }
}
