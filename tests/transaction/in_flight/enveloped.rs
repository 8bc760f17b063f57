//! Envelopes in a world: what they say when they leave, and answers in them, of servers that restart.

use std::time::Duration;

use udp_retry::envelope::{HEADER_LEN, Incarnation, ReplyHeader, ReplyKind, RequestHeader};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{KeyedMatcher, Next};

use super::asked::Stage;
use super::world::World;

impl<M: KeyedMatcher> World<M> {
    /// Bytes before each payload.
    pub(super) fn header_len(&self) -> usize {
        if self.model.settings.envelope { HEADER_LEN } else { 0 }
    }

    /// Seals what is about to leave; what it says then, if there are envelopes.
    pub(super) fn seal(&mut self, count: usize) -> Vec<RequestHeader> {
        // Any more are sealed anew when they leave.
        let more = self.dice.index(3);
        self.engine.seal(self.now, count + more);
        let sealed = self.engine.transmits().take(if self.model.settings.envelope { count } else { 0 });
        sealed.map(|it| RequestHeader::decode(it.datagram).unwrap().0).collect()
    }

    /// A transaction says the same.
    pub(super) fn says_as_much(&mut self, token: usize, sealed: RequestHeader) {
        let now = self.now;
        let begun = self.model.begin(now, token);
        // Whether one is sent whose end has come since the last look is left open.
        if matches!(begun.transaction.next(now), Next::Transmit(_)) {
            let expected = RequestHeader::decode(begun.transaction.datagram()).unwrap().0;
            assert_eq!(sealed, expected, "request {token} at {now:?}");
            self.tally.named += u64::from(sealed.incarnation().is_some());
        }
    }

    /// A payload in the envelope of a server: as a rule that which has the request, in answer to one of its transmissions.
    pub(super) fn enclose(&mut self, token: usize, kind: ReplyKind, uptime: Duration, payload: &[u8]) -> Vec<u8> {
        if !self.model.settings.envelope {
            return payload.to_vec();
        }
        let transmissions = match &self.model.asked[token].stage {
            Stage::Begun(begun) => begun.transaction.transmissions().max(1),
            _ => 1,
        };
        let number = match self.dice.within(0..=11) {
            0 => transmissions + 1,
            _ => self.dice.within(1..=transmissions.into()) as u32,
        };
        let peer = self.model.asked[token].peer;
        if self.dice.one_in(20) {
            self.model.peers[peer].lives = self.dice.within(1..=3);
        }
        let incarnation = if self.dice.one_in(20) { self.dice.within(1..=3) } else { self.model.peers[peer].lives };
        let number = RequestHeader::new(number, None, None).transmission();
        let header = ReplyHeader::new(kind, number, uptime, Incarnation::new(incarnation).unwrap());
        [&header.encode()[..], payload].concat()
    }

    /// A server that has restarted received a copy of a request, or something like it.
    pub(super) fn unknown(&mut self, at: Timestamp) {
        let Some(token) = self.some_request() else { return };
        let (peer, mut quoted) = (self.model.asked[token].peer, self.model.asked[token].bytes.clone());
        let len = quoted.len();
        match self.dice.within(0..=15) {
            0 => _ = quoted.pop(),
            1 => quoted[len - 1] ^= 0x40,
            _ => {}
        }
        let longest = match &self.model.asked[token].stage {
            Stage::Begun(begun) => at.since(begun.at).as_nanos() as u64 * 2,
            _ => 0,
        };
        let uptime = match self.dice.within(0..=3) {
            0 => Duration::ZERO,
            1 => Duration::from_secs(3_600),
            _ => Duration::from_nanos(self.dice.within(0..=longest)),
        };
        let datagram = self.enclose(token, ReplyKind::Unknown, uptime, &quoted);
        self.deliver(at, peer, &datagram, datagram.len());
        if self.dice.one_in(4) {
            self.check();
            self.deliver(at, peer, &datagram, datagram.len());
        }
    }

    /// What can be wrong with a header.
    pub(super) fn damage(&mut self, datagram: &mut Vec<u8>) {
        match self.dice.within(0..=4) {
            0 => datagram[0] ^= 1,
            1 => datagram[1] = self.dice.pick(&[0x11, 0x21, 0x14, 0x22]),
            2 => datagram[2..4].fill(0),
            3 => datagram[8..16].fill(0),
            _ => datagram.truncate(self.dice.index(HEADER_LEN)),
        }
    }
}
