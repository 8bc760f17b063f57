//! Asynchronous code in a simulated network: `block_on`, `explore_async`, and what a requester does there.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::error::Error;
use std::future::{Future, pending, poll_fn};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::servers::{Health, ServerSettings};
use udp_retry::sim::{
    SimError, SimNet, SimTasks, SimTransport, check_determinism, echo, exhaust, explore_async, replay, with_tasks,
};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Failure, GiveUp, Limits};
use udp_retry::transport::PathIndex;
use udp_retry::{AsyncRequester, RetryPolicy, Seed, transaction_id};

type Outcome = Result<(), Box<dyn Error>>;

const MS: Duration = Duration::from_millis(1);
const SERVER: &str = "10.0.0.2:1060";

/// A client's end of a network with an echo server, over this path.
fn connected(net: &SimNet, path: &str) -> Result<SimTransport, Box<dyn Error>> {
    let (client, server) = (net.host("10.0.0.1".parse()?)?, net.host("10.0.0.2".parse()?)?);
    net.path(client, server, Profile::both(path.parse()?))?;
    net.serve(SERVER.parse()?, echo())?;
    Ok(net.connect(client, SERVER.parse()?)?)
}

fn requester(net: &SimNet, tasks: &SimTasks, path: &str, limits: Limits) -> Result<AsyncRequester, Box<dyn Error>> {
    let builder = AsyncRequester::builder(transaction_id(0..8).stamped()).policy(RetryPolicy::LAN).limits(limits);
    Ok(builder.over_simulated(tasks, connected(net, path)?)?)
}

fn text(n: u64) -> Vec<u8> {
    [&[0; 8], &n.to_be_bytes()[..]].concat()
}

/// The first of the two that ends: `None` if that is the second one, and then the first is dropped.
async fn either<T>(first: impl Future<Output = T>, second: impl Future) -> Option<T> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|context| match first.as_mut().poll(context) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending => second.as_mut().poll(context).map(|_| None),
    })
    .await
}

const BAD: &str = "loss 30%; duplicate 20%; delay 20ms ~15ms unordered";

async fn many_ask_at_once(net: SimNet, tasks: SimTasks) -> Outcome {
    let limits =
        Limits::default().requests(NonZeroU32::new(8).ok_or("zero")?).window(NonZeroU32::new(4).ok_or("zero")?);
    let requester = requester(&net, &tasks, BAD, limits)?;
    let asking: Vec<_> = (0..30)
        .map(|n| {
            let requester = requester.clone();
            tasks.spawn(async move { requester.request(text(n)).await })
        })
        .collect();
    let mut answered = 0;
    for (n, asked) in (0..).zip(asking) {
        match asked.await {
            Ok(reply) => {
                assert_eq!(reply.payload()[8..], text(n)[8..]);
                answered += 1;
            }
            Err(error) => assert_eq!(error.failure(), Failure::TimedOut(GiveUp::Unanswered), "{error}"),
        }
    }
    // Of 30, some four fail, as 0.51 of all attempts do and there are five.
    if !(15..=30).contains(&answered) {
        return Err(format!("{answered} answered").into());
    }
    assert_eq!((requester.in_flight(), requester.waiting(), requester.available()), (0, 0, 8));
    Ok(())
}

#[test]
fn asynchronous_code_meets_a_thousand_bad_networks() {
    assert_eq!(explore_async(0..1_000, many_ask_at_once).unwrap_or_else(|failure| panic!("{failure}")), 1_000);
}

#[test]
fn a_run_is_repeated_bit_for_bit_and_differs_from_seed_to_seed() {
    let hashes: BTreeSet<u64> =
        (0..50).map(|seed| check_determinism(Seed::new(seed), with_tasks(many_ask_at_once)).unwrap()).collect();
    assert_eq!(hashes.len(), 50);
}

async fn needs_no_retransmission(net: SimNet, tasks: SimTasks) -> Outcome {
    let requester = requester(&net, &tasks, BAD, Limits::default())?;
    for n in 0..3 {
        assert_eq!(requester.request(text(n)).await?.transmissions(), 1);
    }
    Ok(())
}

