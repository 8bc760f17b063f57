//! What must not allocate does not: counted by the allocator itself, for the thread that is asked.
#![expect(unsafe_code, reason = "an allocator cannot be written without")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "one request goes over real sockets")]

#[path = "common/watchdog.rs"]
mod watchdog;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use tokio::sync::Barrier;
use udp_retry::envelope::{Incarnation, RequestHeader};
use udp_retry::fault::{Direction, Fate, Link, Profile};
use udp_retry::net::{UdpPaths, UnconnectedUdp};
use udp_retry::policy::{Backoff, Jitter, RttEstimator};
use udp_retry::replies::{ReplyLimits, Responder, same_id};
use udp_retry::requester::Builder;
use udp_retry::servers::{Choice, Paths, Sent, ServerSet, ServerSettings, Spread};
use udp_retry::serving::{Ended, Handled, SharedResponder};
use udp_retry::sim::SimNet;
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Action, Next, ReplyMatcher, RetryTimer, Transaction};
use udp_retry::transport::{Incoming, NoEntropy, PathError, PathIndex, Received, Renewal, Renewed, Transport};
use udp_retry::{
    AsyncRequester, ConcurrentRequester, Impairments, LossySink, ReliableRequester, RetryBudget, RetryPolicy, Seed,
    any_reply, transaction_id,
};
use watchdog::{MINUTE, within};

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(black_box(vec![0_u8; 100]))), 1);
    let mut grown = Vec::with_capacity(1);
    assert_eq!(allocations(|| grown.resize(1000, 0_u8)), 1);
}

#[test]
fn a_delay_allocates_nothing() {
    let backoff = Backoff::exponential(Duration::from_millis(100), Duration::from_secs(60)).unwrap();
    let jitters = [
        Jitter::NONE,
        Jitter::UPWARD,
        Jitter::once(1.0, 1.5).unwrap(),
        Jitter::compounding(0.9, 1.1).unwrap(),
        Jitter::plus_minus(Duration::from_millis(50)).unwrap(),
    ];
    let count = allocations(|| {
        for jitter in jitters {
            let jittered = backoff.with_jitter(jitter).and_then(|backoff| backoff.with_multiplier(1.6)).unwrap();
            for n in [0, 1, 8, 16, 1000, u32::MAX] {
                black_box((jittered.delay(n, Seed::new(7)), jittered.bounds(n), jittered.interval(n)));
            }
        }
        black_box(backoff.with_multiplier(f64::NAN).unwrap_err());
    });
    assert_eq!(count, 0);
}

#[test]
fn a_set_of_servers_allocates_nothing_once_it_is_made() {
    for spread in [Spread::BAND, Spread::InOrder, Spread::Sticky, Spread::RoundRobin] {
        let settings = ServerSettings::new().with_spread(spread).and_then(|it| it.with_hedging(0.05)).unwrap();
        let mut servers = ServerSet::new(64, settings, Seed::new(7)).unwrap();
        let (mut now, mut parked) = (Timestamp::ZERO, 0);
        let count = allocations(|| {
            for n in 0..2_000 {
                match servers.choose(now, Paths::NONE) {
                    Choice::Ask(path) => {
                        servers.on_transmitted(now, path, Sent::Request);
                        let sent = now;
                        now = now.after(servers.failover_after(now, path, Duration::from_secs(1)));
                        // Silence from half of them at first, then from all, then from none.
                        let replies = if n < 400 { path.number() % 2 == 1 } else { n > 1_500 };
                        if replies {
                            servers.on_reply(now, path, Some(Duration::from_millis(40)));
                        } else {
                            servers.on_expired(now, path, sent);
                        }
                        servers.on_settled(path);
                    }
                    Choice::TriedAll => unreachable!("none was tried"),
                    Choice::Park => parked += 1,
                }
                if let Some(path) = servers.probe_due(now) {
                    servers.on_transmitted(now, path, Sent::Probe);
                    if n > 1_500 {
                        servers.on_reply(now, path, Some(Duration::from_millis(40)));
                    }
                }
                black_box(servers.hedge_after(now, PathIndex::FIRST));
                black_box(servers.states(now).map(|state| state.transmissions).sum::<u64>());
            }
        });
        assert_eq!(count, 0, "{spread:?}");
        assert!(parked > 0, "they were never all dead");
    }
}

