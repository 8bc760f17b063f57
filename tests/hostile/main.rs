//! What the host does to a requester over a real socket: signals, suspension, full buffers, junk at the rate of the line.
//! Nothing of it sends early, sends a burst, loses a reply, moves a deadline, spins or grows.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real sockets, processes and clocks are the point"
)]

mod asker;
#[path = "../common/processor.rs"]
mod processor;
#[path = "../common/watchdog.rs"]
mod watchdog;

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use asker::{Asker, MS, Report, monotonic, signal, this_test};
use serde_json::{Value, json};
use udp_retry::policy::Backoff;
use udp_retry::transaction::{Event, Failure, GiveUp};
use udp_retry::{ReliableRequester, RetryPolicy, transaction_id};

use crate::processor::{spends, spent, undisturbed};
use crate::watchdog::{MINUTE, within};

/// What keeps a core busy does so alone. By their names the first and the last test, so that neither waits long.
static BUSY: Mutex<()> = Mutex::new(());

/// The slots of `RetryPolicy::LAN`, and its end.
const LAN: [Duration; 6] = [
    Duration::ZERO,
    MS.saturating_mul(100),
    MS.saturating_mul(300),
    MS.saturating_mul(700),
    MS.saturating_mul(1500),
    MS.saturating_mul(3100),
];

#[test]
fn a_flood_of_junk_moves_no_deadline_and_hides_no_reply() {
    within(3 * MINUTE, || {
        if asker::plays_its_part() {
            return;
        }
        let _alone = BUSY.lock().unwrap_or_else(PoisonError::into_inner);
        undisturbed("a flood", || flood_of_junk(this_test!()));
    });
}

fn flood_of_junk(test: &'static str) -> Result<(), String> {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let ask = json!({ "policy": "lan", "deadline": 1000, "requests": 5, "compare": true });
    let mut asker = Asker::start(test, &server, ask);
    let (over, flooded, mut last_request) = (AtomicBool::new(false), AtomicUsize::new(0), 0);
    // After a request that was not answered the next one leaves from another port.
    let port = Mutex::new(server.local_addr().unwrap());
    let (started, over, flooded, port) = (Instant::now(), &over, &flooded, &port);
    let arrivals = thread::scope(|scope| {
        let server = &server;
        let arrivals = asker.serve(server, |number, request, from| {
            *port.lock().unwrap() = from;
            if number == 0 {
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) && started.elapsed() < 20_000 * MS {
                        let from = *port.lock().unwrap();
                        let sent = server.send_to(b"junk, and again junk", from).map_or(0, |_| 1);
                        flooded.fetch_add(sent, Ordering::Relaxed);
                    }
                });
            }
            last_request += u32::from(request.starts_with(b"0004"));
            if last_request > 1 {
                // Again and again, because most of what comes finds the buffer full; each tells when it was sent.
                let request = request.to_vec();
                scope.spawn(move || {
                    let mut reply = request.clone();
                    while !over.load(Ordering::Relaxed) && started.elapsed() < 20_000 * MS {
                        reply.truncate(request.len());
                        reply.extend_from_slice(&(monotonic().as_nanos() as u64).to_be_bytes());
                        let _ = server.send_to(&reply, from);
                        thread::sleep(MS / 5);
                    }
                });
            }
        });
        over.store(true, Ordering::Relaxed);
        arrivals
    });
    let reports = asker.reports();
    let flooded = flooded.load(Ordering::Relaxed);
    let (silent, answered) = reports.split_at(4);
    let mut late: Vec<_> = silent.iter().map(|report| report.ended - report.started - 1000 * MS).collect();
    let mut bare: Vec<_> = silent.iter().map(|report| report.bare).collect();
    println!(
        "{flooded} junk datagrams in {:?}, {} heard; deadlines of 1 s late by {late:?}, bare waits by {bare:?}",
        started.elapsed(),
        reports.iter().map(|report| report.strays).sum::<u64>()
    );
    for report in silent {
        assert_eq!(report.failure.as_deref(), Some("no reply within the deadline"));
        assert!(report.sent.iter().zip(LAN).all(|(&sent, due)| sent >= due), "{:?}", report.sent);
        assert!(report.strays > 1000, "that was no flood: {}", report.strays);
        assert!(report.ended - report.started >= 1000 * MS);
    }
    // A machine that stalls delays some of them.
    let complete = silent.iter().filter(|report| report.sent.len() == 4 && timely(&report.sent) == 4).count();
    late.sort();
    bare.sort();
    let timely = complete >= 2 && late[2] <= 5 * MS + bare[2];
    let grown = reports[4].resident.saturating_sub(reports[0].resident_before);
    assert!(grown < 4096, "{grown} kB more than before");

    let reply = answered[0].payload.as_ref().unwrap();
    let sent = Duration::from_nanos(u64::from_be_bytes(*reply.last_chunk().unwrap()));
    let late = answered[0].ended - sent;
    println!("amid the junk a reply was taken {late:?} after it was sent; {grown} kB of memory more");
    let timely = timely && late < 500 * MS && (2..=4).contains(&answered[0].sent.len());
    assert_eq!(arrivals.len(), reports.iter().map(|report| report.sent.len()).sum::<usize>());
    timely
        .then_some(())
        .ok_or_else(|| format!("{complete} requests are complete; late by {late:?}; {:?}", answered[0].sent))
}