#[test]
fn a_failure_of_asynchronous_code_is_shrunk_and_is_printed_as_a_test() {
    let failure = explore_async(0..100, needs_no_retransmission).unwrap_err();
    let faults = failure.faults.as_ref().unwrap();
    assert_eq!(faults.len(), 1, "{failure}");
    let test = failure.as_test().unwrap();
    assert!(test.contains("with_tasks(crate::tasks::needs_no_retransmission))"), "{test}");
    assert!(test.contains("udp_retry::sim::replay("), "{test}");
    // As the test does.
    let lossy = [(0, "script { drop 1 }; delay 5ms", "delay 5ms")];
    assert!(replay(0, &lossy, with_tasks(needs_no_retransmission)).is_err());
    replay(0, &[(0, "delay 5ms", "delay 5ms")], with_tasks(needs_no_retransmission)).unwrap();
}

#[test]
fn every_fate_of_the_first_datagrams_is_tried() {
    use udp_retry::sim::Choice;
    let asks = |net: SimNet, tasks: SimTasks| async move {
        let requester = requester(&net, &tasks, "delay 5ms", Limits::default())?;
        let reply = requester.request(text(7)).await?;
        assert_eq!(reply.payload()[8..], text(7)[8..]);
        Ok::<_, Box<dyn Error>>(())
    };
    let runs =
        exhaust(4, &[Choice::Deliver, Choice::Drop, Choice::Duplicate { after: 3 * MS }], with_tasks(asks)).unwrap();
    assert!(runs > 10, "{runs}");
}

/// Callers who lose patience at any moment: who asks after them is not given their replies.
async fn some_lose_patience(net: SimNet, tasks: SimTasks) -> Outcome {
    let limits = Limits::default().requests(NonZeroU32::new(8).ok_or("zero")?);
    let requester = requester(&net, &tasks, BAD, limits)?;
    let (draws, over) = (net.seed().derive(7), Rc::new(Cell::new([0_u32; 2])));
    let asking: Vec<_> = (0..100)
        .map(|n| {
            let (requester, inner, over) = (requester.clone(), tasks.clone(), over.clone());
            let patience = Duration::from_micros(draws.draw(n) % 400_000);
            let begins = Duration::from_micros(draws.draw(n + 1_000) % 400_000);
            tasks.spawn(async move {
                inner.sleep(begins).await;
                let asked = text(n);
                let ended = either(requester.request(&asked), inner.sleep(patience)).await;
                if let Some(Ok(reply)) = &ended {
                    assert_eq!(reply.payload()[8..], asked[8..]);
                }
                let [taken, dropped] = over.get();
                over.set(if ended.is_some() { [taken + 1, dropped] } else { [taken, dropped + 1] });
            })
        })
        .collect();
    for asked in asking {
        asked.await;
    }
    assert_eq!((requester.in_flight(), requester.waiting(), requester.available()), (0, 0, 8));
    let [taken, dropped] = over.get();
    assert!(taken > 5 && dropped > 5, "{taken} {dropped}: nothing was proved");
    Ok(())
}

#[test]
fn callers_who_lose_patience_leave_nothing_behind() {
    assert_eq!(explore_async(0..300, some_lose_patience).unwrap_or_else(|failure| panic!("{failure}")), 300);
}

#[test]
fn time_is_the_networks_and_what_has_arrived_is_seen_before_a_sleep_ends() {
    let net = SimNet::new(Seed::new(1));
    let transport = connected(&net, "delay 10ms").unwrap();
    let order = Rc::new(RefCell::new(Vec::new()));
    let noted = order.clone();
    net.block_on(|tasks| async move {
        let builder = AsyncRequester::builder(transaction_id(0..8).stamped());
        let requester = builder.over_simulated(&tasks, transport).unwrap();
        for (name, after) in [("c", 30), ("a", 10), ("b", 20), ("a'", 10)] {
            let (inner, noted) = (tasks.clone(), noted.clone());
            drop(tasks.spawn(async move {
                inner.sleep(after * MS).await;
                noted.borrow_mut().push((name, inner.now().since(Timestamp::ZERO)));
            }));
        }
        // It arrives at 20 ms, at which "b" wakes as well.
        let reply = requester.request(text(1)).await.unwrap();
        assert_eq!((reply.elapsed(), reply.round_trip()), (20 * MS, Some(20 * MS)));
        noted.borrow_mut().push(("reply", tasks.now().since(Timestamp::ZERO)));
        // A request begins when it is made, also if no sleep has ended since anything was sent.
        let next = requester.request(text(2)).await.unwrap();
        assert_eq!((next.elapsed(), next.round_trip()), (20 * MS, Some(20 * MS)));
        tasks.sleep_until(Timestamp::ZERO.after(100 * MS)).await;
        // A time that has come.
        tasks.sleep_until(Timestamp::ZERO).await;
    })
    .unwrap();
    assert_eq!(*order.borrow(), [("a", 10 * MS), ("a'", 10 * MS), ("reply", 20 * MS), ("b", 20 * MS), ("c", 30 * MS)]);
    assert_eq!(net.now().since(Timestamp::ZERO), 100 * MS);
}

