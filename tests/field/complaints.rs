//! What users of request/reply libraries complain of, each shown on the loop that everybody writes where that is cheap,
//! and not on ours.
//!
//! By the numbers of the list that the crate was made from, so far as they are a client's. Not here: 8 (a slow handler
//! is executed once for each retransmission), 9 (what remembered replies cost) and 10 (id spaces of both directions
//! mixed up) are a server's, as it alone knows what it has executed; 13 (a dead server is tried for ever, or a better
//! one never again) is a pool's, as a requester has one server. Those of several callers, clients or addresses are in
//! `complaints_of_many.rs`, those without a number in `complaints_close_behind.rs`.

use std::io;
use std::num::NonZeroU32;
use std::time::Duration;

use udp_retry::fault::{Profile, Rule, Script};
use udp_retry::net::classify;
use udp_retry::policy::{Preset, RttEstimator};
use udp_retry::sim::{SimTransport, echo};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Event, Execution, Failure, OnUnreachable};
use udp_retry::transport::{Incoming, NoEntropy, PathError, PathIndex, Renewal, Renewed, Transport};
use udp_retry::{Impairments, ReliableRequester, RetryPolicy, Seed, any_reply, transaction_id};

use crate::naive::{Pair, SERVER, at, connect, ms, path, requester, sent_to_server, world, worlds};
use crate::waits::Waits;

#[test]
fn complaint_1_one_duplicate_or_late_reply_shifts_all_later_pairs() {
    let shifting = |net: &Pair| {
        let third = (1..3_000).map(|nth| (3 * nth, Rule::Delay { by: ms(120) }));
        let both_ways: Impairments = "delay 5ms; duplicate 100% late 30ms".parse().unwrap();
        net.path(net.client, net.server, Profile::both(both_ways.with_script(Script::new(third).unwrap()))).unwrap();
        net.serve(SERVER, echo()).unwrap();
    };
    let (mut naive, mut by_id, mut by_port) = worlds(shifting);
    let asked = |n: u32| [n as u8, (n >> 8) as u8];
    let wrong = (0..1000).filter(|&n| naive.request(&asked(n)).unwrap() != asked(n)).count();
    assert!(wrong > 900, "{wrong} of 1000 wrong");
    for requester in [&mut by_id, &mut by_port] {
        for n in 0..1000 {
            assert_eq!(requester.request(&asked(n)).unwrap().payload(), asked(n));
        }
    }
}

#[test]
fn complaint_2_intervals_are_constant_and_nothing_is_awaited_after_the_last_send() {
    for Preset { name, policy, .. } in Preset::ALL {
        // Those that never end by themselves are long past all doubt after ten transmissions.
        let policy = policy.with_max_transmissions(policy.max_transmissions().min(10)).unwrap();
        let net = world(|net| path(net, "loss 100%", "none"));
        net.record();
        let mut requester = ReliableRequester::builder(transaction_id(0..1))
            .policy(policy)
            .seed(Seed::new(3))
            .over(connect(&net))
            .unwrap();
        let error = requester.request(b"x").unwrap_err();
        let sent = sent_to_server(&net);
        let first = sent[0];
        let offsets: Vec<_> = sent.iter().map(|sent| sent.since(first)).collect();
        let windows: Vec<_> = policy.schedule().collect();
        assert!(offsets.len() == error.transmissions() as usize && offsets.len() <= windows.len(), "{name}");
        for (nth, (offset, window)) in offsets.iter().zip(&windows).enumerate() {
            assert!((window.earliest..=window.latest).contains(offset), "{name}: transmission {nth} at {offset:?}");
        }
        let grows = policy.backoff().interval(1) > policy.backoff().interval(0) && offsets.len() > 2;
        assert!(!grows || offsets[2] - offsets[1] > offsets[1], "{name}: {offsets:?}");
        // It listens to the end of the last wait.
        let fails = policy.schedule().fails().unwrap();
        let ended = net.now().since(first);
        assert!(
            (fails.earliest..=fails.latest).contains(&ended) && ended > *offsets.last().unwrap(),
            "{name}: {ended:?}"
        );
    }
    // What comes in the last moment of that wait is the reply.
    let last = |net: &Pair| {
        path(net, "delay 800ms", "delay 800ms; script {drop 1,2,3,4}");
        net.serve(SERVER, echo()).unwrap();
    };
    let reply_to_the_fifth = requester(&world(last)).request(b"x").map(|reply| reply.elapsed());
    assert_eq!(reply_to_the_fifth.unwrap(), ms(3100));
}

