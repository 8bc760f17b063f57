//! Steered and watched.

use std::sync::{Arc, Mutex};

use udp_retry::fault::{Direction, Rule};
use udp_retry::transport::Transport;
use udp_retry::{Impairments, LossySink, Seed};

use super::{always, assert_balanced, echo, everything, heard, replies, requests, script, sent};
use crate::scripted::{at_ms, ms};
use crate::watchdog::{MINUTE, within};

#[test]
fn a_control_changes_a_sink_in_another_thread_and_the_links_go_on() {
    within(MINUTE, || {
        fn thread_safe<T: Send + Sync>(_: &T) {}
        let mut sink = LossySink::at_client(echo(), requests(Impairments::NONE), Seed::new(1));
        let control = sink.control();
        thread_safe(&control);
        sink.send(0, b"x").unwrap();
        std::thread::scope(|scope| scope.spawn(|| control.clone().set(Direction::ToServer, always())).join()).unwrap();
        assert_eq!(control.profile(), requests(always()));
        sink.send(0, b"x").unwrap();
        assert_eq!((sink.get_ref().left, sent(&sink).fates.dropped.loss), (1, 1));
        // The links count on: a script knows the third datagram as the third.
        control.set_profile(requests(script([(3, Rule::Drop)])));
        for _ in 0..2 {
            sink.send(0, b"x").unwrap();
        }
        assert_eq!((sink.get_ref().left, sent(&sink).fates.dropped.script), (2, 1));
        // Each direction by itself.
        control.set_profile(replies(always()));
        sink.send(0, b"x").unwrap();
        assert_eq!((sink.get_ref().left, sink.recv_until(&mut [0; 8], at_ms(50))), (3, Ok(None)));
        assert_eq!(heard(&sink).fates.dropped.loss, 3);
    });
}

#[test]
fn everything_is_seen_as_it_is_decided_and_two_runs_are_the_same() {
    let run = || {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let watch = seen.clone();
        let mut sink = LossySink::new(echo(), everything(), Seed::new(3))
            .observed(move |peer, record| watch.lock().unwrap().push((peer, record.to_string())));
        for n in 0..500_u64 {
            let _ = sink.send(0, &vec![1; (n % 1400) as usize]);
            let until = sink.now().after(ms(n % 5));
            while !matches!(sink.recv_until(&mut [0; 2000], until), Ok(None)) {}
        }
        assert_balanced(&sent(&sink));
        assert_balanced(&heard(&sink));
        let seen = seen.lock().unwrap().clone();
        let fates = sent(&sink).fates.received + heard(&sink).fates.received;
        assert_eq!(seen.len() as u64, fates);
        seen
    };
    assert_eq!(run(), run());
}