#[test]
fn replies_that_arrive_with_the_deadline_are_all_taken_however_many_they_are() {
    // Ticks of the schedule, at which it is seen at once what is due.
    let way = Duration::from_nanos(1 << 20);
    let net = SimNet::new(Seed::new(1));
    let transport = connected(&net, "delay 1048576ns").unwrap();
    net.block_on(|tasks| async move {
        let limits = Limits::default().window(NonZeroU32::new(1_000).unwrap());
        let builder = AsyncRequester::builder(transaction_id(0..8).stamped()).limits(limits).deadline(2 * way);
        let requester = builder.over_simulated(&tasks, transport.with_receive_buffer(1 << 20)).unwrap();
        let asking = (0..1_000).map(|n| {
            let requester = requester.clone();
            tasks.spawn(async move { requester.request(text(n)).await.map(|reply| reply.elapsed()) })
        });
        for asked in asking.collect::<Vec<_>>() {
            assert_eq!(asked.await.unwrap(), 2 * way);
        }
    })
    .unwrap();
}

#[test]
fn a_server_that_says_nothing_costs_the_whole_schedule_in_no_time_and_a_deadline_that_much() {
    let net = SimNet::new(Seed::new(1));
    let transport = connected(&net, "loss 100%").unwrap();
    net.block_on(|tasks| async move {
        let builder = AsyncRequester::builder(transaction_id(0..8).stamped()).policy(RetryPolicy::LAN);
        let requester = builder.over_simulated(&tasks, transport).unwrap();
        let error = requester.request(text(1)).await.unwrap_err();
        assert_eq!((error.failure(), error.transmissions()), (Failure::TimedOut(GiveUp::Unanswered), 5));
        let took = tasks.now().since(Timestamp::ZERO);
        assert!((3100 * MS..3101 * MS).contains(&took), "{took:?}");
        let hurried = text(2);
        let hurried = udp_retry::transaction::Request::new(&hurried).deadline(250 * MS);
        let error = requester.request(&hurried).await.unwrap_err();
        assert_eq!((error.failure(), error.transmissions()), (Failure::TimedOut(GiveUp::Deadline), 2));
        let late = tasks.now().since(Timestamp::ZERO) - took - 250 * MS;
        assert!(late < MS, "{late:?}");
    })
    .unwrap();
}

#[test]
fn several_requesters_and_a_group_of_servers_run_beside_each_other() {
    let net = SimNet::new(Seed::new(5));
    let client = net.host("10.0.0.1".parse().unwrap()).unwrap();
    let servers: [SocketAddr; 3] = ["10.0.0.2:53", "10.0.0.3:53", "10.0.0.4:53"].map(|server| server.parse().unwrap());
    for server in servers {
        let host = net.host(server.ip()).unwrap();
        net.path(client, host, Profile::both("delay 10ms ~5ms".parse().unwrap())).unwrap();
    }
    for &alive in &servers[1..] {
        net.serve(alive, echo()).unwrap();
    }
    let ends: Vec<_> = (0..4).map(|_| net.connect_all(client, &servers).unwrap()).collect();
    net.block_on(|tasks| async move {
        let mut running = Vec::new();
        for end in ends {
            let builder = AsyncRequester::builder(transaction_id(0..8).stamped());
            let requester = builder.over_simulated(&tasks, end).unwrap();
            running.push(tasks.spawn(async move {
                let group = requester.add_group((0..3).map(PathIndex::new), ServerSettings::new()).unwrap();
                let mut from = [0; 3];
                for n in 0..200 {
                    let reply = requester.request_to(group, text(n)).await.unwrap();
                    assert_eq!(reply.payload()[8..], text(n)[8..]);
                    from[reply.peer().number() as usize] += 1;
                }
                let states = requester.server_states(group);
                assert!(matches!(states[0].health, Health::Dead { .. }), "{:?}", states[0]);
                requester.shutdown().await;
                assert_eq!(requester.request_to(group, text(0)).await.unwrap_err().failure(), Failure::Stopped);
                from
            }));
        }
        for from in running {
            let from = from.await;
            assert!(from[0] == 0 && from[1] > 50 && from[2] > 50, "{from:?}");
        }
    })
    .unwrap();
}

