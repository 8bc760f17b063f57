//! A datagram that its host would refuse is refused at once, however late it would leave.
#![expect(clippy::disallowed_types, reason = "real sockets are asked for their limit")]

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use udp_retry::fault::{DirectionStats, Profile};
use udp_retry::size::Plpmtu;
use udp_retry::transaction::{Execution, Failure};
use udp_retry::transport::{Incoming, PathError, PathIndex, Transport};
use udp_retry::{ConnectedUdp, Impairments, LossySink, ReliableRequester, RetryPolicy, Seed, transaction_id};

use super::{delay, requests, sent};
use crate::forwarding::Forwarding;
use crate::scripted::{Scripted, at_ms, ms};

#[test]
fn a_real_socket_says_of_a_delayed_datagram_what_it_says_of_another() {
    for (host, most) in [("127.0.0.1", 65_507), ("::1", 65_527)] {
        let Ok(server) = UdpSocket::bind((host.parse::<IpAddr>().unwrap(), 0)) else {
            println!("skipped: no {host} here");
            continue;
        };
        let connect = || ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
        let refusal = connect().send(PathIndex::FIRST, &vec![0; most + 1]);
        let PathError::TooBig { limit: Some(limit), .. } = refusal.unwrap_err() else { panic!("{refusal:?}") };
        assert_eq!((limit.bytes(), connect().max_plpmtu(PathIndex::FIRST)), (most, Some(limit)), "{host}");

        for spec in ["none", "delay 20ms", "loss 100%"] {
            let spec: Impairments = spec.parse().unwrap();
            let mut sink = LossySink::at_client(connect(), requests(spec), Seed::new(1));
            assert_eq!(sink.send(PathIndex::FIRST, &vec![0; most + 1]), refusal, "{host}");
            assert_eq!(sent(&sink), DirectionStats::default(), "it never was in the network");
            // A sink around a sink knows as much.
            let mut outer = LossySink::at_client(sink, requests(delay(ms(5))), Seed::new(2));
            assert_eq!(outer.send(PathIndex::FIRST, &vec![0; 70_000]), refusal);
            assert_eq!(outer.send(PathIndex::FIRST, &vec![0; most]), Ok(()));
            assert_eq!(outer.flush(), Ok(()), "what fits does leave");
        }
    }
}

#[test]
fn a_request_that_is_too_large_fails_at_once_behind_a_delay_as_without_one() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let ask = |spec: &str| {
        let client = ConnectedUdp::connect(server.local_addr().unwrap()).unwrap();
        let sink = LossySink::new(client, spec.parse().unwrap(), Seed::new(1));
        let mut requester =
            ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).over(sink).unwrap();
        let error = requester.request(vec![0; 70_000]).unwrap_err();
        (error.failure(), error.transmissions(), error.execution())
    };
    let without = ask("none");
    let Failure::TooLarge { limit, .. } = without.0 else { panic!("{without:?}") };
    assert_eq!((limit, without.1, without.2), (Some(Plpmtu::new(65_507)), 0, Execution::NotSent));
    assert_eq!(ask("delay 20ms"), without);
    assert_eq!(ask("delay 20ms ~20ms; loss 50%; duplicate 50%"), without);
}

#[test]
fn where_the_limit_is_not_known_what_no_datagram_can_be_is_refused() {
    let mut sink = LossySink::at_client(Scripted::silent(), requests(delay(ms(30))), Seed::new(1));
    assert_eq!(sink.send(PathIndex::FIRST, &vec![0; 65_528]), Err(PathError::too_big(None)));
    assert_eq!(sink.send(PathIndex::FIRST, &vec![0; 65_527]), Ok(()));
    assert_eq!(sent(&sink).in_flight, 1);
}

#[test]
fn a_wrapper_that_forwards_the_five_methods_loses_only_the_early_word() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = Forwarding::around(ConnectedUdp::connect(server.local_addr().unwrap()).unwrap());
    let mut sink = LossySink::at_client(client, Profile::both(delay(Duration::from_millis(5))), Seed::new(1));
    assert_eq!(sink.send(PathIndex::FIRST, &vec![0; 65_510]), Ok(()));
    let until = sink.now().after(ms(1000));
    let told = sink.recv(&mut [0; 8], at_ms(0), until);
    assert!(matches!(told, Incoming::PathError { error: PathError::TooBig { .. }, .. }), "late, and yet: {told:?}");
}
