//! `ntp_time` as people run it, against servers that answer wrong, late, with another time, or with an error.
#![expect(clippy::disallowed_methods, reason = "the time of day is what this is about")]

use std::time::{SystemTime, UNIX_EPOCH};

use crate::server::{Server, json};

#[test]
fn ntp_sends_nothing_but_a_random_timestamp() {
    let server = Server::answering(|_, request| vec![ntp(request, 0, |_| ())]);
    for _ in 0..4 {
        assert_eq!(server.ntp_time(&[]).code, Some(0));
    }
    let mut origins = Vec::new();
    for (request, _) in server.asked() {
        assert_eq!((request.len(), request[0]), (48, 0x23));
        assert_eq!(request[1..40], [0; 39]);
        // Not the time of day, either.
        let seconds = u64::from_be_bytes(request[40..48].try_into().unwrap()) >> 32;
        assert!(seconds.abs_diff(ntp_now() >> 32) > 1_000, "{request:02x?}");
        origins.push(request[40..48].to_vec());
    }
    origins.sort_unstable();
    origins.dedup();
    assert_eq!(origins.len(), 4);
}

#[test]
fn ntp_takes_no_datagram_but_the_answer_to_its_timestamp() {
    let server = Server::answering(|_, request| {
        let forged = ntp(request, 1 << 40, |_| ());
        let mut datagrams = vec![request.to_vec(), Vec::new()];
        datagrams.extend((0..48).map(|length| forged[..length].to_vec()));
        let mut damage = |damage: &dyn Fn(&mut [u8])| {
            let mut damaged = forged.clone();
            damage(&mut damaged);
            datagrams.push(damaged);
        };
        (0..64).for_each(|bit| damage(&|reply| reply[24 + bit / 8] ^= 1 << (bit % 8)));
        damage(&|reply| reply[24..32].fill(0));
        for mode in [0, 1, 2, 3, 5, 6, 7] {
            damage(&|reply| reply[0] = reply[0] & !7 | mode);
        }
        damage(&|reply| reply[0] &= !0x38); // version 0
        datagrams.push(ntp(request, 0, |_| ()));
        datagrams.push(forged);
        datagrams
    });
    let line = json(&server.ntp_time(&["--json", "--deadline=5s"]), 0);
    assert!(line["offset_ms"].as_f64().unwrap().abs() < 1_000.0, "{line}");
    assert_eq!(line["transmissions"], 1);
}

#[test]
fn ntp_tells_how_far_the_clock_is_off_and_what_time_it_is() {
    // One hour ahead, half a second behind, and twenty years ahead, beyond the end of the first era in 2036.
    for seconds in [3_600.0, -0.5, 631_152_000.0] {
        let ahead = (seconds * 2_f64.powi(32)) as i64;
        let server = Server::answering(move |_, request| vec![ntp(request, ahead, |_| ())]);
        let line = json(&server.ntp_time(&["--json"]), 0);
        let (offset, delay) = (line["offset_ms"].as_f64().unwrap(), line["delay_ms"].as_f64().unwrap());
        assert!((offset - seconds * 1e3).abs() <= delay / 2.0 + 1.0, "{line}");
        assert!((0.0..1_000.0).contains(&delay), "{line}");
        let then = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() + seconds;
        let told = unix(line["time"].as_str().unwrap());
        assert!((then - told).abs() < 1.5, "{line}: {then} {told}");
        assert_eq!(line["stratum"], 2);
    }
}

