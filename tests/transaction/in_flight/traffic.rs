//! What leaves and what comes in.

use udp_retry::envelope::ReplyKind;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Arrived, Handle, KeyedMatcher};
use udp_retry::transport::PathError;

use super::asked::{Arrival, Stage};
use super::messages::{REPLY, SLOW, STOP};
use super::settings::ms;
use super::world::World;

impl<M: KeyedMatcher> World<M> {
    pub(super) fn transmit_some(&mut self) {
        let prompt = self.model.settings.prompt;
        while prompt || !self.dice.one_in(4) {
            let ready = self.ready().len();
            if ready == 0 || self.one_has_expired() {
                return;
            }
            let fails = self.dice.one_in(self.model.settings.failing);
            let leave = if fails { self.dice.index(ready) } else { ready.min(self.dice.within(1..=8) as usize) };
            self.transmit(leave);
            self.check();
            if fails && self.paused.is_none() {
                self.fail();
                self.check();
            }
        }
    }

    /// One that has its place, and its deadline has come since the last look: whether it is offered is left open.
    fn one_has_expired(&self) -> bool {
        self.model.open.iter().any(|&token| self.model.has_expired(token, self.now))
    }

    pub(super) fn transmit(&mut self, count: usize) {
        let tokens: Vec<usize> = self.ready().into_iter().take(count).collect();
        self.tell(|_| format!("transmitted {tokens:?}"));
        let sealed = self.seal(tokens.len());
        self.engine.on_transmitted(self.now, count);
        for (place, token) in tokens.into_iter().enumerate() {
            if let Some(&sealed) = sealed.get(place) {
                self.says_as_much(token, sealed);
            }
            self.model.on_transmitted(self.now, token);
            self.tally.transmissions += 1;
        }
    }

    /// The first one does not leave, once or more often.
    pub(super) fn fail(&mut self) {
        let Some(&token) = self.ready().first() else { return };
        let (settings, dice) = (&self.model.settings, &mut self.dice);
        let errors = [
            PathError::Refused,
            PathError::Unreachable,
            PathError::too_big(None),
            PathError::Other(5),
            PathError::NoBuffers,
            PathError::Cancelled,
        ];
        let any = match (&settings.estimator, settings.prompt) {
            (Some(_), _) => &errors[..1],
            (None, true) => &errors[..4],
            (None, false) => &errors[..],
        };
        let error = dice.pick(any);
        for _ in 0..dice.within(1..=3) {
            if self.ready().first() != Some(&token) || !self.can_fail(token) {
                return;
            }
            self.tell(|_| format!("not transmitted {token}: {error}"));
            self.engine.on_not_transmitted(self.now, error);
            if error == PathError::Cancelled {
                return;
            }
            if error == PathError::NoBuffers {
                self.paused = Some(self.now.after(ms(1)));
                return;
            }
            let end = self.model.on_not_transmitted(self.now, token, error);
            self.failures(end.into_iter().collect());
            self.check();
        }
    }

    /// The model knows of eight failures in a slot.
    pub(super) fn can_fail(&self, token: usize) -> bool {
        match &self.model.asked[token].stage {
            Stage::Begun(begun) => begun.failed_sends < 7,
            _ => true,
        }
    }

    /// What the engine has to send, in its order.
    pub(super) fn ready(&self) -> Vec<usize> {
        // A list that leads back into itself must not hang the test.
        let most = self.model.open.len();
        let ready: Vec<usize> =
            self.engine.transmits().take(most + 1).map(|transmit| self.token(transmit.handle)).collect();
        assert!(ready.len() <= most, "there are more to be sent than are open: {ready:?}");
        ready
    }

    pub(super) fn token(&self, handle: Handle) -> usize {
        let found = self.model.open.iter().find(|&&token| self.model.asked[token].handle == handle);
        *found.unwrap_or_else(|| panic!("{handle:?} is no open request"))
    }

    pub(super) fn receive(&mut self, late: bool) {
        let answers = self.dice.one_in(self.model.settings.answering);
        // When it arrived: a late driver reads what came long ago.
        let since = self.now.since(self.looked).as_nanos() as u64;
        let no_delay = self.model.settings.policies.iter().all(|policy| policy.start_delay().1.is_zero());
        let ago = if late && no_delay && self.dice.one_in(2) { self.dice.within(0..=since) } else { 0 };
        let at = Timestamp::from_nanos(self.now.as_nanos() - ago);
        self.looked = at;
        match self.dice.within(0..=9) {
            0 => self.path_error(at),
            1 => self.forgery(at),
            2 => self.late_copy(at),
            3 if self.model.settings.envelope => self.unknown(at),
            _ if answers => self.answer(at),
            _ => {}
        }
    }

    /// A request that is open or ended lately.
    pub(super) fn some_request(&mut self) -> Option<usize> {
        match self.model.asked.len() {
            0 => None,
            _ if !self.model.open.is_empty() && !self.dice.one_in(8) => Some(self.dice.pick(&self.model.open)),
            len => Some(len - 1 - self.dice.index(len.min(20))),
        }
    }

    pub(super) fn answer(&mut self, at: Timestamp) {
        let Some(token) = self.some_request() else { return };
        let asked = &self.model.asked[token];
        let kind = self.dice.pick(&[REPLY, REPLY, REPLY, REPLY, STOP, SLOW]);
        let (peer, datagram) = (asked.peer, self.format.answer(&asked.bytes, kind));
        let datagram = self.enclose(token, ReplyKind::Reply, ms(1), &datagram);
        let actual = datagram.len() + if self.dice.one_in(12) { 9 } else { 0 };
        self.deliver(at, peer, &datagram, actual);
        if self.dice.one_in(4) {
            self.check();
            self.deliver(at, peer, &datagram, actual);
        }
    }