#[test]
fn a_request_allocates_nothing_from_start_to_end() {
    let policy = RetryPolicy::default();
    let count = allocations(|| {
        let mut now = Timestamp::ZERO;
        let mut timer = RetryTimer::start(&policy, now, Seed::new(7));
        loop {
            match timer.poll(now) {
                Action::Transmit => timer.on_transmitted(&policy, now),
                Action::WaitUntil(until) => now = until,
                Action::Done | Action::GiveUp(_) => break,
            }
        }
        assert_eq!(timer.transmissions(), 5);
    });
    assert_eq!(count, 0);
}

#[test]
fn a_transaction_allocates_nothing_after_its_first_start() {
    let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4)).with_budget(RetryBudget::default());
    unanswered(&mut transaction, 0);
    assert_eq!(allocations(|| unanswered(&mut transaction, 1)), 0);
    assert_eq!(allocations(|| answered(&mut transaction, 2)), 0);
}

#[test]
fn a_request_over_loopback_allocates_nothing_after_the_first_ones() {
    within(MINUTE, || {
        let address = server(|message, _, answer| answer(message));
        let mut by_id = ReliableRequester::connect(address, transaction_id(0..4)).unwrap();
        let mut by_port = ReliableRequester::connect(address, any_reply()).unwrap();
        for requester in [&mut by_id, &mut by_port] {
            for id in 0..10 {
                request(requester, id);
            }
            let count = allocations(|| (10..110).for_each(|id| request(requester, id)));
            assert_eq!(count, 0, "in 100 requests");
        }
    });
}

#[test]
fn a_wait_for_several_paths_allocates_nothing() {
    within(MINUTE, || {
        let servers = [(); 2].map(|()| server(|message, _, answer| answer(message)));
        let mut client = UdpPaths::connect(&servers).unwrap();
        let mut round = || {
            for path in [PathIndex::new(0), PathIndex::new(1)] {
                client.send(path, b"0001 ping").unwrap();
                let now = client.now();
                let incoming = client.recv(&mut [0; 64], now, now.after(Duration::from_secs(20)));
                assert!(matches!(incoming, Incoming::Datagram(received) if received.from == path), "{incoming:?}");
            }
        };
        round();
        assert_eq!(allocations(|| (0..50).for_each(|_| round())), 0);
    });
}

#[test]
fn many_requests_in_flight_allocate_nothing_after_the_first_ones() {
    within(MINUTE, || {
        let address = server(|message, _, answer| answer(message));
        let mut one = ConcurrentRequester::connect(address, transaction_id(0..8).stamped()).unwrap();
        let unconnected = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
        let mut other = ConcurrentRequester::builder(transaction_id(0..8).stamped()).over(unconnected).unwrap();
        let mut round = |requests| {
            for token in 0..requests {
                one.submit(&[0; 16], token).unwrap();
                other.submit_to(address, &[0; 16], token).unwrap();
            }
            for _ in 0..requests {
                assert_eq!(one.wait().unwrap().reply().unwrap().len(), 16);
                assert_eq!(other.wait().unwrap().reply().unwrap().len(), 16);
            }
        };
        (0..3).for_each(|_| round(200));
        let count = allocations(|| [1, 7, 100, 200].into_iter().for_each(&mut round));
        assert_eq!(count, 0, "in 308 requests of each");
    });
}

