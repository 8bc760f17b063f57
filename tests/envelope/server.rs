//! A server that executes once, written apart from the crate's own from the rules in the documentation of `envelope`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::Seed;
use udp_retry::envelope::{Admission, Incarnation, ReplyHeader, ReplyKind, RequestHeader};
use udp_retry::sim::{Endpoint, Outbox};
use udp_retry::time::Timestamp;

/// What was done with each request, by its bytes: by which incarnation, and when.
pub(crate) type Executions = Rc<RefCell<BTreeMap<Vec<u8>, Vec<(u64, Timestamp)>>>>;

/// Lives, dies with all that it knows, and lives again.
pub(crate) struct Server {
    lives: Vec<Life>,
    lifetime: Duration,
    work: Duration,
    /// The incarnation that `cache` is of.
    current: u64,
    /// When each request came first, and when its reply is there.
    cache: BTreeMap<Vec<u8>, (Timestamp, Timestamp)>,
    executions: Executions,
}

#[derive(Clone, Copy)]
pub(crate) struct Life {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
}

impl Server {
    pub(crate) fn new(lives: Vec<Life>, lifetime: Duration, work: Duration, executions: &Executions) -> Self {
        Self { lives, lifetime, work, current: 0, cache: BTreeMap::new(), executions: executions.clone() }
    }

    /// One that never dies, and was up long before.
    pub(crate) fn immortal(executions: &Executions) -> Self {
        let life = Life { start: Timestamp::ZERO, end: Timestamp::MAX };
        Self::new(vec![life], Duration::ZERO, Duration::ZERO, executions)
    }
}

impl Endpoint for Server {
    fn on_datagram(&mut self, now: Timestamp, from: SocketAddr, datagram: &[u8], out: &mut Outbox<'_>) {
        let Some(n) = self.lives.iter().position(|life| life.start <= now && now < life.end) else { return };
        let (life, number) = (self.lives[n], n as u64 + 1);
        if number != self.current {
            self.cache.clear();
            self.current = number;
        }
        let (incarnation, uptime) = (Incarnation::new(number).unwrap(), now.since(life.start));
        let Ok((header, request)) = RequestHeader::decode(datagram) else { return };
        if header.is_expired(Duration::ZERO) {
            return;
        }
        let answer = |kind, uptime| ReplyHeader::new(kind, header.transmission(), uptime, incarnation).encode();
        if header.admission(incarnation, uptime, self.lifetime) == Admission::Unknown {
            return out.send(from, &[&answer(ReplyKind::Unknown, uptime)[..], request].concat());
        }
        let known =
            self.cache.get(request).filter(|(first, _)| now < first.after(self.lifetime) || self.lifetime.is_zero());
        let done = match known {
            Some(&(_, done)) if now < done => return,
            Some(_) => now,
            None => {
                self.executions.borrow_mut().entry(request.to_vec()).or_default().push((number, now));
                self.cache.insert(request.to_vec(), (now, now.after(self.work)));
                now.after(self.work)
            }
        };
        // What it works on dies with it.
        if done < life.end {
            let reply = [&answer(ReplyKind::Reply, done.since(life.start))[..], request, &datagram[..16]].concat();
            out.send_after(done.since(now), from, &reply);
        }
    }
}

/// Lives of random lengths, with gaps.
pub(crate) fn lives(seed: Seed, most: Duration, gap: Duration) -> Vec<Life> {
    let span = |stream, most: Duration, n| {
        Duration::from_nanos(Seed::new(seed.derive(stream).draw(n)).draw(0) % (most.as_nanos() as u64 + 1))
    };
    let mut start = Timestamp::ZERO;
    let next = |n| {
        let life = Life { start, end: start.after(span(901, most, n)) };
        start = life.end.after(span(902, gap, n));
        life
    };
    (0..200).map(next).collect()
}
