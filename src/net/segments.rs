//! Which datagrams leave in one system call.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use super::calls::uninterrupted;
use super::sys;
use crate::transport::PathError;

/// What a socket of our own has shown of sending several datagrams at once.
///
/// The kernel does most of its work once for all of them: 16 datagrams in one call cost a fifth of 16 calls. It takes them
/// only with one length, the last one may be shorter, and does not fragment them; so only what every path carries whole
/// leaves like this.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// Never again: a device, a route or a filter does not take them.
    refused: bool,
}

/// What such a call came to.
pub(super) enum Divided {
    /// So many have left.
    Sent(usize),
    /// Nothing has left, and the next one is to be sent alone: there is nothing to be sent with it, or not at once.
    Alone,
    /// Nothing has left: what a single send would say.
    Failed(io::Error),
}

impl Segments {
    /// Sends the first of these that can leave in one call. Of several in one call the system stamps only the last, so
    /// where others have asked it for the times of transmissions, each leaves alone.
    pub(super) fn transmit(
        &mut self,
        socket: &UdpSocket,
        is_lent: bool,
        to: Option<SocketAddr>,
        datagrams: &[&[u8]],
    ) -> Divided {
        let (run, len) = first_run(datagrams);
        let gains = run.len() >= if is_lent { WORTH_ASKING } else { 2 };
        if self.refused || !gains || !sys::divides(socket) || is_lent && sys::stamps_transmissions(socket) {
            return Divided::Alone;
        }
        match uninterrupted(|| sys::transmit_segments(socket, to, run, len)) {
            Ok(()) => Divided::Sent(run.len()),
            Err(error) if sys::does_not_divide(&error) => {
                self.refused = true;
                Divided::Alone
            }
            Err(error) => Divided::Failed(error),
        }
    }
}

/// Sends all of these, by calls that send some of what is left and return how many.
pub(super) fn one_after_the_other(
    datagrams: &[&[u8]],
    mut send: impl FnMut(&[&[u8]]) -> Result<usize, PathError>,
) -> (usize, Result<(), PathError>) {
    let mut sent = 0;
    while let Some(left) = datagrams.get(sent..).filter(|left| !left.is_empty()) {
        match send(left) {
            Ok(more) => sent += more,
            Err(error) => return (sent, Err(error)),
        }
    }
    (sent, Ok(()))
}

/// The first of these that have one length, but for a shorter one at their end, and that length.
fn first_run<'d>(datagrams: &'d [&'d [u8]]) -> (&'d [&'d [u8]], u16) {
    let len = datagrams.first().map_or(0, |first| first.len());
    if !(1..=LONGEST).contains(&len) {
        return (&[], 0);
    }
    let same = datagrams.iter().take(sys::MOST_SEGMENTS).take_while(|it| it.len() == len).count();
    let ends = same < sys::MOST_SEGMENTS && datagrams.get(same).is_some_and(|last| (1..len).contains(&last.len()));
    let run = datagrams.get(..same + usize::from(ends)).unwrap_or_default();
    (run, u16::try_from(len).unwrap_or_default())
}

/// Fewer gain less than the question about time stamps costs.
const WORTH_ASKING: usize = 3;
/// Every path carries them whole, by IPv6 too (RFC 8200 §5: 1,280 bytes of packet).
const LONGEST: usize = 1232;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_one_length_and_may_end_with_a_shorter_one() {
        let long = [7; LONGEST + 1];
        let lens = |lens: &[usize]| {
            let datagrams: Vec<&[u8]> = lens.iter().map(|&len| &long[..len]).collect();
            let (run, len) = first_run(&datagrams);
            (run.len(), len)
        };
        assert_eq!(lens(&[]), (0, 0));
        assert_eq!(lens(&[0, 0]), (0, 0));
        assert_eq!(lens(&[4]), (1, 4));
        assert_eq!(lens(&[4, 4, 4]), (3, 4));
        assert_eq!(lens(&[4, 4, 3, 3]), (3, 4));
        assert_eq!(lens(&[4, 3, 4]), (2, 4));
        assert_eq!(lens(&[4, 5]), (1, 4));
        // An empty one would leave as nothing.
        assert_eq!(lens(&[4, 4, 0]), (2, 4));
        assert_eq!(lens(&[LONGEST, LONGEST]), (2, 1232));
        assert_eq!(lens(&[LONGEST + 1, LONGEST + 1]), (0, 0));
        assert_eq!(lens(&[9; 100]), (sys::MOST_SEGMENTS, 9));
        let mut many = [9; 100];
        many[sys::MOST_SEGMENTS] = 8;
        assert_eq!(lens(&many), (sys::MOST_SEGMENTS, 9));
    }
}