#[test]
fn an_unconnected_end_asks_many_peers() {
    let net = SimNet::new(Seed::new(5));
    let client = net.host("10.0.0.1".parse().unwrap()).unwrap();
    let servers: Vec<SocketAddr> = (2..12).map(|last| SocketAddr::from(([10, 0, 0, last], 53))).collect();
    for &server in &servers {
        net.host(server.ip()).unwrap();
        net.serve(server, echo()).unwrap();
    }
    let end = net.bind(client, "0.0.0.0:0".parse().unwrap()).unwrap();
    net.block_on(|tasks| async move {
        let builder = AsyncRequester::builder(transaction_id(0..8).stamped());
        let requester = builder.over_simulated(&tasks, end).unwrap();
        for (n, &server) in (0..).zip(&servers) {
            let reply = requester.request_to(server, text(n)).await.unwrap();
            assert_eq!((reply.peer().remote, &reply.payload()[8..]), (server, &text(n)[8..]));
        }
    })
    .unwrap();
}

#[test]
fn what_waits_for_nothing_or_never_waits_is_an_error() {
    let net = SimNet::new(Seed::new(1));
    assert_eq!(net.block_on(|_| pending::<()>()), Err(SimError::Stuck));
    let never = net.block_on(|tasks| async move { tasks.sleep_until(Timestamp::MAX).await });
    assert_eq!(never, Err(SimError::Stuck));
    let waits = net.block_on(|tasks| async move {
        let beside = tasks.spawn(pending::<()>());
        tasks.sleep(MS).await;
        beside.await;
    });
    assert_eq!((waits, net.now().since(Timestamp::ZERO)), (Err(SimError::Stuck), MS));
    let restless = net.block_on(|_| {
        poll_fn(|context| {
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        })
    });
    assert_eq!(restless, Err(SimError::Restless));
    // The network is as it was.
    assert_eq!(net.block_on(|tasks| async move { tasks.spawn(async { 7 }).await }), Ok(7));
}

#[test]
fn tasks_end_with_the_code_that_spawned_them() {
    struct Dropped(Rc<Cell<u32>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let (net, dropped) = (SimNet::new(Seed::new(1)), Rc::new(Cell::new(0)));
    for _ in 0..3 {
        let dropped = dropped.clone();
        net.block_on(|tasks| async move {
            let held = tasks.clone();
            for guard in [(); 2].map(|()| Dropped(dropped.clone())) {
                let held = held.clone();
                drop(tasks.spawn(async move {
                    let _guard = guard;
                    held.sleep(Duration::from_secs(3600)).await;
                }));
            }
            tasks.sleep(MS).await;
        })
        .unwrap();
    }
    assert_eq!((dropped.get(), Rc::strong_count(&dropped)), (6, 1));
}

#[test]
fn a_panic_of_a_task_is_the_scenarios() {
    let panics = |_: SimNet, tasks: SimTasks| async move {
        let asked = tasks.spawn(async { panic!("of a task") });
        asked.await;
        Ok::<(), String>(())
    };
    let failure = explore_async(0..1, panics).unwrap_err();
    assert!(failure.error.contains("of a task"), "{}", failure.error);
}

/// Ten thousand at once, in fair order.
#[test]
fn ten_thousand_futures_are_served_in_the_order_in_which_they_came() {
    let net = SimNet::new(Seed::new(9));
    let transport = connected(&net, "delay 1ms").unwrap();
    net.block_on(|tasks| async move {
        let limits = Limits::default().requests(NonZeroU32::new(64).unwrap());
        let builder = AsyncRequester::builder(transaction_id(0..8).stamped()).limits(limits);
        let requester = builder.over_simulated(&tasks, transport).unwrap();
        let ended = Rc::new(RefCell::new(Vec::new()));
        let asking: Vec<_> = (0..10_000)
            .map(|n| {
                let (requester, ended) = (requester.clone(), ended.clone());
                tasks.spawn(async move {
                    let reply = requester.request(text(n)).await.unwrap();
                    assert_eq!(reply.payload()[8..], text(n)[8..]);
                    ended.borrow_mut().push(n);
                })
            })
            .collect();
        let asking: Vec<Pin<Box<dyn Future<Output = ()>>>> =
            asking.into_iter().map(|asked| Box::pin(asked) as Pin<Box<dyn Future<Output = ()>>>).collect();
        for asked in asking {
            asked.await;
        }
        assert_eq!(*ended.borrow(), (0..10_000).collect::<Vec<_>>());
        // 157 batches, of a round trip each.
        assert_eq!(tasks.now().since(Timestamp::ZERO), 157 * 2 * MS);
    })
    .unwrap();
}
