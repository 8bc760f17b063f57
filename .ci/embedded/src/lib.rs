//! A request by way of a network stack of one's own, without the standard library.
#![no_std]

extern crate alloc;

use alloc::vec::Vec;

use udp_retry::time::Timestamp;
use udp_retry::transaction::{Next, Transaction, TransactionId};
use udp_retry::transport::{PathError, Renewed, PathIndex};
use udp_retry::{RequestError, RetryBudget, RetryPolicy, Seed, transaction_id};

/// What a stack for microcontrollers offers.
pub trait Stack {
    fn now(&self) -> Timestamp;
    fn send(&mut self, datagram: &[u8]) -> Result<(), PathError>;
    /// A datagram, or nothing until then.
    fn receive(&mut self, until: Timestamp) -> Option<Vec<u8>>;
    /// Leaves from another port from now on, with nothing queued.
    fn fresh_port(&mut self) -> Result<(), PathError>;
    fn random(&mut self) -> u64;
}

/// Asks until the reply is there or the schedule is over.
pub fn ask(stack: &mut impl Stack, budget: &RetryBudget, request: &[u8]) -> Result<Vec<u8>, RequestError> {
    let mut transaction: Transaction<TransactionId> =
        Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).with_budget(budget.clone());
    transaction.start(request, stack.now(), Seed::new(stack.random()));
    let mut reply = Vec::new();
    loop {
        let now = stack.now();
        match transaction.next(now) {
            // For a request that is built anew for each transmission; the bytes of this one were given.
            Next::Build(..) => transaction.build(|_, _| {}),
            Next::Renew(path, _) => {
                let renewed = stack.fresh_port().map(|()| Renewed::FreshPort);
                transaction.on_renewed(stack.now(), path, renewed);
            }
            Next::Transmit(_) => {
                let sent = stack.send(transaction.datagram());
                transaction.on_sent(now, sent);
            }
            Next::WaitUntil(until) => match stack.receive(until) {
                Some(datagram) => {
                    transaction.on_datagram(stack.now(), PathIndex::FIRST, &datagram, datagram.len());
                    reply = datagram;
                }
                None => transaction.on_time_up(stack.now()),
            },
            Next::Done => return Ok(reply),
            Next::Failed(failure) => return Err(transaction.error(failure, now)),
            Next::Idle => unreachable!("it was started"),
        }
    }
}
