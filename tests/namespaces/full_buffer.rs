//! A send buffer that stays full, because nobody tells where the peer is. In a network namespace.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real sockets, processes and clocks are the point"
)]

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;
use udp_retry::policy::Backoff;
use udp_retry::transaction::{Event, Execution, Failure};
use udp_retry::transport::{PathError, PathIndex, Transport};
use udp_retry::{ConnectedUdp, ReliableRequester, RetryPolicy, transaction_id};

use crate::again::this_test;
use crate::inside::{Inside, PORT, run, run_at};
use crate::offers::Offers;
use crate::processor::spent;
use crate::watchdog::{MINUTE, within};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_full_send_buffer_blocks_nothing_and_ends_with_its_cause() {
    within(MINUTE, || {
        let Some(network) = Inside::of(this_test!(), "direct") else { return };
        // An address that is there, but does not tell where.
        run_at("PM_SERVER", "sysctl -qw net.ipv4.conf.all.arp_ignore=8");
        let device = network.device.strip_suffix("cs").unwrap().to_owned() + "sc";
        run_at("PM_SERVER", &format!("ip addr add {MUTE}/24 dev {device}"));
        let _server = network.echo(MUTE);
        let socket = UdpSocket::bind("10.211.1.1:0").unwrap();
        SockRef::from(&socket).set_send_buffer_size(1).unwrap();
        socket.connect((MUTE, PORT)).unwrap();
        let mut client = ConnectedUdp::from_socket(socket).unwrap();
        let fit = (0..100).take_while(|_| client.send(PathIndex::FIRST, &[b'x'; 1000]).is_ok()).count();
        assert!((1..100).contains(&fit), "{fit}");
        assert_eq!(client.offer(PathIndex::FIRST, &[b'x'; 1000]), Err(PathError::NoBuffers));

        let every = |wait| RetryPolicy::new(Backoff::constant(wait).unwrap()).with_max_transmissions(1000).unwrap();
        let builder = ReliableRequester::builder(transaction_id(0..4)).policy(every(50 * MS));
        let mut requester = builder.deadline(600 * MS).over(client).unwrap();
        let started = Instant::now();
        let (error, cpu) = spent(|| requester.request(&[b'1'; 1000]).unwrap_err());
        let took = started.elapsed();
        println!("{fit} datagrams filled the buffer; a deadline of 600 ms took {took:?}, {cpu:?} of CPU time");
        assert_eq!((error.failure(), error.execution()), (Failure::Local(PathError::NoBuffers), Execution::NotSent));
        let attempts =
            error.timeline().events().filter(|(_, event)| matches!(event, Event::NotTransmitted { .. })).count();
        assert!((2..=12).contains(&attempts), "{}", error.timeline());
        assert!(took >= 600 * MS && took < 900 * MS, "{took:?}");
        assert!(cpu < 20 * MS, "{cpu:?}");

        let builder = ReliableRequester::builder(transaction_id(0..4)).policy(every(50 * MS)).deadline(10_000 * MS);
        let mut requester = builder.over(requester.into_transport()).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(150 * MS);
                run_at("PM_SERVER", "sysctl -qw net.ipv4.conf.all.arp_ignore=0");
                // Whoever asks next is told, and that takes up to a second.
                run(&format!("ip neigh flush to {MUTE} dev {}", network.device));
            });
            let reply = requester.request(&[b'2'; 1000]).unwrap();
            assert_eq!(reply.payload(), [b'2'; 1000]);
            let withheld = |event| matches!(event, Event::NotTransmitted { error: PathError::NoBuffers, .. });
            assert!(reply.timeline().events().any(|(_, event)| withheld(event)), "{}", reply.timeline());
        });
    });
}

/// An address on the server's link.
const MUTE: &str = "10.211.1.9";
