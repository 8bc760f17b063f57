//! Every reply is a measurement, and each is right: also of retransmissions, and under loss and duplication.

use udp_retry::fault::Profile;
use udp_retry::policy::{Backoff, RttEstimator};
use udp_retry::sim::{SimNet, SimTransport};
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, NoEntropy, PathError, PathIndex, Renewal, Renewed, Transport};
use udp_retry::{ReliableRequester, RetryPolicy, Seed, any_reply, transaction_id};

use crate::server::{Executions, Server};
use crate::{CLIENT, SERVER, ms};

#[test]
fn under_half_of_all_lost_and_many_repeated_each_reply_has_its_own_round_trip_and_never_another() {
    let bad = "loss 50%; duplicate 30% late 70ms ~60ms; delay 50ms ~45ms unordered";
    let (mut replies, mut after_more) = (0, 0);
    for seed in 0..200 {
        let mut requester = requester(seed, bad, |builder| builder);
        for n in 0..20_u32 {
            // Sometimes the server answers a copy that is late by more than all the rest.
            let Ok(reply) = requester.request(&n.to_be_bytes()).map(|reply| reply.into_owned()) else { continue };
            let reply = reply.as_reply();
            let (asked, answered) = reply.payload().split_at(4);
            assert_eq!(asked, n.to_be_bytes());
            let transport = requester.transport();
            // The server sends back the header that it answers: no other transmission of this request has the same.
            let is_it = |sent: &&(Timestamp, Vec<u8>)| sent.1[..16] == *answered && sent.1[16..] == *asked;
            let sent_at = transport.sent.iter().rev().find(is_it).expect("it was sent").0;
            let truly = transport.received_at.since(sent_at);
            assert_eq!(reply.round_trip(), Some(truly), "seed {seed}, request {n}\n{}", reply.timeline());
            replies += 1;
            after_more += u32::from(reply.transmissions() > 1);
        }
    }
    println!("{replies} replies of 4000, {after_more} of them after more than one transmission");
    assert!(replies > 3_500 && after_more > 2_000, "{replies}, {after_more}");
}

#[test]
fn an_estimator_learns_from_every_reply_what_the_path_takes() {
    let estimator = RttEstimator::new(ms(1_000), ms(50), ms(60_000)).unwrap();
    let mut requester = requester(1, "loss 30%; delay 40ms", |builder| builder.estimator(estimator.clone()));
    let answered = (0..200_u32).filter(|n| requester.request(&n.to_be_bytes()).is_ok()).count();
    assert!(answered > 190, "{answered}");
    // Forty there and forty back, whichever transmission was answered: Karn's rule would have left the backoff in place.
    let (now, rto) = (requester.transport().now(), estimator.rto(requester.transport().now()));
    assert_eq!(estimator.srtt(now), Some(ms(80)));
    assert!(rto < ms(200), "{rto:?}");
}

#[test]
fn a_matcher_without_ids_has_a_round_trip_for_each_reply_too() {
    let transport = connected(3, "loss 30%; delay 40ms");
    let builder = ReliableRequester::builder(any_reply()).policy(policy()).envelope();
    let mut requester = builder.over(transport).unwrap();
    for n in 0..200_u32 {
        if let Ok(reply) = requester.request(b"the same each time") {
            assert_eq!(reply.round_trip(), Some(ms(80)), "request {n}");
            assert_eq!(reply.payload()[..18], *b"the same each time");
        }
    }
}

fn requester(
    seed: u64,
    impairments: &str,
    set: impl FnOnce(udp_retry::requester::Builder) -> udp_retry::requester::Builder,
) -> ReliableRequester<Logged> {
    let transport = Logged::over(connected(seed, impairments));
    set(ReliableRequester::builder(transaction_id(0..4)).policy(policy()).envelope()).over(transport).unwrap()
}

pub(crate) fn connected(seed: u64, impairments: &str) -> SimTransport {
    let net = SimNet::new(Seed::new(seed));
    let (client, server) = (net.host(CLIENT).unwrap(), net.host(SERVER.ip()).unwrap());
    net.path(client, server, Profile::both(impairments.parse().unwrap())).unwrap();
    net.serve_endpoint(SERVER, Server::immortal(&Executions::default())).unwrap();
    net.connect(client, SERVER).unwrap()
}

pub(crate) fn policy() -> RetryPolicy {
    RetryPolicy::new(Backoff::constant(ms(60)).unwrap()).with_max_transmissions(16).unwrap()
}

/// Writes down what is sent and received, and when.
pub(crate) struct Logged {
    pub(crate) inner: SimTransport,
    pub(crate) sent: Vec<(Timestamp, Vec<u8>)>,
    pub(crate) received_at: Timestamp,
}

impl Logged {
    pub(crate) fn over(inner: SimTransport) -> Self {
        Self { inner, sent: Vec::new(), received_at: Timestamp::ZERO }
    }
}

impl Transport for Logged {
    type Peer = PathIndex;

    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn send(&mut self, to: PathIndex, datagram: &[u8]) -> Result<(), PathError> {
        self.sent.push((self.now(), datagram.to_vec()));
        self.inner.send(to, datagram)
    }

    fn recv(&mut self, buffer: &mut [u8], now: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
        let incoming = self.inner.recv(buffer, now, until);
        if let Incoming::Datagram(received) = incoming {
            self.received_at = received.at;
        }
        incoming
    }

    fn renew(&mut self, path: PathIndex, need: Renewal) -> Result<Renewed, PathError> {
        self.inner.renew(path, need)
    }

    fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        self.inner.entropy(key)
    }
}
