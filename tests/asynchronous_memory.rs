//! What a request as a future holds, with its task: counted by the allocator, for this thread alone.
#![expect(unsafe_code, reason = "an allocator cannot be written without")]
#![expect(clippy::disallowed_types, reason = "the requests go over real sockets")]

#[path = "common/held.rs"]
mod held;

use std::net::UdpSocket;

use held::{grown, peak};
use tokio::runtime::{Builder, Runtime};
use udp_retry::{AsyncRequester, transaction_id};

#[test]
fn ten_thousand_outstanding_take_half_a_kilobyte_each_with_their_tasks() {
    let (runtime, mute) = (runtime(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let connecting = AsyncRequester::connect(mute.local_addr().unwrap(), transaction_id(0..8).stamped());
    let requester = runtime.block_on(connecting).unwrap();
    let round = || {
        let asking: Vec<_> = (0..OUTSTANDING)
            .map(|_| {
                let requester = requester.clone();
                runtime.spawn(async move { requester.request(&[7; 32]).await.is_ok() })
            })
            .collect();
        runtime.block_on(async {
            while requester.in_flight() < OUTSTANDING {
                tokio::task::yield_now().await;
            }
        });
        asking
    };
    let mut asking = Vec::new();
    let each = grown(|| asking = round()) / OUTSTANDING as i64 - size_of::<tokio::task::JoinHandle<bool>>() as i64;
    println!("{each} bytes each");
    assert!((200..=540).contains(&each), "{each} bytes each");
    let end = |asking: Vec<tokio::task::JoinHandle<bool>>| {
        asking.iter().for_each(tokio::task::JoinHandle::abort);
        runtime.block_on(async {
            for asked in asking {
                assert!(asked.await.unwrap_err().is_cancelled());
            }
        });
        assert_eq!(requester.in_flight(), 0);
    };
    // What the tasks take is given back, and the tables are large enough for as many again.
    end(asking);
    let tasks = peak(|| end(round())) / OUTSTANDING as i64;
    println!("{tasks} bytes of each are the runtime's and the future's");
    assert!((100..=each).contains(&tasks), "{tasks} of {each} bytes");
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

const OUTSTANDING: usize = 10_000;
