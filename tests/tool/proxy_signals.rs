//! What ends `udp-retry proxy`, and what does not.
#![cfg(unix)]
#![expect(clippy::disallowed_methods, reason = "processes, in real time")]

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use udp_retry::fault::Trace;

use crate::files::Scratch;
use crate::proxy::{Proxy, Service};

#[test]
fn a_hangup_that_was_ignored_when_it_started_stays_ignored() {
    let service = Service::echo();
    let mut proxy = Proxy::start_after("trap '' HUP", &service, &[]);
    for _ in 0..3 {
        proxy.signal("-HUP");
        thread::sleep(Duration::from_millis(150));
        assert_eq!(proxy.ask(b"still there?"), Some(b"still there?".to_vec()));
    }
    proxy.signal("-TERM");
    assert_eq!(proxy.report()["to_server"]["passed"], 3);
}

#[test]
fn a_second_signal_ends_it_at_once_though_the_first_could_not_and_a_second_hangup_does_not() {
    for (first, second, code) in [("-TERM", "-TERM", 143), ("-HUP", "-INT", 130), ("-QUIT", "-QUIT", 131)] {
        let service = Service::echo();
        let mut proxy = Proxy::start_after(default_hangup(), &service, &["--record", "/dev/stdout"]);
        // Until no one reads what it writes any more, and it waits.
        proxy.client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        while proxy.ask(&[0; 100]).is_some() {}
        proxy.signal(first);
        for _ in 0..3 {
            proxy.signal("-HUP");
            thread::sleep(Duration::from_millis(100));
            // It would fail if the process were gone, or a zombie reaped.
            assert!(proxy.running.is_running(), "{first}");
        }
        proxy.signal(second);
        let ended = proxy.end();
        assert_eq!((ended.code, ended.stdout.contains("\"sessions\"")), (Some(code), false), "{first} {second}");
    }
}

#[test]
fn what_is_killed_leaves_whole_lines_and_all_but_the_last_moments() {
    let (service, file) = (Service::echo(), Scratch::new("killed"));
    let mut proxy = Proxy::start(&service, &["--record", file.path()]);
    for n in 0..300_u32 {
        assert!(proxy.ask(&n.to_be_bytes()).is_some(), "{n}");
    }
    let lines = || file.text().lines().count();
    (0..100).take_while(|_| lines() < 600).for_each(|_| thread::sleep(Duration::from_millis(50)));
    assert_eq!(lines(), 600);
    proxy.signal("-KILL");
    assert_eq!(proxy.end().code, None);
    assert!(file.text().ends_with('\n'));
    // Among many more than are in a block. The system itself may end a write between two pages then, which is rare.
    let torn = (0..4).filter(|_| {
        let (file, flooded) = (Scratch::new("killed"), AtomicBool::new(false));
        let proxy = Proxy::start(&service, &["--record", file.path()]);
        let client = &proxy.client;
        thread::scope(|scope| {
            scope.spawn(|| {
                while !flooded.load(Ordering::Relaxed) {
                    // It may be gone already.
                    let _ = client.send(&[0; 100]);
                }
            });
            while fs::metadata(&file.0).unwrap().len() < 200_000 {
                assert!(proxy.running.is_running());
                thread::sleep(Duration::from_millis(1));
            }
            proxy.signal("-KILL");
            while proxy.running.is_running() {
                thread::sleep(Duration::from_millis(1));
            }
            flooded.store(true, Ordering::Relaxed);
        });
        let recorded = file.text();
        let (_, torn) = Trace::from_torn(&recorded).unwrap();
        assert!(recorded.lines().count() > 1000, "{}", recorded.lines().count());
        torn.is_some()
    });
    assert!(torn.count() <= 1);
}

/// Before the program, as these tests may be run by one that ignores SIGHUP.
pub(crate) const fn default_hangup() -> &'static str {
    if cfg!(target_os = "linux") { "set -- env --default-signal=HUP \"$0\" \"$@\"; exec \"$@\"" } else { ":" }
}