/// Seconds since 1970 of a time in UTC, day by day.
fn unix(time: &str) -> f64 {
    let number = |range: std::ops::Range<usize>| time[range].parse::<u64>().unwrap();
    let leap = |year: u64| u64::from(year % 4 == 0 && year % 100 != 0 || year % 400 == 0);
    let months = |year| [31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let (year, month) = (number(0..4), number(5..7) as usize);
    let days: u64 = (1970..year).map(|year| 365 + leap(year)).sum();
    let days = days + months(year)[..month - 1].iter().sum::<u64>() + number(8..10) - 1;
    let seconds = days * 86_400 + number(11..13) * 3_600 + number(14..16) * 60;
    assert!(time.ends_with('Z') && &time[10..11] == "T" && time.len() == 27, "{time}");
    seconds as f64 + time[17..26].parse::<f64>().unwrap()
}

#[test]
fn ntp_measures_from_the_transmission_that_was_answered() {
    // The answer to the first transmission leaves after the second came.
    let mut first = None;
    let server = Server::answering(move |_, request| match &first {
        None => {
            first = Some(ntp(request, 0, |_| ()));
            Vec::new()
        }
        Some(answer) => vec![answer.clone()],
    });
    let line = json(&server.ntp_time(&["--json"]), 0);
    assert_eq!(line["transmissions"], 2);
    // It was on its way back for those 2 s and more.
    assert!((2_000.0..4_500.0).contains(&line["delay_ms"].as_f64().unwrap()), "{line}");
    let asked = server.asked();
    assert_ne!(asked[0].0[40..], asked[1].0[40..], "the same timestamp twice");
    assert_eq!((asked[0].1, &asked[0].0[..40]), (asked[1].1, &asked[1].0[..40]));
}

#[test]
fn ntp_leaves_a_server_alone_that_asks_for_it_and_says_with_which_code() {
    for (sent, told) in
        [(b"RATE", "RATE"), (b"DENY", "DENY"), (b"\x1b[2J", "\\x1b[2J"), (b"X\0\0\0", "X"), (b"\0\0\0\0", "")]
    {
        let server = Server::answering(move |_, request| {
            // As servers do: not synchronized, and no time.
            vec![ntp(request, 0, |reply| {
                (reply[0], reply[1]) = (0xe4, 0);
                reply[12..16].copy_from_slice(sent);
                reply[40..].fill(0);
            })]
        });
        let ended = server.ntp_time(&[]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.stderr.ends_with(&format!("wants to be left alone: {told}\n")), "{ended:?}");
        let line = json(&server.ntp_time(&["--json"]), 1);
        assert_eq!((&line["error"], &line["code"]), (&"kiss_of_death".into(), &told.into()));
        assert_eq!(server.asked().len(), 2, "each was sent once");
    }
}

#[test]
fn ntp_does_not_believe_a_clock_that_is_not_synchronized() {
    type Unusable = fn(&mut [u8]);
    let cases: [Unusable; 6] = [
        |reply| reply[0] |= 0xc0,
        |reply| reply[1] = 16,
        |reply| reply[1] = 255,
        |reply| reply[40..].fill(0),
        |reply| reply[32..40].fill(0),
        |reply| reply[32..].fill(0),
    ];
    for unusable in cases {
        let server = Server::answering(move |_, request| vec![ntp(request, 0, unusable)]);
        let ended = server.ntp_time(&[]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.stderr.contains("is not synchronized"), "{ended:?}");
        assert_eq!(json(&server.ntp_time(&["--json"]), 1)["error"], "unsynchronized");
    }
}

#[test]
fn ntp_believes_no_times_that_cannot_be() {
    let later = |reply: &mut [u8], at: usize, by: u64| {
        let time = u64::from_be_bytes(reply[at..at + 8].try_into().unwrap()).wrapping_add(by);
        reply[at..at + 8].copy_from_slice(&time.to_be_bytes());
    };
    // Received after it was answered: by 5 s, by one tick. Held for longer than it was under way: by an hour, by 2 s, and
    // by that from a clock that calls itself coarse beyond belief.
    for (at, by, precision, code) in [
        (32, 5 << 32, 0xe9, "received_after_transmitted"),
        (32, 1, 0xe9, "received_after_transmitted"),
        (40, 3600 << 32, 0xe9, "negative_delay"),
        (40, 2 << 32, 0xe9, "negative_delay"),
        (40, 2 << 32, 0x20, "negative_delay"),
    ] {
        let server = Server::answering(move |_, request| {
            vec![ntp(request, 0, |reply| {
                reply[3] = precision;
                later(reply, at, by);
            })]
        });
        let ended = server.ntp_time(&[]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.stderr.contains(&format!("times that cannot be: {}", code.replace('_', " "))), "{ended:?}");
        let line = json(&server.ntp_time(&["--json"]), 1);
        assert_eq!((&line["error"], &line["code"]), (&"impossible".into(), &code.into()));
    }
}

#[test]
fn ntp_takes_a_coarse_clock_that_ticks_once_between_for_no_delay() {
    let server = Server::answering(|_, request| {
        vec![ntp(request, 0, |reply| {
            reply[3] = 0xfa; // 1/64 s
            let tick = u64::from_be_bytes(reply[40..].try_into().unwrap()) + (1 << 26);
            reply[40..].copy_from_slice(&tick.to_be_bytes());
        })]
    });
    let line = json(&server.ntp_time(&["--json"]), 0);
    assert!((0.0..1_000.0).contains(&line["delay_ms"].as_f64().unwrap()), "{line}");
}

/// A server of stratum 2 whose clock is ahead by so much; then changed.
pub(crate) fn ntp(request: &[u8], ahead: i64, change: impl Fn(&mut [u8])) -> Vec<u8> {
    let now = ntp_now().wrapping_add_signed(ahead).to_be_bytes();
    let mut reply = [&[0x24, 2, 6, 0xe9][..], &[0; 8], &[192, 0, 2, 1], &now, &request[40..48], &now, &now].concat();
    change(&mut reply);
    reply
}

fn ntp_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seconds = since.as_secs() + 2_208_988_800;
    (seconds << 32) + (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000
}
