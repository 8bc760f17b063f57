//! When it sends, when it ends, and how often it succeeds.

use std::time::Duration;

use udp_retry::fault::Direction;
use udp_retry::transaction::{Execution, Failure, GiveUp};
use udp_retry::transport::Transport;
use udp_retry::{Impairments, LossySink, Probability, ReliableRequester, RetryPolicy, Seed, transaction_id};

use super::{PING, by_id, forgetful, only};
use crate::scripted::{Back, Scripted, at_ms, ms, reply};

#[test]
fn silence_meets_the_books_schedule_to_the_nanosecond() {
    let mut requester = by_id(Scripted::silent());
    let error = requester.request(PING).unwrap_err();
    assert_eq!(requester.transport().sent_ms(), [0.0, 100.0, 300.0, 700.0, 1500.0]);
    assert_eq!(requester.transport().now(), at_ms(3100));
    assert_eq!(error.failure(), Failure::TimedOut(GiveUp::Unanswered));
    assert_eq!((error.execution(), error.transmissions(), error.elapsed()), (Execution::Unknown, 5, ms(3100)));
    assert_eq!(error.to_string(), "no reply (5 transmissions, 3100.0 ms)");
    assert_eq!(error.timeline().transmissions().collect::<Vec<_>>(), [0, 100, 300, 700, 1500].map(ms));
    assert_eq!(error.last_path_error(), None);
}

#[test]
fn a_reply_at_the_very_end_of_the_last_wait_is_accepted() {
    for (delay, accepted) in [(Duration::from_nanos(1_600_000_000), true), (Duration::from_nanos(1_600_000_001), false)]
    {
        let mut requester = by_id(Scripted::new(only(4, move |heard| vec![reply(delay, heard.payload)])));
        assert_eq!(requester.request(PING).is_ok(), accepted, "{delay:?}");
    }
}

#[test]
fn junk_moves_no_transmission_by_a_nanosecond() {
    let mut network = Scripted::silent();
    for n in 0..400 {
        network.inject(at_ms(20 * n), Back::Datagram(vec![0xff; n as usize % 9]));
    }
    let mut requester = by_id(network);
    let error = requester.request(PING).unwrap_err();
    assert_eq!(requester.transport().sent_ms(), [0.0, 100.0, 300.0, 700.0, 1500.0]);
    assert_eq!((requester.transport().now(), error.transmissions()), (at_ms(3100), 5));
    assert_eq!(error.failure(), Failure::TimedOut(GiveUp::Unanswered));
    let shown = error.timeline().events().count() + error.timeline().omitted() as usize;
    assert_eq!(shown, 5 + 3100 / 20 + 1 + 1, "every stray from the start to the very end, and that, is counted");
}

#[test]
fn waits_that_end_late_do_not_add_up() {
    let mut requester = by_id(Scripted::silent().with_lateness(ms(9)));
    let error = requester.request(PING).unwrap_err();
    assert_eq!(requester.transport().sent_ms(), [0.0, 109.0, 309.0, 709.0, 1509.0]);
    assert_eq!(error.elapsed(), ms(3109));
}

#[test]
fn a_request_deadline_counts_from_the_call_and_a_policy_deadline_from_the_first_transmission() {
    let delayed = RetryPolicy::LAN.with_start_delay(ms(40), ms(40)).unwrap();
    let own = delayed.with_deadline(ms(250)).unwrap();
    for (policy, deadline, end) in [
        (delayed, Some(250), 250),
        (own, None, 290),
        (own, Some(289), 289),
        (own, Some(291), 290),
        (own, Some(20), 20),
        (own, Some(0), 0),
    ] {
        let mut builder = ReliableRequester::builder(transaction_id(0..4)).policy(policy);
        if let Some(deadline) = deadline {
            builder = builder.deadline(ms(deadline));
        }
        let mut requester = builder.over(Scripted::silent());
        for _ in 0..2 {
            let error = requester.request(PING).unwrap_err();
            assert_eq!(error.elapsed(), ms(end), "{deadline:?}");
            assert_eq!(error.failure(), Failure::TimedOut(GiveUp::Deadline));
            let sent = [40, 140].iter().filter(|&&due| due < end).count() as u32;
            assert_eq!(error.transmissions(), sent, "{deadline:?}");
            assert_eq!(error.execution() == Execution::NotSent, sent == 0);
        }
    }
}

#[test]
fn a_reply_exactly_at_the_deadline_is_accepted_and_one_later_is_not() {
    for (delay, accepted) in [(50_000_000, true), (50_000_001, false)] {
        let mut requester = ReliableRequester::builder(transaction_id(0..4))
            .policy(RetryPolicy::LAN)
            .deadline(ms(50))
            .over(Scripted::echo(Duration::from_nanos(delay)));
        assert_eq!(requester.request(PING).is_ok(), accepted);
    }
}

#[test]
fn a_reply_that_arrived_before_the_deadline_counts_although_it_is_read_after_it() {
    for (delay, accepted) in [(50, true), (51, false)] {
        let network = Scripted::echo(ms(delay)).suspended(at_ms(30), at_ms(80));
        let mut requester =
            ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).deadline(ms(50)).over(network);
        assert_eq!(requester.request(PING).is_ok(), accepted, "{delay}");
    }
}

#[test]
fn the_jitter_follows_from_the_seed_and_differs_from_request_to_request() {
    let sent = |seed| {
        let policy = RetryPolicy::default();
        let mut requester = ReliableRequester::builder(transaction_id(0..4))
            .policy(policy)
            .seed(Seed::new(seed))
            .over(Scripted::silent());
        [0, 1].map(|_| requester.request(PING).unwrap_err().timeline().transmissions().collect::<Vec<_>>())
    };
    assert_eq!(sent(7), sent(7));
    assert_ne!(sent(7), sent(8));
    assert_ne!(sent(7)[0], sent(7)[1]);
}

#[test]
fn five_transmissions_at_half_loss_each_way_succeed_as_often_as_they_should() {
    const REQUESTS: u32 = 30_000;
    let expected = 1.0 - 0.75_f64.powi(5);
    let sigma = (expected * (1.0 - expected) / f64::from(REQUESTS)).sqrt();
    for seed in [0, 1, u64::MAX] {
        let lossy =
            LossySink::new(forgetful(Scripted::echo(ms(1))), Impairments::loss(Probability::HALF), Seed::new(seed));
        let mut requester = by_id(lossy);
        let mut transmissions = 0;
        let mut succeeded = 0;
        for n in 0..REQUESTS {
            match requester.request(&n.to_be_bytes()) {
                Ok(answer) => {
                    assert_eq!(answer.payload(), n.to_be_bytes());
                    transmissions += u64::from(answer.transmissions());
                    succeeded += 1;
                }
                Err(error) => {
                    assert_eq!(error.failure(), Failure::TimedOut(GiveUp::Unanswered));
                    transmissions += u64::from(error.transmissions());
                }
            }
        }
        let rate = f64::from(succeeded) / f64::from(REQUESTS);
        assert!((rate - expected).abs() < 6.0 * sigma, "seed {seed}: {rate}, not {expected}");
        let requests = requester.transport().stats(Direction::ToServer).fates;
        assert_eq!(requests.received, transmissions, "one fate for each transmission");
        assert_eq!(requests.delivered, requester.transport().get_ref().left);
        let replies = requester.transport().stats(Direction::ToClient).fates;
        assert_eq!(replies.received, requests.delivered, "every reply arrived in its wait");
    }
}