#[test]
fn complaint_3_a_wrong_id_or_garbage_ended_the_query() {
    let garbage: [&[u8]; 5] = [b"", b"\x00", b"?", b"Zask", &[0xff; 300]];
    for junk in garbage {
        let (mut naive, mut by_id, _) = worlds(|net| {
            net.serve(SERVER, move |_, from, datagram, out| {
                out.send_after(ms(10), from, junk);
                out.send_after(ms(250), from, datagram);
            })
            .unwrap();
        });
        assert_ne!(naive.request(b"Aask").unwrap(), b"Aask", "{junk:?}");
        let reply = by_id.request(b"Aask").unwrap();
        let told = (reply.payload(), reply.transmissions(), reply.elapsed(), reply.strays().total());
        assert_eq!(told, (&b"Aask"[..], 2, ms(250), 2), "{junk:?}: neither ended, nor extended, nor hastened");
    }
}

#[test]
fn complaint_4_a_refused_port_waited_out_the_full_timer() {
    // Told on a receive; or on the next send, as it comes when the wait is over and the process late to wake.
    let ended = |on_unreachable, after: Duration, late| {
        let net = world(|net| path(net, &format!("delay {}ms", after.as_millis()), "none"));
        let builder = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN);
        let transport = Dozing { inner: connect(&net), late };
        let error = builder.on_unreachable(on_unreachable).over(transport).unwrap().request(b"x").unwrap_err();
        assert_eq!((error.failure(), error.last_path_error()), (Failure::Refused, Some(PathError::Refused)));
        // It looks for a reply behind the error, and waits for none.
        (error.transmissions(), error.elapsed().as_millis())
    };
    let on_receive = |on_unreachable| ended(on_unreachable, ms(20), ms(0));
    assert_eq!(on_receive(OnUnreachable::KeepTrying), (5, 3100), "the full timer, for whoever wants it");
    assert_eq!(on_receive(OnUnreachable::FailFast), (1, 20));
    assert_eq!(on_receive(fail_after(2)), (2, 120));
    assert_eq!(on_receive(fail_after(3)), (3, 320));
    // The error of transmission 1 shows on the send of number 2, which is issued again and is the last one.
    let on_send = |on_unreachable| ended(on_unreachable, ms(102), ms(5));
    assert_eq!(on_send(OnUnreachable::FailFast), (2, 105));
    assert_eq!(on_send(fail_after(2)), (2, 207));

    // The same port in a network, and a naive client that takes the error for the end whatever comes.
    let (mut naive, ..) = worlds(|net| path(net, "delay 10ms", "delay 10ms"));
    assert_eq!((naive.request(b"x"), naive.transport.now()), (Err("crashed"), at(20)));
    for (on_unreachable, transmissions, elapsed) in [(OnUnreachable::FailFast, 1, 20), (fail_after(2), 2, 120)] {
        let net = world(|net| path(net, "delay 10ms", "delay 10ms"));
        let builder = ReliableRequester::builder(any_reply()).policy(RetryPolicy::LAN);
        let error = builder.on_unreachable(on_unreachable).over(connect(&net)).unwrap().request(b"x").unwrap_err();
        assert_eq!((error.failure(), error.execution()), (Failure::Refused, Execution::Refused));
        assert_eq!((error.transmissions(), error.elapsed().as_millis()), (transmissions, elapsed));
    }
}

#[test]
fn complaint_4_again_where_the_system_knows_no_way_and_says_so_on_every_send() {
    for (on_unreachable, elapsed) in
        [(OnUnreachable::FailFast, 0), (fail_after(2), 100), (OnUnreachable::KeepTrying, 3100)]
    {
        let nowhere = world(|_| {}).net.clone();
        let client = nowhere.host("10.9.9.9".parse().unwrap()).unwrap();
        let transport = nowhere.connect(client, "10.1.1.1:1".parse().unwrap()).unwrap();
        let builder = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN);
        let error = builder.on_unreachable(on_unreachable).over(transport).unwrap().request(b"x").unwrap_err();
        assert_eq!((error.failure(), error.execution()), (Failure::Unreachable, Execution::NotSent));
        assert_eq!((error.transmissions(), error.elapsed().as_millis()), (0, elapsed));
    }
}

