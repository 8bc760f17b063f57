//! Who gets what there is too little of.

use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use udp_retry::requester::{AsyncReply, Asynchronous, Builder};
use udp_retry::transaction::{Failure, GiveUp, Limits, Request};
use udp_retry::transport::PathIndex;
use udp_retry::{AsyncRequester, RequestError, transaction_id};

use crate::echoes::{Echo, Manner};
use crate::hands::{Held, until};
use crate::runtimes::{builder, current_thread, mute, on, paused, two_threads};

fn at_most(requests: u32) -> Builder<Asynchronous> {
    builder().limits(Limits::default().requests(NonZeroU32::new(requests).unwrap()))
}

fn held(requester: &AsyncRequester) -> Held<impl Future<Output = Result<AsyncReply<PathIndex>, RequestError>>> {
    Held::new(requester.request(b"........ping"))
}

/// A server in the hand.
struct ByHand(UdpSocket);

impl ByHand {
    fn new() -> Self {
        let socket = mute();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The next request, and who sent it.
    async fn request(&self) -> (Vec<u8>, SocketAddr) {
        let (mut buffer, mut received) = ([0; 64], None);
        until(|| {
            received = self.0.recv_from(&mut buffer).ok();
            received.is_some()
        })
        .await;
        let (len, from) = received.unwrap();
        (buffer[..len].to_vec(), from)
    }

    async fn answer(&self) {
        let (request, from) = self.request().await;
        self.0.send_to(&request, from).unwrap();
    }
}

#[test]
fn who_is_dropped_when_its_turn_has_come_passes_it_on() {
    on(current_thread(), async {
        let server = mute();
        let requester = at_most(1).connect(server.local_addr().unwrap()).await.unwrap();
        let [mut first, mut second, mut third, mut fourth] = [(); 4].map(|()| held(&requester));
        for call in [&mut first, &mut second, &mut third, &mut fourth] {
            assert!(call.poll().is_pending());
        }
        assert_eq!((requester.in_flight(), requester.waiting()), (1, 3));
        drop(first);
        assert_eq!(
            [second.woken(), third.woken(), fourth.woken()],
            [1, 0, 0],
            "in order, and only as many as there is for"
        );
        drop(second);
        assert_eq!([third.woken(), fourth.woken()], [1, 0]);
        assert!(third.poll().is_pending());
        assert_eq!((requester.in_flight(), requester.waiting()), (1, 1));
        drop(third);
        assert_eq!(fourth.woken(), 1);
        assert!(fourth.poll().is_pending());
        assert_eq!((requester.in_flight(), requester.waiting()), (1, 0));
    });
}

#[test]
fn who_comes_by_takes_nothing_that_is_reserved() {
    on(current_thread(), async {
        let server = mute();
        let requester = at_most(1).connect(server.local_addr().unwrap()).await.unwrap();
        let [mut first, mut second, mut third] = [(); 3].map(|()| held(&requester));
        assert!(first.poll().is_pending() && second.poll().is_pending());
        drop(first);
        assert_eq!(second.woken(), 1);
        // Before the second has come back: its turn stays its own.
        assert!(third.poll().is_pending());
        assert_eq!((requester.in_flight(), requester.waiting()), (0, 2));
        assert!(second.poll().is_pending());
        assert_eq!((requester.in_flight(), requester.waiting()), (1, 1));
        assert_eq!(third.woken(), 0);
    });
}

#[test]
fn polled_again_for_another_reason_it_waits_once_and_keeps_its_place() {
    on(current_thread(), async {
        let server = mute();
        let requester = at_most(1).connect(server.local_addr().unwrap()).await.unwrap();
        let [mut first, mut second, mut third] = [(); 3].map(|()| held(&requester));
        assert!(first.poll().is_pending() && second.poll().is_pending() && third.poll().is_pending());
        for _ in 0..10 {
            assert!(second.poll().is_pending());
        }
        assert_eq!((requester.in_flight(), requester.waiting()), (1, 2));
        drop(first);
        assert_eq!([second.woken(), third.woken()], [1, 0]);
        assert!(second.poll().is_pending());
        drop(second);
        assert_eq!(third.woken(), 1);
        drop(third);
        assert_eq!((requester.in_flight(), requester.waiting()), (0, 0));
    });
}

/// Its request has ended, so there is capacity for another, whose reply must not take the place of its own.
#[test]
fn a_reply_stays_its_futures_until_that_takes_it() {
    on(current_thread(), async {
        let server = ByHand::new();
        let requester = at_most(1).connect(server.address()).await.unwrap();
        let mut early = Held::new(requester.request(b"........early"));
        let mut late = Held::new(requester.request(b"........late!"));
        assert!(early.poll().is_pending() && late.poll().is_pending());
        server.answer().await;
        until(|| early.woken() == 1 && late.woken() == 1).await;
        assert!(late.poll().is_pending());
        server.answer().await;
        until(|| late.woken() == 2).await;
        let mut abandoned = Held::new(requester.request(b"........gone."));
        assert!(abandoned.poll().is_pending());
        server.answer().await;
        until(|| abandoned.woken() == 1).await;
        drop(abandoned);
        let of = |polled| {
            let Poll::Ready(Ok(reply)) = polled else { panic!("{polled:?}") };
            String::from_utf8(AsyncReply::into_vec(reply)[8..].to_vec()).unwrap()
        };
        assert_eq!((of(late.poll()), of(early.poll())), ("late!".to_owned(), "early".to_owned()));
        assert_eq!((requester.in_flight(), requester.waiting()), (0, 0));
    });
}

#[test]
fn a_thousand_tasks_that_share_room_for_64_get_the_same_of_it() {
    for runtime in [current_thread, two_threads] {
        on(runtime(), async {
            // Threads that are not run for a while keep their tasks.
            for left in (0..3).rev() {
                let (least, most) = least_and_most().await;
                if most as f64 <= 1.1 * least as f64 {
                    break;
                }
                assert!(left > 0, "{least} to {most}");
            }
        });
    }
}

/// How many replies each of 1000 tasks got, when one has 10,000 or all have 100.
async fn least_and_most() -> (u64, u64) {
    let echo = Echo::start("127.0.0.1", Manner::Prompt);
    let requester = at_most(64).connect(echo.address).await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let counts: Vec<_> = (0..1000).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let asking: Vec<_> = counts
        .iter()
        .map(|count| {
            let (requester, count, is_over) = (requester.clone(), Arc::clone(count), Arc::clone(&is_over));
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    requester.request(b"........ping").await.unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let of = |counted: fn(std::vec::IntoIter<u64>) -> Option<u64>| {
        let counts: Vec<u64> = counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        counted(counts.into_iter()).unwrap()
    };
    while of(Iterator::min) < 100 && of(Iterator::max) < 10_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let found = (of(Iterator::min), of(Iterator::max));
    is_over.store(true, Ordering::Relaxed);
    for asked in asking {
        asked.await.unwrap();
    }
    found
}

#[test]
fn a_deadline_counts_while_it_waits_too() {
    on(paused(), async {
        let server = mute();
        let requester = at_most(1).connect(server.local_addr().unwrap()).await.unwrap();
        let asks = |millis| {
            let requester = requester.clone();
            tokio::spawn(async move {
                let began = tokio::time::Instant::now();
                let request = Request::new(b"........anyone?").deadline(Duration::from_millis(millis));
                let error = requester.request(request).await.unwrap_err();
                (error, began.elapsed())
            })
        };
        // The second is taken in when the first has ended, with what is left of its time; the third's ends before.
        let asked = [asks(300), asks(500), asks(200), asks(600)];
        for (asked, (at, sent)) in asked.into_iter().zip([(300, 2), (500, 2), (200, 0), (600, 1)]) {
            let (error, took) = asked.await.unwrap();
            assert_eq!(error.failure(), Failure::TimedOut(GiveUp::Deadline), "{error}");
            let at = Duration::from_millis(at);
            assert!((at..=at + Duration::from_millis(3)).contains(&took), "{took:?} instead of {at:?}");
            assert_eq!(error.transmissions(), sent, "{error}");
        }
        assert_eq!((requester.in_flight(), requester.waiting()), (0, 0));
    });
}

/// A server that answers each of 300 requests within its time, where there are 256 ids of one byte and each rests.
#[test]
fn who_waits_for_an_id_gets_one_when_the_first_has_rested() {
    on(paused(), async {
        let server = mute();
        let matcher = transaction_id(0..1).stamped();
        let rest = Duration::from_millis(500);
        let requester = AsyncRequester::builder(matcher)
            .limits(Limits::default().rest(rest, rest))
            .deadline(Duration::from_millis(100))
            .connect(server.local_addr().unwrap())
            .await
            .unwrap();
        let began = tokio::time::Instant::now();
        let asking: Vec<_> = (0..256)
            .map(|_| {
                let requester = requester.clone();
                tokio::spawn(async move { requester.request(b".anyone?").await.unwrap_err() })
            })
            .collect();
        for asked in asking {
            assert_eq!(asked.await.unwrap().failure(), Failure::TimedOut(GiveUp::Deadline));
        }
        assert!(began.elapsed() < Duration::from_millis(110));
        let request = Request::new(b".anyone?");
        let mut waits = Held::new(requester.request(request.clone()));
        assert!(waits.poll().is_pending());
        assert_eq!((requester.in_flight(), requester.waiting()), (0, 1));
        tokio::time::sleep(Duration::from_millis(90)).await;
        assert_eq!(waits.woken(), 0);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let Poll::Ready(Err(error)) = waits.poll() else { panic!("its deadline has passed") };
        assert_eq!((error.failure(), error.transmissions()), (Failure::TimedOut(GiveUp::Deadline), 0));
        tokio::time::sleep(Duration::from_millis(320)).await;
        let mut waits = Held::new(requester.request(request));
        assert!(waits.poll().is_pending());
        assert_eq!(requester.waiting(), 1);
        tokio::time::sleep(Duration::from_millis(80)).await;
        assert_eq!(waits.woken(), 1, "its id has rested");
        assert!(waits.poll().is_pending());
        assert_eq!((requester.in_flight(), requester.waiting()), (1, 0));
    });
}

#[test]
fn whoever_polls_last_is_woken_and_no_one_else() {
    on(current_thread(), async {
        let server = ByHand::new();
        let requester = at_most(1).connect(server.address()).await.unwrap();
        let (mut first, mut second) = (held(&requester), held(&requester));
        assert!(first.poll().is_pending() && second.poll().is_pending());
        let before = [first.hand_over(), second.hand_over()];
        assert!(first.poll().is_pending() && second.poll().is_pending());
        server.answer().await;
        until(|| first.woken() == 1 && second.woken() == 1).await;
        assert_eq!(before.map(|woken| woken.times()), [0, 0]);
    });
}

#[test]
fn a_place_on_the_wire_that_a_dropped_one_leaves_is_used_at_once() {
    on(paused(), async {
        let server = ByHand::new();
        let narrow = Limits::default().window(NonZeroU32::MIN);
        let requester = builder().limits(narrow).connect(server.address()).await.unwrap();
        let mut first = Held::new(requester.request(b"........first"));
        let mut second = Held::new(requester.request(b"........second"));
        assert!(first.poll().is_pending() && second.poll().is_pending());
        assert_eq!((requester.in_flight(), requester.waiting()), (2, 0));
        assert_eq!(server.request().await.0[8..], *b"first");
        drop(first);
        // Less than the first wait: nothing else wakes the task meanwhile.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut buffer = [0; 64];
        let len = server.0.recv(&mut buffer).expect("it has left");
        assert_eq!(buffer[8..len], *b"second");
    });
}

#[test]
fn who_waits_for_an_id_gets_that_of_one_that_ends() {
    on(current_thread(), async {
        let server = mute();
        let at_once = Limits::default().rest(Duration::ZERO, Duration::ZERO);
        let builder = AsyncRequester::builder(transaction_id(0..1).stamped()).limits(at_once);
        let requester = builder.connect(server.local_addr().unwrap()).await.unwrap();
        let mut calls: Vec<_> = (0..257).map(|_| Held::new(requester.request(b".anyone?"))).collect();
        assert!(calls.iter_mut().all(|call| call.poll().is_pending()));
        assert_eq!((requester.in_flight(), requester.waiting()), (256, 1));
        drop(calls.swap_remove(0));
        // The last one has its place in the list.
        assert_eq!(calls[0].woken(), 1);
        assert!(calls[0].poll().is_pending());
        assert_eq!((requester.in_flight(), requester.waiting()), (256, 0));
    });
}
