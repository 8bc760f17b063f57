//! What a datagram is sent with beside its bytes.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsFd;

use nix::libc::{MSG_DONTWAIT, MSG_NOSIGNAL, c_int};
use socket2::{MsgHdr, SockAddr, SockRef};

/// One control message, as every Linux reads it (`struct cmsghdr`): how long it is, its level and its type, then what it says.
///
/// Put together here, as nix allocates for each that it sends, or has it sent by `sendmmsg`, which takes 0.1 µs more.
pub(super) struct Control {
    bytes: [u8; HEADER + MOST],
    len: usize,
}

impl Control {
    #[inline]
    pub(super) fn new<const LEN: usize>(level: c_int, kind: c_int, says: [u8; LEN]) -> Self {
        const { assert!(LEN <= MOST) }
        let mut bytes = [0; HEADER + MOST];
        let (length, rest) = bytes.split_at_mut(WORD);
        let (names, rest) = rest.split_at_mut(HEADER - WORD);
        length.copy_from_slice(&(HEADER + LEN).to_ne_bytes());
        let (first, second) = names.split_at_mut(size_of::<c_int>());
        first.copy_from_slice(&level.to_ne_bytes());
        second.copy_from_slice(&kind.to_ne_bytes());
        rest.split_at_mut(LEN).0.copy_from_slice(&says);
        Self { bytes, len: HEADER + LEN.next_multiple_of(WORD) }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Sends without waiting; without an address to the peer.
#[inline]
pub(super) fn transmit_with(
    socket: &impl AsFd,
    control: &Control,
    to: Option<SocketAddr>,
    payload: &[IoSlice<'_>],
) -> io::Result<usize> {
    let to = to.map(SockAddr::from);
    let message = MsgHdr::new().with_buffers(payload).with_control(control.bytes());
    let message = match &to {
        Some(to) => message.with_addr(to),
        None => message,
    };
    SockRef::from(socket).sendmsg(&message, MSG_DONTWAIT | MSG_NOSIGNAL)
}

const WORD: usize = size_of::<usize>();
const HEADER: usize = WORD + 2 * size_of::<c_int>();
/// As much as the longest takes, `struct in6_pktinfo`: 20 bytes, in words.
const MOST: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_message_says_its_length_without_the_bytes_that_fill_it_up() {
        let words = |length: usize| [&length.to_ne_bytes()[..], &1_i32.to_ne_bytes(), &2_i32.to_ne_bytes()].concat();
        let control = Control::new(1, 2, [7; 12]);
        let expected = [words(HEADER + 12), vec![7; 12], vec![0; 12_usize.next_multiple_of(WORD) - 12]].concat();
        assert_eq!(control.bytes(), expected);
        // The longest has space for all of it.
        let control = Control::new(1, 2, [7; 20]);
        assert_eq!(control.bytes().len(), HEADER + 20_usize.next_multiple_of(WORD));
        assert_eq!(control.bytes()[..HEADER + 20], [words(HEADER + 20), vec![7; 20]].concat());
    }
}