/// Of this thread, on which all tasks run.
#[test]
fn requests_as_futures_allocate_nothing_after_the_first_ones() {
    within(MINUTE, || {
        let address = server(|message, _, answer| answer(message));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for tasks in [1, 64, 1024] {
            let connecting = AsyncRequester::connect(address, transaction_id(0..8).stamped());
            let requester = runtime.block_on(connecting).unwrap();
            let each = (20_000 / tasks).max(20);
            let [warm, go] = [(); 2].map(|()| Arc::new(Barrier::new(tasks + 1)));
            let asking: Vec<_> = (0..tasks)
                .map(|_| {
                    let (requester, warm, go) = (requester.clone(), Arc::clone(&warm), Arc::clone(&go));
                    let ask = async move |requests| {
                        for _ in 0..requests {
                            assert_eq!(requester.request(&[7; 32]).await.unwrap().payload().len(), 32);
                        }
                    };
                    runtime.spawn(async move {
                        ask(each / 4).await;
                        warm.wait().await;
                        go.wait().await;
                        ask(each).await;
                    })
                })
                .collect();
            runtime.block_on(warm.wait());
            let count = allocations(|| {
                runtime.block_on(async {
                    go.wait().await;
                    for asked in asking {
                        asked.await.unwrap();
                    }
                });
            });
            let requests = tasks * each;
            println!("{count} in {requests} requests of {tasks} tasks");
            assert!(count as f64 <= 0.02 * requests as f64, "{count} in {requests} requests of {tasks} tasks");
        }
    });
}

#[test]
fn neither_what_watches_nor_what_paces_nor_what_cancels_a_request_allocates() {
    within(MINUTE, || {
        let address = server(|message, _, answer| answer(message));
        let budget = RetryBudget::default();
        for matcher in [Box::new(transaction_id(0..4)) as Box<dyn ReplyMatcher + Send + Sync>, Box::new(any_reply())] {
            let (builder, seen) = watched(ReliableRequester::builder(matcher));
            let builder = builder.budget(&budget).estimator(RttEstimator::default()).deadline(Duration::from_secs(60));
            let mut requester = builder.connect(address).unwrap();
            let _handle = requester.cancel_handle().unwrap();
            (0..10).for_each(|id| request(&mut requester, id));
            let count = allocations(|| (10..110).for_each(|id| request(&mut requester, id)));
            assert_eq!(count, 0, "in 100 requests");
            assert!(seen.load(Relaxed) >= 220, "transmitted and replied");
            assert!(requester.estimator().unwrap().srtt(requester.transport().now()).is_some());
        }
    });
}

#[test]
fn a_server_allocates_nothing_for_a_datagram_wherever_it_listens() {
    within(MINUTE, || {
        for (bound, asked) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("0.0.0.0:0", "127.0.0.1"),
            ("0.0.0.0:0", "127.0.0.2"),
            ("[::]:0", "127.0.0.1"),
            ("[::]:0", "::1"),
        ] {
            let mut server = UnconnectedUdp::bind(bound).unwrap();
            let client = UdpSocket::bind((asked, 0)).unwrap();
            client.connect((asked, server.local_addr().port())).unwrap();
            let mut buffer = [0; 64];
            let mut answer = |datagrams: u32| {
                for _ in 0..datagrams {
                    client.send(b"question").unwrap();
                    let now = server.now();
                    let Incoming::Datagram(received) = server.recv(&mut buffer, now, now.after(LONG)) else { panic!() };
                    server.send(received.from, &buffer[..received.len]).unwrap();
                    assert_eq!(client.recv(&mut buffer).unwrap(), 8);
                }
            };
            answer(10);
            assert_eq!(allocations(|| answer(100)), 0, "at {bound}, asked at {asked}");
        }
    });
}