    pub(super) fn late_copy(&mut self, at: Timestamp) {
        let ended: Vec<usize> = (0..self.model.asked.len())
            .rev()
            .filter(|&token| self.model.asked[token].ended.is_some())
            .take(10)
            .collect();
        if !ended.is_empty() {
            let token = self.dice.pick(&ended);
            let asked = &self.model.asked[token];
            let (peer, datagram) = (asked.peer, self.format.answer(&asked.bytes, REPLY));
            let datagram = self.enclose(token, ReplyKind::Reply, ms(1), &datagram);
            self.deliver(at, peer, &datagram, datagram.len());
        }
    }

    /// The right id from the wrong peer, the right id and the wrong question, another id, nothing, noise.
    pub(super) fn forgery(&mut self, at: Timestamp) {
        let Some(token) = self.some_request() else { return };
        let asked = &self.model.asked[token];
        let (mut peer, mut datagram) = (asked.peer, self.format.answer(&asked.bytes, REPLY));
        let (kind_at, len) = (self.format.found_at + self.format.width, datagram.len());
        match self.dice.within(0..=5) {
            0 => peer = self.dice.index(self.model.peers.len()),
            1 => datagram[kind_at + 2] ^= 0x40,
            2 => datagram[kind_at] = b'?',
            3 => datagram[self.format.found_at + self.dice.index(self.format.width)] ^= 0x10,
            4 => datagram.truncate(self.dice.index(kind_at)),
            _ => datagram.clear(),
        }
        let mut datagram = self.enclose(token, ReplyKind::Reply, ms(1), &datagram);
        if self.model.settings.envelope && self.dice.one_in(3) {
            self.damage(&mut datagram);
        }
        let len = len + self.header_len();
        let actual = datagram.len().max(if self.dice.one_in(4) { len } else { 0 });
        if self.dice.one_in(8) {
            // From someone who was never asked.
            match self.engine.on_datagram(at, 99, &datagram, actual) {
                Arrived::Stray(kind) => return self.stray(kind, &datagram, actual),
                other => panic!("{other:?}"),
            }
        }
        self.deliver(at, peer, &datagram, actual);
    }

    pub(super) fn deliver(&mut self, at: Timestamp, peer: usize, datagram: &[u8], actual: usize) {
        let arrived = self.engine.on_datagram(at, self.model.peers[peer].address, datagram, actual);
        self.tell(|_| format!("from {peer} at {at:?} {} of {actual} bytes: {arrived:?}", datagram.len()));
        let arrival = self.model.on_datagram(at, peer, datagram, actual);
        match (&arrived, &arrival) {
            (Arrived::Reply(finished), Arrival::Reply(end)) => self.ended(finished, end),
            (Arrived::Truncated(handle), Arrival::Truncated(end)) => {
                assert_eq!(self.model.asked[end.token].handle, *handle);
                self.failures(vec![end.clone()]);
            }
            (Arrived::Provisional(handle), Arrival::Provisional(token)) => {
                assert_eq!(self.model.asked[*token].handle, *handle);
                self.tally.provisional += 1;
            }
            (Arrived::Unknown(handle), Arrival::Unknown(token)) => {
                assert_eq!(self.model.asked[*token].handle, *handle);
                self.tally.unknown += 1;
            }
            (Arrived::Stray(kind), Arrival::Stray) => self.stray(*kind, datagram, actual),
            other => panic!("{other:?} at {at:?}"),
        }
    }

    pub(super) fn path_error(&mut self, at: Timestamp) {
        let error =
            self.dice.pick(&[PathError::Refused, PathError::Unreachable, PathError::Refused, PathError::Denied]);
        // Whether a path's waits grow depends on how requests end, and that on which of several errors was noted.
        let error = if self.model.settings.estimator.is_some() { PathError::Refused } else { error };
        let Some(token) = self.some_request() else { return };
        let asked = &self.model.asked[token];
        let (peer, bytes) = (asked.peer, asked.bytes.clone());
        if self.model.peers[peer].is_removed {
            return;
        }
        let was_sent = match &asked.stage {
            Stage::Begun(begun) if begun.guessed >= 16 => return,
            Stage::Begun(begun) => begun.transaction.transmissions() > 0,
            Stage::Ended => true,
            _ => false,
        };
        // No one says which peer it is of: the quote does, where ids differ at all peers, or there is but one peer.
        let (is_only, stamped) = (self.model.peers.len() == 1, self.model.settings.ids.are_stamped());
        let unnamed = self.dice.one_in(4);
        let from = Some(self.model.peers[peer].address).filter(|_| !unnamed);
        if self.dice.one_in(2) || !was_sent {
            if self.model.alone_and_unsent(peer) {
                return;
            }
            self.tell(|_| format!("at {from:?} {error}"));
            self.engine.on_path_error(at, from, error, &[]);
            if !unnamed || is_only {
                self.model.on_unknown_error(at, peer, error);
            }
        } else if !unnamed || is_only || stamped {
            let len = if self.dice.one_in(3) { self.format.range().end } else { bytes.len() };
            self.tell(|_| format!("at {from:?} {error}, quoting {len} bytes of {token}"));
            let quoted = [&vec![7; self.header_len()], &bytes[..len]].concat();
            self.engine.on_path_error(at, from, error, &quoted);
            self.model.on_quoted_error(at, Some(peer).filter(|_| !unnamed), error, &bytes[..len]);
        }
    }
}