#[test]
fn a_reply_that_finds_the_receive_buffer_full_is_made_up_for_by_the_next_one() {
    within(3 * MINUTE, || {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let transmissions = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&transmissions);
        // In the requester's own thread, so that it cannot read meanwhile.
        let misbehave = move |_, event| {
            let Event::Transmitted { number, .. } = event else { return };
            let mut request = [0; 64];
            let (len, from) = server.recv_from(&mut request).unwrap();
            if number == 1 {
                for _ in 0..JUNK {
                    server.send_to(b"junk", from).unwrap();
                }
            }
            server.send_to(&request[..len], from).unwrap();
            seen.fetch_add(1, Ordering::Relaxed);
        };
        let builder = ReliableRequester::builder(transaction_id(0..4)).policy(RetryPolicy::LAN).observer(misbehave);
        let mut requester = builder.connect(address).unwrap();
        let reply = requester.request(b"0001 anyone?").unwrap();
        println!("{} of {JUNK} junk datagrams fitted", reply.strays().foreign);
        assert_eq!((reply.payload(), reply.transmissions()), (&b"0001 anyone?"[..], 2));
        assert!((1..JUNK).contains(&reply.strays().foreign));
        assert!(reply.elapsed() >= 100 * MS, "not before its slot");
        assert_eq!(transmissions.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn a_suspension_costs_one_transmission_at_most() {
    within(3 * MINUTE, || {
        if asker::plays_its_part() {
            return;
        }
        let test = this_test!();
        // At the same time, because they sleep most of it.
        thread::scope(|scope| {
            scope.spawn(move || a_process_that_was_suspended_catches_up_with_one_transmission(test));
            scope.spawn(move || after_a_suspension_the_next_slot_lies_half_its_wait_away(test));
            scope.spawn(move || a_deadline_that_passed_in_a_suspension_ends_it_at_once(test));
            scope.spawn(move || a_reply_that_came_in_a_suspension_is_taken_before_anything_is_sent(test));
        });
    });
}

#[test]
fn a_reply_that_came_in_time_counts_however_late_it_is_read() {
    within(3 * MINUTE, || {
        if asker::plays_its_part() {
            return;
        }
        let test = this_test!();
        thread::scope(|scope| {
            for handle in [false, true] {
                // In the suspension the deadline passes; without one, the end of the schedule.
                for (deadline, asleep) in [(Some(1000), 1200 * MS), (None, 3400 * MS)] {
                    let ask = json!({ "policy": "lan", "deadline": deadline, "handle": handle });
                    scope.spawn(move || {
                        let (arrivals, woken, report) = suspended_for(asleep, test, &ask, true);
                        let why = format!("{ask}: {:?}", report.failure);
                        assert_eq!((arrivals.len(), report.failure.as_deref()), (2, None), "{why}");
                        assert_eq!(report.payload.as_deref(), Some(&b"0000 anyone?"[..]));
                        assert!(report.ended >= woken && report.ended < woken + 1000 * MS, "{why}");
                    });
                }
            }
        });
    });
}

#[test]
fn without_descriptors_a_request_keeps_its_schedule_finds_its_reply_and_burns_no_time() {
    within(3 * MINUTE, || {
        if asker::plays_its_part() {
            return;
        }
        let test = this_test!();
        thread::scope(|scope| {
            for descriptors in [0, 1, 3] {
                for handle in [false, true] {
                    let what = format!("{descriptors} descriptors, handle {handle}");
                    scope.spawn(move || {
                        spends(..=5 * MS, &what, || ((), asks_without_descriptors(test, descriptors, handle)));
                    });
                }
            }
        });
    });
}

#[test]
fn an_idle_wait_costs_no_cpu_time() {
    within(3 * MINUTE, || {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let once = RetryPolicy::new(Backoff::constant(2000 * MS).unwrap()).with_max_transmissions(1).unwrap();
        spends(..5 * MS, "an idle wait", || {
            let builder = ReliableRequester::builder(transaction_id(0..4)).policy(once);
            let mut requester = builder.connect(silent.local_addr().unwrap()).unwrap();
            let (error, spent) = spent(|| requester.request(b"0001 anyone?").unwrap_err());
            assert_eq!(error.failure(), Failure::TimedOut(GiveUp::Unanswered));
            assert!(error.elapsed() >= 2000 * MS, "{:?}", error.elapsed());
            ((), spent)
        });
    });
}

#[test]
fn signals_in_a_storm_neither_hasten_nor_delay_nor_fail_anything() {
    within(3 * MINUTE, || {
        if asker::plays_its_part() {
            return;
        }
        let _alone = BUSY.lock().unwrap_or_else(PoisonError::into_inner);
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let ask = json!({ "policy": "lan", "deadline": 1000, "requests": 2, "storm": true });
        let mut asker = Asker::start(this_test!(), &server, ask);
        let (mut answered, mut second_request) = (Duration::ZERO, 0);
        let arrivals = asker.serve(&server, |_, request, from| {
            second_request += u32::from(request.starts_with(b"0001"));
            if second_request == 3 {
                thread::sleep(30 * MS);
                answered = monotonic();
                server.send_to(request, from).unwrap();
            }
        });
        let [silence, reply] = &asker.reports()[..] else { panic!("two requests") };
        assert_eq!((silence.failure.as_deref(), silence.path_error), (Some("no reply within the deadline"), false));
        assert_eq!((reply.failure.as_deref(), reply.path_error), (None, false));
        assert_eq!(arrivals.len(), silence.sent.len() + reply.sent.len());
        let (of_silence, of_reply) = arrivals.split_at(silence.sent.len());
        for (report, arrivals) in [(silence, of_silence), (reply, of_reply)] {
            for ((arrived, sent), due) in arrivals.iter().zip(&report.sent).zip(LAN) {
                assert!(*arrived >= report.started + due && *sent >= due, "due after {due:?}, early: {sent:?}");
            }
        }
        // A machine that stalls delays some of them.
        let prompt = timely(&silence.sent) + timely(&reply.sent);
        assert!(prompt >= 4 && arrivals.len() <= 8, "{:?}, {:?}", silence.sent, reply.sent);
        let took = silence.ended - silence.started;
        assert!(took >= 1000 * MS && took < 1500 * MS, "a deadline of 1 s took {took:?}");
        let late = reply.ended - answered;
        assert!(late < 500 * MS, "the reply was taken {late:?} after it was sent");

        let storm = asker.storm().unwrap();
        let [bare, ours] = [storm.bare, storm.ours].map(|load| load.per_second());
        println!(
            "signals that ended a wait: {:.0} a second, at {:.1} us of CPU time each; bare ppoll: {:.0} at {:.1} us; early, lost or failed: 0",
            ours.interruptions,
            ours.cpu.as_secs_f64() * 1e6 / ours.interruptions,
            bare.interruptions,
            bare.cpu.as_secs_f64() * 1e6 / bare.interruptions,
        );
        // On a busy machine only each turn of the sender's counts.
        assert!(storm.bare.interruptions > 10.0, "that was no storm");
        let each = storm.bare.cpu.as_secs_f64() / storm.bare.interruptions;
        let allowed = storm.ours.interruptions * (4.0 * each + 5e-6) + 5e-3;
        assert!(storm.ours.cpu.as_secs_f64() < allowed, "{:?} of CPU time", storm.ours.cpu);
    });
}

fn a_process_that_was_suspended_catches_up_with_one_transmission(test: &str) {
    let (arrivals, woken, report) = suspended(test, &json!({ "policy": "lan" }), false);
    println!("LAN, asleep until {:?}: sent at {:?}", woken - report.started, report.sent);
    // The slots at 300 and 700 ms have passed; the one at 1500 ms is too near.
    assert_eq!((arrivals.len(), report.sent.len()), (3, 3));
    assert!(arrivals[2] >= woken && arrivals[2] < woken + 1000 * MS);
    assert!(report.failure.as_deref() == Some("no reply") && report.ended - report.started >= LAN[5]);
}

fn after_a_suspension_the_next_slot_lies_half_its_wait_away(test: &str) {
    let (arrivals, woken, report) = suspended(test, &json!({ "policy": "every 100 ms", "deadline": 1700 }), false);
    println!("every 100 ms, asleep until {:?}: sent at {:?}", woken - report.started, report.sent);
    let after: Vec<Duration> = report.sent.iter().copied().filter(|&sent| report.started + sent >= woken).collect();
    assert_eq!((arrivals.len() - after.len(), report.sent.len()), (2, arrivals.len()));
    assert!((1..=5).contains(&after.len()), "{after:?}");
    assert!(after.windows(2).all(|pair| pair[1] - pair[0] >= 50 * MS), "{after:?}");
}

fn a_deadline_that_passed_in_a_suspension_ends_it_at_once(test: &str) {
    let (arrivals, woken, report) = suspended(test, &json!({ "policy": "lan", "deadline": 1000 }), false);
    assert_eq!((arrivals.len(), report.failure.as_deref()), (2, Some("no reply within the deadline")));
    assert!(report.ended >= woken && report.ended < woken + 1000 * MS, "{:?} late", report.ended - woken);
}

fn a_reply_that_came_in_a_suspension_is_taken_before_anything_is_sent(test: &str) {
    let (arrivals, woken, report) = suspended(test, &json!({ "policy": "lan" }), true);
    assert_eq!((arrivals.len(), report.failure.as_deref()), (2, None));
    assert!(report.ended >= woken && report.ended < woken + 1000 * MS, "{:?} late", report.ended - woken);
}

/// Returns what the request that no one answered spent.
fn asks_without_descriptors(test: &str, descriptors: u32, handle: bool) -> Duration {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let ask = json!({ "policy": "lan", "deadline": 3000, "requests": 2,
        "descriptors": descriptors, "handle": handle, "cancelled": handle });
    let mut asker = Asker::start(test, &server, ask);
    asker.serve(&server, |_, request, from| {
        if request.starts_with(b"0001") {
            thread::sleep(30 * MS);
            server.send_to(request, from).unwrap();
        }
    });
    let [silence, reply] = &asker.reports()[..] else { panic!("two requests") };
    assert_eq!((silence.failure.as_deref(), silence.path_error), (Some("no reply within the deadline"), false));
    assert!(
        silence.sent.len() == 5 && silence.sent.iter().zip(LAN).all(|(&sent, due)| sent >= due),
        "{:?}",
        silence.sent
    );
    assert!(timely(&silence.sent) >= 3, "{:?}", silence.sent);
    assert!((3000 * MS..3500 * MS).contains(&(silence.ended - silence.started)));
    assert_eq!((reply.failure.as_deref(), reply.path_error), (None, false));
    assert!(reply.ended - reply.started < 1000 * MS, "{:?}", reply.ended - reply.started);
    silence.cpu
}

/// Stops an asker for 1.2 s once its second transmission is here; returns when each arrived, when it went on, and what
/// it reports.
fn suspended(test: &str, ask: &Value, answer: bool) -> (Vec<Duration>, Duration, Report) {
    suspended_for(1200 * MS, test, ask, answer)
}

fn suspended_for(asleep: Duration, test: &str, ask: &Value, answer: bool) -> (Vec<Duration>, Duration, Report) {
    for _ in 0..20 {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut asker = Asker::start(test, &server, ask.clone());
        let (mut stopped, mut woken, pid) = (Duration::ZERO, Duration::ZERO, asker.pid());
        let arrivals = asker.serve(&server, |number, request, from| {
            if number == 1 {
                signal(pid, "-STOP");
                asker::wait_until_stopped(pid);
                stopped = monotonic();
                if answer {
                    server.send_to(request, from).unwrap();
                }
                thread::sleep(asleep);
                woken = monotonic();
                signal(pid, "-CONT");
            }
        });
        let report = asker.reports().swap_remove(0);
        // Otherwise the machine was too slow to stop it in time.
        if report.sent.iter().filter(|&&sent| report.started + sent <= stopped).count() == 2 {
            assert!(arrivals.len() < 3 || arrivals[2] >= woken, "{arrivals:?}");
            return (arrivals, woken, report);
        }
    }
    panic!("never stopped in time");
}

/// How many were sent when they were due, or soon after.
fn timely(sent: &[Duration]) -> usize {
    sent.iter().zip(LAN).filter(|&(&sent, due)| sent < due + 90 * MS).count()
}

/// More than the receive buffer of any default holds.
const JUNK: u32 = 5_000;
