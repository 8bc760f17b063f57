//! The requests of the study; a reply is a copy.

use udp_retry::time::Timestamp;

/// What a request says: 17 bytes, of which the first nine, its number and its transmission's, are its id.
#[derive(Clone, Copy)]
pub(crate) struct Message {
    pub(crate) number: u64,
    pub(crate) transmission: u8,
    /// After which nobody wants the reply any more.
    pub(crate) deadline: Timestamp,
}

impl Message {
    pub(crate) const ID: std::ops::Range<usize> = 0..9;

    pub(crate) fn write(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.push(self.transmission);
        bytes.extend_from_slice(&self.deadline.as_nanos().to_be_bytes());
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let number = |bytes: &[u8]| Some(u64::from_be_bytes(bytes.try_into().ok()?));
        Some(Self {
            number: number(bytes.get(..8)?)?,
            transmission: *bytes.get(8)?,
            deadline: Timestamp::from_nanos(number(bytes.get(9..17)?)?),
        })
    }
}
