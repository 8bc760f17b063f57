mod dns;
mod echo;
mod stun;

use alloc::vec::Vec;

pub use self::dns::{BadDnsName, DnsPadding};
pub use self::echo::EchoFormat;
pub use self::stun::StunPadding;
use crate::pmtu::ProbeId;
use crate::size::Plpmtu;

/// What the datagrams of a search have in common: bytes that no one off the path can know (RFC 8899 §4.6.1, RFC 8085 §5.1).
pub type Token = [u8; 8];

/// What a probe has to carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Asked {
    /// Of this search.
    pub token: Token,
    /// Of this probe.
    pub id: ProbeId,
    /// How long the answer is to be, where it is the way back that is probed.
    pub answer: Option<Plpmtu>,
}

impl Asked {
    /// A probe.
    #[must_use]
    pub const fn new(token: Token, id: ProbeId, answer: Option<Plpmtu>) -> Self {
        Self { token, id, answer }
    }
}

/// What a datagram says about a probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a format may say either")]
pub enum Answer {
    /// The probe arrived.
    Arrived {
        /// Which one.
        id: ProbeId,
        /// How many bytes of it, if the far end says so.
        received: Option<usize>,
    },
    /// The far end does not send an answer as long as it was asked for.
    Refused {
        /// To which probe.
        id: ProbeId,
        /// What it would send, if it knows.
        limit: Option<Plpmtu>,
    },
}

/// What probes look like, and what answers them.
pub trait ProbeFormat {
    /// Whether the far end is a responder of probes: it takes any size, and answers with any. By default it is not.
    fn has_responder(&self) -> bool {
        false
    }

    /// Writes a probe into `datagram`, which has the length of the probe and is full of unpredictable bytes: what a link can
    /// compress proves nothing. It may get longer where the format has no such length. False if it would be too short.
    fn write(&self, asked: &Asked, datagram: &mut Vec<u8>) -> bool;

    /// What a datagram says about a probe of this search; `None` if it is no answer to one.
    fn judge(&self, token: &Token, datagram: &[u8]) -> Option<Answer>;

    /// The probe of this search that begins like this, as a router quotes it.
    fn quoted(&self, token: &Token, beginning: &[u8]) -> Option<ProbeId>;
}

/// Writes these bytes to the beginning of a datagram that has as many.
fn put(datagram: &mut [u8], bytes: impl Iterator<Item = u8>) {
    datagram.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
}
