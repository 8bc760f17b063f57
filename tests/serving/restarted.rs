//! A server that restarts, with envelopes at both ends, over real sockets: what its clients are told, and what it executes.
#![cfg(feature = "tokio")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use udp_retry::envelope::{Incarnation, ReplyHeader, ReplyKind, RequestHeader};
use udp_retry::net::UnconnectedUdp;
use udp_retry::replies::{ReplyLimits, Responder, SameId, same_id};
use udp_retry::serving::{AsyncRequest, SharedResponder};
use udp_retry::transaction::{Execution, Failure};
use udp_retry::{AsyncRequester, RequestError, RetryPolicy, transaction_id};

use crate::ports::free_port;
use crate::tasks::{most, on_either_runtime, received};

/// By which lives of the server each request was executed, by its number.
type Executions = Arc<Mutex<BTreeMap<u32, Vec<u64>>>>;

/// Of requests that are executed, and whose replies never leave.
const HELD: u32 = 1_000;

#[test]
fn over_a_restart_every_reply_is_right_no_unknown_is_a_reply_and_nothing_is_executed_twice() {
    on_either_runtime(async || {
        let executions = Executions::default();
        let (address, first, serving) = serve(SocketAddr::from(([127, 0, 0, 1], free_port())), 1, &executions).await;
        let (busy, idle) = (requester(address).await, requester(address).await);
        all_answered(&busy, 0..100, 1).await;
        all_answered(&idle, 100..101, 1).await;
        // Neither had an answer before, so what they asked first named no one: that is no restart.
        assert_eq!(first.stats().unknown, first.stats().unnamed);
        assert!(first.stats().unnamed > 0);

        let held: Vec<_> = (HELD..HELD + 20).map(|number| ask(&busy, number)).collect();
        while first.stats().replies.fresh < 101 + 20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // It dies with them.
        serving.abort();
        assert!(serving.await.unwrap_err().is_cancelled());
        let orphan = ask_no_one(&busy, 200, address).await;
        let (_, second, serving) = serve(address, 2, &executions).await;
        // The server has been executing these for all it says, and this one it may have.
        for asking in held.into_iter().chain([orphan]) {
            let error = asking.await.unwrap().unwrap_err();
            assert_eq!((error.failure(), error.execution()), (Failure::ServerRestarted, Execution::Unknown), "{error}");
        }
        assert_eq!(second.stats().replies.fresh, 0);

        // One knows the second life by now; the other names the first, whom that outlived by all of its request.
        all_answered(&busy, 300..400, 2).await;
        let (unknown, unnamed) = (second.stats().unknown, second.stats().unnamed);
        all_answered(&idle, 400..401, 2).await;
        assert!(second.stats().unknown > unknown && unnamed == 0, "{:?}", second.stats());

        // A copy that the network has held since then.
        let copy = [&RequestHeader::new(1, None, Incarnation::new(1)).encode()[..], b"the idmore"].concat();
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.connect(address).await.unwrap();
        client.send(&copy).await.unwrap();
        let answer = received(&client).await;
        let (header, payload) = ReplyHeader::decode(&answer).unwrap();
        assert_eq!((header.kind(), header.incarnation().number(), payload), (ReplyKind::Unknown, 2, &copy[16..]));

        serving.abort();
        let executions = executions.lock().unwrap();
        assert_eq!(executions.len(), 100 + 1 + 20 + 100 + 1, "and not the one that came between two lives");
        assert!(executions.values().all(|lives| lives.len() == 1), "{executions:?}");
    });
}

/// A server that counts who executes what; older than any request by far more than a clock is wrong by.
async fn serve(
    address: SocketAddr,
    life: u64,
    executions: &Executions,
) -> (SocketAddr, SharedResponder<SameId>, JoinHandle<std::io::Result<()>>) {
    let mut socket = UnconnectedUdp::bind(address).unwrap();
    let address = socket.local_addr();
    let responder = Responder::over(&mut socket, ReplyLimits::default(), same_id(0..8)).unwrap();
    let responder = SharedResponder::from(responder.envelope(Incarnation::new(life).unwrap()));
    let (serves, executions) = (responder.clone(), executions.clone());
    let serving = tokio::spawn(async move {
        let handler = move |request: AsyncRequest| {
            let executions = executions.clone();
            async move {
                let number = u32::from_be_bytes(request.bytes()[8..12].try_into().unwrap());
                executions.lock().unwrap().entry(number).or_default().push(life);
                if number >= HELD {
                    std::future::pending::<()>().await;
                }
                let reply = [request.bytes(), &life.to_be_bytes()].concat();
                request.reply(reply)
            }
        };
        serves.serve_async(socket, most(100), handler).await
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    (address, responder, serving)
}

async fn requester(address: SocketAddr) -> AsyncRequester {
    let policy: RetryPolicy = "20ms x1.5 max 200ms deadline 40s".parse().unwrap();
    let builder = AsyncRequester::builder(transaction_id(0..8).stamped()).policy(policy).envelope();
    builder.connect(address).await.unwrap()
}

fn ask(requester: &AsyncRequester, number: u32) -> JoinHandle<Result<Vec<u8>, RequestError>> {
    let requester = requester.clone();
    tokio::spawn(async move {
        let request = [&[0; 8][..], &number.to_be_bytes()].concat();
        let reply = requester.request(&request[..]).await?;
        Ok(reply.payload()[8..].to_vec())
    })
}

/// One that leaves while no server is there.
async fn ask_no_one(
    requester: &AsyncRequester,
    number: u32,
    address: SocketAddr,
) -> JoinHandle<Result<Vec<u8>, RequestError>> {
    let nobody = UdpSocket::bind(address).await.unwrap();
    let (asking, mut buffer) = (ask(requester, number), [0; 64]);
    while nobody.recv(&mut buffer).await.map(|len| &buffer[len - 4..len]).unwrap() != number.to_be_bytes() {}
    asking
}

async fn all_answered(requester: &AsyncRequester, numbers: std::ops::Range<u32>, life: u64) {
    let asking: Vec<_> = numbers.map(|number| (number, ask(requester, number))).collect();
    for (number, asks) in asking {
        let reply = asks.await.unwrap().unwrap_or_else(|error| panic!("{number}: {error}"));
        assert_eq!(reply, [&number.to_be_bytes()[..], &life.to_be_bytes()].concat());
    }
}
