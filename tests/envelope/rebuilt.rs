//! Envelopes of requests that are stamped, and built anew for each transmission in the size that the path is suspected to take.

use udp_retry::envelope::{HEADER_LEN, RequestHeader};
use udp_retry::fault::Profile;
use udp_retry::sim::SimNet;
use udp_retry::size::Plpmtu;
use udp_retry::{ReliableRequester, RetryPolicy, Seed, transaction_id};

use crate::round_trips::{Logged, connected, policy};
use crate::server::{Executions, Server};
use crate::{CLIENT, SERVER, ms};

#[test]
fn a_request_that_is_stamped_and_built_anew_is_measured_by_the_transmission_that_was_answered() {
    let transport = Logged::over(connected(5, "loss 40%; duplicate 30% late 70ms ~60ms; delay 50ms ~45ms unordered"));
    let builder = ReliableRequester::builder(transaction_id(0..8).stamped()).policy(policy()).envelope();
    let mut requester = builder.over(transport).unwrap();
    let (mut ids, mut after_more) = (Vec::new(), 0);
    for n in 0..100_u32 {
        let mut built = Vec::new();
        let outcome = requester.request_with(|purpose, request| {
            built.push(purpose.transmission);
            request.extend_from_slice(&[&[0; 8][..], &n.to_be_bytes(), &purpose.transmission.to_be_bytes()].concat());
        });
        let Ok(reply) = outcome.map(|reply| reply.into_owned()) else { continue };
        let reply = reply.as_reply();
        assert_eq!(built, (1..=reply.transmissions()).collect::<Vec<_>>());
        // What was asked, and the header that was answered.
        let (asked, answered) = reply.payload().split_at(16);
        let (header, _) = RequestHeader::decode(&[answered, asked].concat()).map(|(header, _)| (header, ())).unwrap();
        let number = u32::from_be_bytes(asked[12..].try_into().unwrap());
        assert_eq!((&asked[8..12], header.transmission().get()), (&n.to_be_bytes()[..], number as u16));
        let transport = requester.transport();
        let is_it = |sent: &&(_, Vec<u8>)| sent.1[..16] == *answered && sent.1[16..] == *asked;
        let sent_at = transport.sent.iter().rev().find(is_it).expect("it was sent").0;
        assert_eq!(reply.round_trip(), Some(transport.received_at.since(sent_at)), "request {n}");
        ids.push(asked[..8].to_vec());
        after_more += u32::from(reply.transmissions() > 1);
    }
    assert!(ids.len() > 90 && after_more > 40, "{}, {after_more}", ids.len());
    assert!(ids.iter().all(|id| *id != [0; 8]), "ids are stamped in the envelope");
    ids.sort();
    ids.dedup();
    assert!(ids.len() > 90, "each has one of its own");
}

#[test]
fn a_builder_is_asked_for_what_is_left_beside_the_header_and_what_leaves_is_as_large_as_the_path_takes() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = (net.host(CLIENT).unwrap(), net.host(SERVER.ip()).unwrap());
    // Larger ones vanish. IPv4 and UDP have 28 bytes of that.
    net.path(client, server, Profile::both("mtu 1300; delay 5ms".parse().unwrap())).unwrap();
    net.serve_endpoint(SERVER, Server::immortal(&Executions::default())).unwrap();
    let transport = Logged::over(net.connect(client, SERVER).unwrap());
    let builder = ReliableRequester::builder(transaction_id(0..8).stamped()).policy(RetryPolicy::LAN).envelope();
    let mut requester = builder.over(transport).unwrap();
    let mut asked_for = Vec::new();
    let reply = requester.request_with(|purpose, request| {
        asked_for.push(purpose.at_most.map(Plpmtu::bytes));
        request.resize(purpose.at_most.map_or(1_400, Plpmtu::bytes), 7);
    });
    let reply = reply.unwrap();
    // The third transmission is as large as every path takes, with its header.
    assert_eq!((reply.transmissions(), reply.round_trip()), (3, Some(ms(10))));
    assert_eq!(asked_for, [None, None, Some(1_200 - HEADER_LEN)]);
    assert_eq!(reply.payload().len(), 1_200);
    let sent: Vec<usize> = requester.transport().sent.iter().map(|sent| sent.1.len()).collect();
    assert_eq!(sent, [1_400 + HEADER_LEN, 1_400 + HEADER_LEN, 1_200]);
    for (n, (_, sent)) in (1..).zip(&requester.transport().sent) {
        let (header, request) = RequestHeader::decode(sent).unwrap();
        assert_eq!((header.transmission().get(), request.len()), (n, sent.len() - HEADER_LEN));
    }
}