/// Each turn as short as can be, and replies that come later.
#[test]
fn a_server_in_an_event_loop_allocates_nothing_after_its_first_turns() {
    within(MINUTE, || {
        for enveloped in [false, true] {
            let mut socket = UnconnectedUdp::bind("127.0.0.1:0").unwrap();
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.connect(socket.local_addr()).unwrap();
            client.set_read_timeout(Some(LONG)).unwrap();
            let responder = Responder::over(&mut socket, ReplyLimits::default(), same_id(0..4)).unwrap();
            let incarnation = Incarnation::new(7);
            let responder =
                SharedResponder::from(if enveloped { responder.envelope(incarnation.unwrap()) } else { responder });
            let mut other_end = socket.try_clone().unwrap();
            let mut turns = |ids: std::ops::Range<u32>| {
                for id in ids {
                    let header = RequestHeader::new(1, None, incarnation).encode();
                    let mut request = [0; 20];
                    request[..16].copy_from_slice(&header);
                    request[16..].copy_from_slice(&id.to_be_bytes());
                    // Every third is repeated, and every other one answered later.
                    for _ in 0..=u32::from(id % 3 == 0) {
                        client.send(&request[if enveloped { 0 } else { 16 }..]).unwrap();
                        let mut later = None;
                        let now = socket.now();
                        let ended = responder.serve_until(&mut socket, now, |request, reply| {
                            reply.extend_from_slice(request.bytes());
                            if id % 2 == 0 {
                                later = request.later();
                            }
                            Handled::Reply
                        });
                        assert_eq!(ended, Ended::TimeUp);
                        if let Some(job) = later {
                            responder.finish(&mut other_end, job, &id.to_be_bytes());
                        }
                        let mut answer = [0; 20];
                        assert_eq!(client.recv(&mut answer).unwrap(), if enveloped { 20 } else { 4 });
                        assert_eq!(answer[if enveloped { 16 } else { 0 }..][..4], id.to_be_bytes());
                    }
                }
            };
            turns(0..12);
            assert_eq!(allocations(|| turns(12..112)), 0, "enveloped: {enveloped}");
            assert_eq!((responder.stats().replies.fresh, responder.stats().replies.replayed), (112, 38));
        }
    });
}

#[test]
fn a_request_answered_after_retransmissions_and_strays_allocates_nothing() {
    within(MINUTE, || {
        // The first transmission of each id is lost, the second one meets strays.
        let address = server(|message, attempt, answer| {
            if attempt > 1 {
                [b"junk", &[][..], &[7; 60], &message[..2]].into_iter().for_each(answer);
                answer(message);
            }
        });
        let policy = RetryPolicy::new(Backoff::constant(Duration::from_millis(5)).unwrap());
        let policy = policy.with_max_transmissions(10_000).unwrap();
        let (builder, seen) = watched(ReliableRequester::builder(transaction_id(0..4)).policy(policy));
        let mut requester = builder.estimator(RttEstimator::default()).buffer(32).connect(address).unwrap();
        let mut ask = |ids: std::ops::Range<u32>| {
            for id in ids {
                let message = id.to_be_bytes();
                let reply = match id % 2 {
                    0 => requester.request(&message),
                    _ => requester.request_with(|_, bytes| bytes.extend_from_slice(&message)),
                };
                let reply = reply.unwrap();
                assert!(reply.transmissions() > 1 && reply.strays().total() >= 4, "{reply:?}");
                assert_eq!(reply.payload(), message);
            }
        };
        ask(0..20);
        assert_eq!(allocations(|| ask(20..40)), 0, "in 20 requests");
        assert!(seen.load(Relaxed) >= 40 * 7, "two transmissions, four strays and the reply");
    });
}

