//! A place that is used again, and what is late for its tenant before.

use std::num::NonZeroU32;
use std::ops::Range;

use udp_retry::entropy::IdSource;
use udp_retry::transaction::{
    Arrived, Handle, InFlight, KeyedMatcher, Limits, Match, ReplyMatcher, TransactionId, transaction_id,
};

use super::dice::Dice;
use super::settings::ms;
use super::{START, engine, stamped, submitted, transmitted};

#[test]
fn a_late_reply_never_reaches_the_next_tenant_of_its_slot() {
    let one = Limits::default().requests(NonZeroU32::MIN);
    for width in [2, 8, 12, 16] {
        late_replies(&mut stamped(width, one), |requests, token| submitted(requests, START, 1, token));
    }
    for width in [2, 8, 12] {
        let credulous = Credulous(transaction_id(0..width).stamped());
        late_replies(&mut engine(credulous, one), |requests, token| submitted(requests, START, 1, token));
    }
    late_replies(&mut engine(transaction_id(0..8), one), |requests, token| {
        let peer = requests.peer(1).unwrap();
        requests.submit(START, peer, &(token | 1 << 63).to_be_bytes(), token).unwrap()
    });
}

/// Has the id find, and confirms whatever it finds.
struct Credulous(TransactionId);

impl ReplyMatcher for Credulous {
    fn judge(&self, _request: &[u8], _datagram: &[u8]) -> Match {
        Match::Reply
    }

    fn id<'r>(&self, request: &'r [u8]) -> Option<&'r [u8]> {
        self.0.id(request)
    }

    fn stamps(&self) -> bool {
        true
    }

    fn stamp(&self, request: &mut [u8], ids: &mut IdSource) {
        self.0.stamp(request, ids);
    }
}

impl KeyedMatcher for Credulous {
    fn reply_id<'d>(&self, datagram: &'d [u8]) -> Option<&'d [u8]> {
        self.0.reply_id(datagram)
    }

    fn stamped_at(&self) -> Option<Range<usize>> {
        self.0.stamped_at()
    }
}

fn late_replies<M: KeyedMatcher>(
    requests: &mut InFlight<u32, M>,
    mut submit: impl FnMut(&mut InFlight<u32, M>, u64) -> Handle,
) {
    let mut dice = Dice::new(3);
    let mut late: Vec<(Handle, Vec<u8>)> = Vec::new();
    let mut now = START;
    for token in 0..2_000 {
        let handle = submit(requests, token);
        let reply = requests.request(handle).unwrap().to_vec();
        let is_sent = !dice.one_in(8);
        if is_sent {
            assert_eq!(transmitted(requests, now), 1);
        }
        for (stale, reply) in late.iter().rev().take(20) {
            let arrived = requests.on_datagram(now, 1, reply, reply.len());
            assert!(matches!(arrived, Arrived::Stray(_)), "{arrived:?}");
            assert_eq!((requests.cancel(now, *stale), requests.request(*stale)), (None, None));
        }
        assert_eq!((requests.len(), requests.request(handle)), (1, Some(&reply[..])));
        match is_sent.then(|| dice.within(0..=2)) {
            Some(0) => assert!(matches!(requests.on_datagram(now, 1, &reply, reply.len()), Arrived::Reply(_))),
            Some(1) => {
                while requests.next_finished().is_none() {
                    now = requests.next_deadline().unwrap().max(now);
                    requests.on_time_up(now);
                    transmitted(requests, now);
                }
            }
            _ => assert!(requests.cancel(now, handle).is_some()),
        }
        now = now.after(ms(1));
        late.push((handle, reply));
    }
}
