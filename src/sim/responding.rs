use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use super::endpoint::{Endpoint, Outbox};
use crate::replies::{DuplicateKey, Job, Responder, Todo};
use crate::time::Timestamp;
use crate::transport::Route;

/// A server in a [`SimNet`](super::SimNet) that executes each request once: a [`Responder`] and a handler.
///
/// The handler is given the request and writes the reply. The responder is shared, so that a test can look at what it has
/// done; a server that is restarted has a new one.
///
/// ```
/// use std::cell::{Cell, RefCell};
/// use std::rc::Rc;
/// use udp_retry::fault::Profile;
/// use udp_retry::replies::{ReplyLimits, Responder, same_id};
/// use udp_retry::sim::{ResponderEndpoint, SimNet};
/// use udp_retry::{ReliableRequester, Seed, transaction_id};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let net = SimNet::new(Seed::new(1));
/// let (client, server) = (net.host("10.0.0.1".parse()?)?, net.host("10.0.0.2".parse()?)?);
/// net.path(client, server, Profile::both("loss 30%; duplicate 30%; delay 20ms".parse()?))?;
///
/// let responder = Responder::new(ReplyLimits::default(), same_id(0..8), &[7; 32], net.now());
/// let responder = Rc::new(RefCell::new(responder));
/// let counter = Rc::new(Cell::new(0));
/// let count = Rc::clone(&counter);
/// net.serve_endpoint("10.0.0.2:1060".parse()?, ResponderEndpoint::new(&responder, move |request, reply| {
///     count.set(count.get() + 1);
///     reply.extend_from_slice(request);
/// }))?;
///
/// let transport = net.connect(client, "10.0.0.2:1060".parse()?)?;
/// let mut requester = ReliableRequester::builder(transaction_id(0..8).stamped()).over(transport)?;
/// let answered = (0..20).filter(|_| requester.request(b"........+1").is_ok()).count();
/// assert!(answered <= counter.get() && counter.get() <= 20, "none is executed twice");
/// assert!(responder.borrow().stats().replies.replayed > 0);
/// # Ok(())
/// # }
/// ```
pub struct ResponderEndpoint<K, H> {
    responder: Rc<RefCell<Responder<K>>>,
    handler: H,
    work: Duration,
    /// What is being worked on, until when, and the reply to it.
    working: VecDeque<(Timestamp, Job, Vec<u8>)>,
}

impl<K, H> ResponderEndpoint<K, H>
where
    K: DuplicateKey,
    H: FnMut(&[u8], &mut Vec<u8>),
{
    /// A server that answers at once.
    #[must_use]
    pub fn new(responder: &Rc<RefCell<Responder<K>>>, handler: H) -> Self {
        Self { responder: Rc::clone(responder), handler, work: Duration::ZERO, working: VecDeque::new() }
    }

    /// Answers this long after a request has come, any number at a time. The handler is called when it has come.
    #[must_use]
    pub fn working_for(self, work: Duration) -> Self {
        Self { work, ..self }
    }

    fn finish(&self, now: Timestamp, job: Job, reply: &[u8], out: &mut Outbox<'_>) {
        if let Some(answer) = self.responder.borrow_mut().finish(now, job, reply) {
            out.send(answer.to.remote, answer.datagram);
        }
    }
}

impl<K, H> Endpoint for ResponderEndpoint<K, H>
where
    K: DuplicateKey,
    H: FnMut(&[u8], &mut Vec<u8>),
{
    fn on_datagram(&mut self, now: Timestamp, from: SocketAddr, datagram: &[u8], out: &mut Outbox<'_>) {
        let mut responder = self.responder.borrow_mut();
        let (job, request) = match responder.on_datagram(now, Route::from(from), datagram, datagram.len()) {
            Todo::Execute { job, request } => (job, request),
            Todo::Send(answer) => return out.send(answer.to.remote, answer.datagram),
            Todo::Nothing(_) => return,
        };
        // A handler may look at what the responder has done.
        drop(responder);
        let mut reply = Vec::new();
        (self.handler)(request, &mut reply);
        if self.work.is_zero() {
            self.finish(now, job, &reply, out);
        } else {
            self.working.push_back((now.after(self.work), job, reply));
        }
    }

    fn on_wake(&mut self, now: Timestamp, out: &mut Outbox<'_>) {
        while self.wake_at().is_some_and(|done| done <= now) {
            if let Some((_, job, reply)) = self.working.pop_front() {
                self.finish(now, job, &reply, out);
            }
        }
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.working.front().map(|(done, ..)| *done)
    }
}

impl<K, H> fmt::Debug for ResponderEndpoint<K, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponderEndpoint").field("work", &self.work).finish_non_exhaustive()
    }
}