#[test]
fn complaint_5_a_transient_unreachable_closed_the_session_and_later_retries_were_not_sent() {
    let restarting = |net: &Pair| {
        path(net, "delay 51ms", "delay 51ms");
        net.serve(SERVER, echo()).unwrap();
        for n in 0..20 {
            net.at(ms(2_000 * n), |net| assert!(net.stop(SERVER)));
            net.at(ms(2_000 * n + 250), |net| net.serve(SERVER, echo()).unwrap());
        }
    };
    let (mut naive, _, _) = worlds(restarting);
    assert_eq!(naive.request(b"x"), Err("crashed"));
    let net = world(restarting);
    net.record();
    let mut requester = requester(&net);
    let (mut told, mut refused) = (0, 0);
    for n in 0..20 {
        net.run_until(at(2_000 * n));
        let reply = requester.request(&[n as u8]).unwrap();
        assert_eq!(reply.payload(), [n as u8]);
        told += reply.transmissions() as usize;
        refused += reply.timeline().events().filter(|(_, event)| matches!(event, Event::PathError { .. })).count();
    }
    assert!(refused >= 20, "{refused}");
    assert_eq!(sent_to_server(&net).len(), told, "each transmission that was told of has left");

    // A refusal that comes after the reply, of the second copy of the request: it shows on the next request's send.
    let refusing_afterwards = |net: &Pair| {
        path(net, "delay 5ms; duplicate 100% late 20ms", "delay 5ms");
        net.serve(SERVER, echo()).unwrap();
        for n in 0..20 {
            net.at(ms(1_000 * n + 15), |net| assert!(net.stop(SERVER)));
            net.at(ms(1_000 * n + 500), |net| net.serve(SERVER, echo()).unwrap());
        }
    };
    let (mut naive, mut by_id, mut by_port) = worlds(refusing_afterwards);
    assert_eq!(naive.request(b"x"), Ok(b"x".to_vec()));
    naive.transport.net().run_until(at(1_000));
    assert_eq!(naive.request(b"x"), Err("crashed"));
    for requester in [&mut by_id, &mut by_port] {
        for n in 0..20 {
            requester.transport().net().run_until(at(1_000 * n));
            let reply = requester.request(&[n as u8]).unwrap();
            assert_eq!((reply.payload(), reply.transmissions(), reply.elapsed()), (&[n as u8][..], 1, ms(10)));
        }
    }
}

#[test]
fn complaint_6_a_reset_on_receive_killed_the_loop_and_platforms_disagree() {
    // By their numbers the errors of each platform are held together where `classify` is.
    for (kind, meaning) in [
        (io::ErrorKind::ConnectionRefused, PathError::Refused),
        (io::ErrorKind::ConnectionReset, PathError::Refused),
        (io::ErrorKind::NetworkUnreachable, PathError::Unreachable),
        (io::ErrorKind::HostUnreachable, PathError::Unreachable),
        (io::ErrorKind::NetworkDown, PathError::Unreachable),
        (io::ErrorKind::WouldBlock, PathError::NoBuffers),
    ] {
        assert_eq!(classify(&io::Error::from(kind)), meaning, "{kind:?}");
    }
    #[cfg(target_os = "linux")]
    for (code, meaning) in [(111, PathError::Refused), (104, PathError::Refused), (113, PathError::Unreachable)] {
        assert_eq!(classify(&io::Error::from_raw_os_error(code)), meaning);
    }
    // The worker of a server that dies and comes back, as it likes.
    let moody = |net: &Pair| {
        path(net, "delay 7ms", "delay 7ms");
        net.serve(SERVER, echo()).unwrap();
        for n in 0..500 {
            net.at(ms(170 * n + 50), |net| assert!(net.stop(SERVER)));
            net.at(ms(170 * n + 110), |net| net.serve(SERVER, echo()).unwrap());
        }
    };
    let (mut naive, mut by_id, mut by_port) = worlds(moody);
    let survived = (0..1000).take_while(|_| naive.request(b"x") != Err("crashed")).count();
    assert!(survived < 10, "{survived}");
    for requester in [&mut by_id, &mut by_port] {
        for n in 0..1000_u32 {
            assert_eq!(requester.request(&n.to_le_bytes()).unwrap().payload(), n.to_le_bytes());
        }
    }
}