#[test]
fn a_simulated_network_allocates_nothing_once_it_has_been_as_full_as_it_gets() {
    let net = SimNet::new(Seed::new(7));
    let [client, server] = ["10.0.0.1", "10.0.0.2"].map(|address| net.host(address.parse().unwrap()).unwrap());
    // Bad in the same way again and again, so that it is soon as full as it gets.
    let bad = "loss pattern 00100; duplicate 100% late 350ms; corrupt 100%; delay 50ms";
    net.path(client, server, Profile::both(bad.parse().unwrap())).unwrap();
    let address = "10.0.0.2:1060".parse().unwrap();
    net.serve(address, udp_retry::sim::echo()).unwrap();
    let connect = || net.connect(client, address).unwrap();
    let endless = RetryPolicy::LAN.with_max_transmissions(u32::MAX).unwrap();
    let mut by_id = ReliableRequester::builder(transaction_id(0..4)).policy(endless).over(connect()).unwrap();
    let mut by_port = ReliableRequester::builder(any_reply()).policy(endless).over(connect()).unwrap();
    for requester in [&mut by_id, &mut by_port] {
        let mut ask = |ids: std::ops::Range<u32>| {
            for id in ids {
                let mut message = [0; 24];
                message[..4].copy_from_slice(&id.to_be_bytes());
                assert!(requester.request(&message).is_ok(), "an error is boxed");
            }
        };
        ask(0..2000);
        let before = net.stats().sent;
        let count = allocations(|| ask(2000..3000));
        assert_eq!(count, 0, "for {} datagrams", net.stats().sent - before);
    }
}

#[test]
fn a_link_with_every_stage_allocates_nothing_once_its_queue_has_been_full() {
    for queue in ["100ms", "64kB", "25 datagrams"] {
        let mut link = Link::new(bad_network(queue), Seed::new(7));
        let (mut now, mut datagram) = (Timestamp::ZERO, [0; 1250]);
        // Four for each one that there is room for.
        let mut carry = |datagrams: u32| {
            for _ in 0..datagrams {
                now = now.after(Duration::from_micros(250));
                if let Fate::Delivered(copies) = link.transmit(now, &datagram) {
                    copies.iter().for_each(|copy| assert!(copy.apply_to(&mut datagram).len() <= 1250));
                }
            }
            assert!(link.stats().dropped.queue > 0);
        };
        carry(10_000);
        assert_eq!(allocations(|| carry(100_000)), 0, "queue {queue}");
    }
}

#[test]
fn a_lossy_sink_that_delays_allocates_nothing_once_its_lines_have_been_full() {
    delays_without_allocating(LossySink::new(Mirror::default(), bad_network("100ms"), Seed::new(7)));
}

#[cfg(feature = "pcap")]
#[test]
fn nor_does_one_that_writes_a_capture() {
    let capture = udp_retry::fault::Capture::new(std::io::sink());
    let sink = LossySink::new(Mirror::default(), bad_network("100ms"), Seed::new(7));
    delays_without_allocating(sink.capture(capture.clone()));
    capture.finish().unwrap();
}

fn delays_without_allocating(mut sink: LossySink<Mirror>) {
    let (datagram, mut buffer) = ([0x5a; 1250], [0; 1500]);
    let mut carry = |datagrams: u32, apart: Duration| {
        for _ in 0..datagrams {
            sink.send(PathIndex::FIRST, &datagram).unwrap();
            let (now, until) = (sink.now(), sink.now().after(apart));
            while matches!(sink.recv(&mut buffer, now, until), Incoming::Datagram(_)) {}
        }
        let stats = sink.stats(Direction::ToClient);
        assert!(stats.in_flight > 0 && stats.passed > 0 && stats.fates.corrupted > 0 && stats.fates.truncated > 0);
        assert_eq!(stats.discarded, 0);
    };
    // With a full queue there are always more on their way than ever without; and so many that every buffer has held
    // a datagram that was not cut.
    carry(100_000, Duration::from_millis(1));
    assert_eq!(allocations(|| carry(100_000, Duration::from_millis(2))), 0);
}

const LONG: Duration = Duration::from_secs(20);

/// Every stage, each often enough to be met.
fn bad_network(queue: &str) -> Impairments {
    let spec = format!(
        "script {{ drop 20001; duplicate 30001 after 1ms }}; outage from 1s for 20ms every 2s; mtu 1400; \
         rate 10mbit queue {queue}; loss 5% burst 3; duplicate 10% late 200ms ~100ms; truncate 10%; \
         corrupt 10% bits 8; delay 50ms exponential 20ms correlation 25%; reorder 5% by 30ms"
    );
    spec.parse().unwrap()
}

