//! Futures that are dropped whenever they please.

use std::future::{Future, poll_fn};
use std::num::NonZeroU32;
use std::pin::pin;
use std::task::Poll;

use udp_retry::Seed;
use udp_retry::transaction::Limits;

use crate::echoes::{Echo, Manner};
use crate::runtimes::{builder, on, two_threads};

/// Polls of each, at most.
const POLLS: u64 = 4;

#[test]
fn a_hundred_thousand_futures_dropped_at_any_point_leave_nothing_behind() {
    on(two_threads(), async {
        let echo = Echo::start("127.0.0.1", Manner::Prompt);
        let limits = Limits::default().requests(NonZeroU32::new(48).unwrap());
        let requester = builder().limits(limits).connect(echo.address).await.unwrap();
        let storms: Vec<_> = (0..100_u64)
            .map(|task| {
                let requester = requester.clone();
                tokio::spawn(async move {
                    let (mut dropped, mut answered) = (0_u32, 0_u32);
                    for n in 0..1000_u64 {
                        let draw = Seed::new(task << 32 | n).draw(0);
                        let request = [&[0; 8][..], &task.to_be_bytes(), &n.to_be_bytes()].concat();
                        let mut call = pin!(requester.request(&request));
                        let mut left = draw % (POLLS + 1);
                        let ended = poll_fn(|context| {
                            if left == 0 {
                                return Poll::Ready(None);
                            }
                            left -= 1;
                            match call.as_mut().poll(context) {
                                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                                Poll::Pending if left > 0 => Poll::Pending,
                                Poll::Pending => Poll::Ready(None),
                            }
                        });
                        match ended.await {
                            Some(reply) => {
                                assert_eq!(reply.unwrap().payload()[8..], request[8..], "another's reply");
                                answered += 1;
                            }
                            None => dropped += 1,
                        }
                    }
                    (dropped, answered)
                })
            })
            .collect();
        let (mut dropped, mut answered) = (0, 0);
        for storm in storms {
            let (of, to) = storm.await.unwrap();
            (dropped, answered) = (dropped + of, answered + to);
        }
        assert_eq!(dropped + answered, 100_000);
        assert!(dropped >= 30_000 && answered >= 20_000, "{dropped} dropped, {answered} answered");
        assert_eq!((requester.in_flight(), requester.waiting(), requester.available()), (0, 0, 48));
        // Late replies to what was dropped are no one's; what is asked now is answered as ever.
        for n in 0..100_u64 {
            let request = [&[0; 8][..], &n.to_be_bytes()].concat();
            assert_eq!(requester.request(&request).await.unwrap().payload()[8..], n.to_be_bytes());
        }
    });
}
