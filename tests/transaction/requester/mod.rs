//! The blocking requester in virtual time: when it sends, what it takes for the reply, and what it says otherwise.

mod errors;
mod hints;
mod ids_and_strays;
mod on_unreachable;
mod replies;
mod schedule;
mod unsent;

use udp_retry::transport::{PathIndex, Transport};
use udp_retry::{ReliableRequester, RequestError, RetryPolicy, Seed, any_reply, transaction_id};

use crate::scripted::{Answer, Heard, Scripted};

fn by_id<T: Transport<Peer = PathIndex>>(transport: T) -> ReliableRequester<T> {
    ReliableRequester::builder(transaction_id(0..4))
        .policy(RetryPolicy::LAN)
        .seed(Seed::new(0))
        .over(transport)
        .unwrap()
}

fn without_ids(world: Scripted) -> ReliableRequester<Scripted> {
    ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN).over(forgetful(world)).unwrap()
}

fn forgetful(mut world: Scripted) -> Scripted {
    world.forgetful = true;
    world
}

/// A server that answers nothing but datagram number `ordinal`.
fn only(
    ordinal: u64,
    mut answer: impl FnMut(Heard<'_>) -> Vec<Answer> + 'static,
) -> impl FnMut(Heard<'_>) -> Vec<Answer> + 'static {
    move |heard| if heard.ordinal == ordinal { answer(heard) } else { Vec::new() }
}

fn text(error: RequestError) -> String {
    format!("{error}\n{}", error.timeline())
}

const PING: &[u8] = b"id 1 ping";
const PONG: &[u8] = b"id 2 pong";