/// Sends everything back at once, in virtual time, and keeps no more than a count of it.
#[derive(Default, Debug)]
struct Mirror {
    now: Timestamp,
    queued: u32,
}

impl Transport for Mirror {
    type Peer = PathIndex;

    fn now(&self) -> Timestamp {
        self.now
    }

    fn send(&mut self, _: PathIndex, _: &[u8]) -> Result<(), PathError> {
        self.queued += 1;
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8], _: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
        if self.queued > 0 {
            self.queued -= 1;
            buffer[..1250].fill(0xa5);
            return Incoming::Datagram(Received::new(PathIndex::FIRST, 1250, 1250, self.now));
        }
        self.now = self.now.max(until);
        Incoming::TimeUp(self.now)
    }

    fn renew(&mut self, _: PathIndex, _: Renewal) -> Result<Renewed, PathError> {
        Ok(Renewed::FreshPort)
    }

    fn entropy(&mut self, _: &mut [u8; 32]) -> Result<(), NoEntropy> {
        Err(NoEntropy::new())
    }
}

/// Hands over each datagram, how often in a row it has come, and what sends an answer.
fn server(serve: impl Fn(&[u8], u32, &dyn Fn(&[u8])) + Send + 'static) -> SocketAddr {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    thread::spawn(move || {
        let (mut buffer, mut last, mut attempt) = ([0; 64], Vec::new(), 0);
        while let Ok((len, from)) = server.recv_from(&mut buffer) {
            attempt = if last == buffer[..len] { attempt + 1 } else { 1 };
            last = buffer[..len].to_vec();
            serve(&last, attempt, &|answer| _ = server.send_to(answer, from));
        }
    });
    address
}

/// With an observer, and how many events it saw.
fn watched(builder: Builder) -> (Builder, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    (builder.observer(move |_, _| _ = counted.fetch_add(1, Relaxed)), seen)
}

fn request(requester: &mut ReliableRequester, id: u32) {
    let message = id.to_be_bytes();
    let reply = requester.request(&message).unwrap();
    assert_eq!(reply.payload(), message);
}

fn unanswered(transaction: &mut Transaction<impl ReplyMatcher>, id: u32) {
    let mut now = Timestamp::ZERO;
    transaction.start(&id.to_be_bytes(), now, Seed::new(7));
    loop {
        match transaction.next(now) {
            Next::Renew(path, _) => transaction.on_renewed(now, path, Ok(Renewed::FreshPort)),
            Next::Transmit(_) => transaction.on_transmitted(now),
            Next::WaitUntil(until) => {
                transaction.on_datagram(now, PathIndex::FIRST, b"a stray", 7);
                now = until;
                transaction.on_time_up(now);
            }
            Next::Idle | Next::Build(..) | Next::Done => unreachable!("its bytes are given, and nothing answers"),
            Next::Failed(_) => return,
        }
    }
}

fn answered(transaction: &mut Transaction<impl ReplyMatcher>, id: u32) {
    let (now, message) = (Timestamp::ZERO, id.to_be_bytes());
    transaction.start(&message, now, Seed::new(7));
    if let Next::Renew(path, _) = transaction.next(now) {
        transaction.on_renewed(now, path, Ok(Renewed::FreshPort));
    }
    assert_eq!(transaction.next(now), Next::Transmit(PathIndex::FIRST));
    transaction.on_transmitted(now);
    transaction.on_datagram(now, PathIndex::FIRST, &message, message.len());
    assert_eq!(transaction.next(now), Next::Done);
}

/// How often this thread allocates meanwhile; other threads, such as other tests, do not count.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

thread_local! {
    /// Constant from the start, so that counting needs no allocation itself.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count() {
    // Threads that end may free and allocate after their locals are gone.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator unchanged; counting touches no memory that it manages.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract, and it is the same one.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above; `memory` came from the system's allocator, because all of it does.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}