#[test]
fn complaint_7_a_reply_was_cut_silently() {
    let cut = |len: usize, room: usize| {
        let net = world(|net| net.serve(SERVER, echo()).unwrap());
        let mut requester = ReliableRequester::builder(transaction_id(0..1)).buffer(room).over(connect(&net)).unwrap();
        let ended = requester.request(vec![7; len]).map(|reply| reply.payload().len());
        let next = requester.request(&[8; 1]).unwrap().payload().len();
        assert_eq!(next, 1, "the next one is whole");
        ended.map_err(|error| match error.failure() {
            Failure::Truncated { received, actual, .. } => (received, actual, error.execution()),
            failure => panic!("{failure}"),
        })
    };
    let (mut naive, _, _) = worlds(|net| net.serve(SERVER, echo()).unwrap());
    assert_eq!(naive.request(&[7; 101]).unwrap().len(), 100, "and nobody is told");
    assert_eq!(cut(100, 100), Ok(100), "an exact fit is whole");
    assert_eq!(cut(101, 100), Err((100, 101, Execution::Unknown)));
    assert_eq!(cut(65_507, 65_507), Ok(65_507));
    assert_eq!(cut(65_507, 65_506), Err((65_506, 65_507, Execution::Unknown)));
}

#[test]
fn complaint_12_a_peer_slower_than_the_wait_never_converges() {
    let slow = |net: &Pair| {
        path(net, "delay 1s", "delay 1s");
        net.serve(SERVER, echo()).unwrap();
    };
    // Each try a request of its own, and only the newest one's reply will do.
    let mut transport = connect(&world(slow));
    let mut newest = 0;
    let mut converged = |wait: Duration| {
        newest += 1;
        transport.send(PathIndex::FIRST, &[newest]).unwrap();
        let until = transport.now().after(wait);
        let mut buffer = [0; 10];
        while transport.wait(&mut buffer, until).unwrap().is_some() {
            if buffer[0] == newest {
                return true;
            }
        }
        false
    };
    assert!([100, 200, 400, 800, 1600].repeat(10).into_iter().all(|wait| !converged(ms(wait))));

    // Ours takes the reply to any of them, be they the same bytes or not.
    let reply_to_the_first = |rebuilt: bool| {
        let mut requester = requester(&world(slow));
        let ended = match rebuilt {
            true => requester.request_with(|it, bytes| bytes.push(it.transmission as u8)),
            false => requester.request(&[1]),
        };
        let reply = ended.unwrap();
        (reply.payload().to_vec(), reply.transmissions(), reply.elapsed(), reply.round_trip())
    };
    assert_eq!(reply_to_the_first(true), (vec![1], 5, ms(2000), Some(ms(2000))));
    assert_eq!(reply_to_the_first(false), (vec![1], 5, ms(2000), None));
    // Also if only one of them is answered, whichever.
    for answered in 1..=5_u8 {
        let net = world(|net| {
            path(net, "delay 299ms", "delay 299ms");
            net.serve(SERVER, move |_, from, datagram, out| {
                if datagram[0] == answered {
                    out.send(from, datagram);
                }
            })
            .unwrap();
        });
        let mut requester = requester(&net);
        let reply = requester.request_with(|it, bytes| bytes.push(it.transmission as u8)).unwrap();
        assert_eq!((reply.payload(), reply.round_trip()), (&[answered][..], Some(ms(598))));
    }
    // And it converges: from the second request on the first wait fits the path.
    let estimator = RttEstimator::new(ms(100), ms(100), ms(60_000)).unwrap();
    let builder = ReliableRequester::builder(transaction_id(0..2)).policy(RetryPolicy::default());
    let mut requester = builder.seed(Seed::new(1)).estimator(estimator).over(connect(&world(slow))).unwrap();
    let sent = [1_u8, 2, 3, 4].map(|n| {
        let reply = requester.request_with(|it, bytes| bytes.extend_from_slice(&[n, it.transmission as u8])).unwrap();
        reply.transmissions()
    });
    assert!(sent[0] > 1 && sent[1..] == [1; 3], "{sent:?}");
}

/// Wakes so much too late from each wait in vain, and does not look at what has come meanwhile.
struct Dozing {
    inner: SimTransport,
    late: Duration,
}

impl Transport for Dozing {
    type Peer = PathIndex;

    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn send(&mut self, to: PathIndex, datagram: &[u8]) -> Result<(), PathError> {
        self.inner.send(to, datagram)
    }

    fn recv(&mut self, buffer: &mut [u8], now: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
        let waits = self.now() < until;
        let incoming = self.inner.recv(buffer, now, until);
        if waits && matches!(incoming, Incoming::TimeUp(_)) {
            self.inner.net().run_until(self.now().after(self.late));
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

fn fail_after(refusals: u32) -> OnUnreachable {
    OnUnreachable::FailAfter(NonZeroU32::new(refusals).unwrap())
}
