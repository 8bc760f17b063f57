//! `dns_lookup` as people run it, against servers that answer wrong, late, twice, in pieces, with an error, or not at all.

use crate::server::{Server, json};

#[test]
fn a_name_of_255_bytes_is_asked_for_and_one_with_a_dot_at_its_end_is_the_same() {
    let long = ["x".repeat(63), "y".repeat(63), "z".repeat(63), "w".repeat(61)].join(".");
    for name in [&long, &format!("{long}.")] {
        let server = Server::answering(|_, query| vec![dns(query, 0, &[])]);
        assert_eq!(server.dns_lookup(&[name]).code, Some(0));
        let asked = server.asked();
        assert_eq!((asked.len(), asked[0].0.len()), (2, 12 + 255 + 4));
    }
}

#[test]
fn dns_asks_for_both_addresses_each_with_an_id_and_a_port_of_its_own() {
    let mut ids = Vec::new();
    for _ in 0..8 {
        let server = Server::answering(|_, query| vec![dns(query, 0, &[])]);
        assert_eq!(server.dns_lookup(&["host.example.test"]).code, Some(0));
        let asked = server.asked();
        for ((query, _), kind) in asked.iter().zip([1, 28]) {
            let expected =
                [b"\x01\0\0\x01\0\0\0\0\0\0\x04host\x07example\x04test\0\0".as_slice(), &[kind, 0, 1]].concat();
            assert_eq!(query[2..], expected);
            ids.push(query[..2].to_vec());
        }
        assert_eq!(asked.len(), 2);
        assert_ne!(asked[0].1, asked[1].1, "from the same port");
    }
    let drawn = ids.len();
    ids.sort_unstable();
    ids.dedup();
    // Of 16 ids two are alike once in 550 runs, four once in 600,000.
    assert!(ids.len() >= drawn - 2, "{ids:02x?}");
}

#[test]
fn dns_takes_no_datagram_but_the_answer_to_its_question() {
    let server = Server::answering(|_, query| {
        let v4 = query[query.len() - 3] == 1;
        let forged = dns(query, 0, &[if v4 { a([192, 0, 2, 66]) } else { aaaa(66) }]);
        let mut datagrams = vec![query.to_vec(), Vec::new()];
        datagrams.extend((1..query.len()).map(|length| forged[..length].to_vec()));
        datagrams.push(forged[..forged.len() - 1].to_vec());
        let mut damage = |at: usize, flip: u8| {
            let mut damaged = forged.clone();
            damaged[at] ^= flip;
            datagrams.push(damaged);
        };
        (0..16).for_each(|bit| damage(bit / 8, 1 << (bit % 8))); // the id
        damage(2, 0x80); // not a response
        damage(2, 0x10); // to another operation
        damage(5, 3); // two questions
        damage(13, 1); // another name
        damage(query.len() - 3, 29); // the other type
        damage(query.len() - 1, 2); // another class
        datagrams.push(looping(query));
        datagrams.push(dns(query, 0, &[if v4 { a([192, 0, 2, 7]) } else { aaaa(7) }]));
        // Too late, and wrong: the first answer counts.
        datagrams.push(forged);
        datagrams
    });
    let line = json(&server.dns_lookup(&["host.test", "--json", "--deadline=5s"]), 0);
    assert_eq!(line["answers"][0]["addresses"], serde_json::json!(["192.0.2.7"]));
    assert_eq!(line["answers"][1]["addresses"], serde_json::json!(["2001:db8::7"]));
    assert_eq!(line["answers"][0]["transmissions"], 1);
}

#[test]
fn dns_counts_what_answers_nothing_and_gives_up_in_time() {
    type Wrong = fn(&[u8]) -> Vec<u8>;
    let wrong_id: Wrong = |query| dns(&[&[query[0] ^ 1], &query[1..]].concat(), 0, &[a([192, 0, 2, 66])]);
    let wrong_question: Wrong = |query| {
        let mut other = query.to_vec();
        other[13] ^= 1;
        dns(&other, 0, &[a([192, 0, 2, 66])])
    };
    let cut: Wrong = |query| dns(query, 0, &[a([192, 0, 2, 66])])[..query.len() + 10].to_vec();
    let short_address: Wrong =
        |query| dns(query, 0, &[[&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 3][..], &[1; 3]].concat()]);
    for wrong in [wrong_id, wrong_question, cut, short_address, looping, |query| query.to_vec(), |_| Vec::new()] {
        let server = Server::answering(move |_, query| vec![wrong(query); 3]);
        let ended = server.dns_lookup(&["host.test", "--deadline", "300ms"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        assert_eq!(ended.stderr.matches("bytes that answer nothing").count(), 3, "{ended:?}");
        let told = format!("error: {}: no reply within the deadline (1 transmission, ", server.address);
        assert!(ended.stderr.contains(&told), "{ended:?}");
    }
}

#[test]
fn dns_takes_an_answer_whose_name_is_written_in_another_case() {
    let server = Server::answering(|_, query| {
        let upper = [&query[..12], &query[12..].to_ascii_uppercase()].concat();
        vec![dns(&upper, 0, &[])]
    });
    let ended = server.dns_lookup(&["host.test"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn dns_prints_an_error_code_as_the_reply_that_it_is() {
    for (code, name) in [(1, "FORMERR"), (2, "SERVFAIL"), (3, "NXDOMAIN"), (5, "REFUSED"), (9, "RCODE9")] {
        let server = Server::answering(move |_, query| vec![dns(query, code, &[])]);
        let ended = server.dns_lookup(&["host.test"]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stdout.contains(&format!("  A: {name} (transmissions: 1")), "{ended:?}");
        assert_eq!(ended.stderr, format!("error: the server answers {name}\n"));
        let line = json(&server.dns_lookup(&["host.test", "--json"]), 1);
        assert_eq!((&line["answers"][0]["rcode"], &line["answers"][1]["rcode"]), (&name.into(), &name.into()));
    }
}

#[test]
fn dns_says_that_an_answer_is_truncated_and_prints_what_came() {
    let server = Server::answering(|_, query| {
        let kind = query[query.len() - 3];
        let mut answer =
            if kind == 1 { dns(query, 0, &[a([192, 0, 2, 7]), a([192, 0, 2, 8])]) } else { dns(query, 0, &[]) };
        answer[2] |= 2;
        // In the middle of the second record.
        if kind == 1 {
            answer.truncate(answer.len() - 2);
        }
        vec![answer]
    });
    let ended = server.dns_lookup(&["host.test"]);
    assert!(ended.stdout.contains("A: NOERROR, truncated"), "{ended:?}");
    let line = json(&server.dns_lookup(&["host.test", "--json"]), 0);
    assert_eq!(line["answers"][0]["truncated"], true);
    assert_eq!(line["answers"][0]["addresses"], serde_json::json!(["192.0.2.7"]));
}

#[test]
fn dns_follows_pointers_and_writes_no_byte_of_a_name_that_a_terminal_obeys() {
    let server = Server::answering(|_, query| {
        // An alias "a.<escape>[2J" and the question's name behind it.
        let alias = b"\xc0\x0c\0\x05\0\x01\0\0\x01\x2c\0\x09\x01a\x04\x1b[2J\xc0\x0c".as_slice();
        vec![dns(query, 0, &[alias.to_vec(), a([192, 0, 2, 7])])]
    });
    let ended = server.dns_lookup(&["host.test"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("host.test. is a.\\027[2J.host.test.  (300 s)"), "{ended:?}");
    assert!(!ended.stdout.contains('\u{1b}'), "{ended:?}");
}

#[test]
fn dns_sends_the_same_query_again_until_it_is_answered() {
    let server = Server::answering(|n, query| if n == 0 { Vec::new() } else { vec![dns(query, 0, &[])] });
    let line = json(&server.dns_lookup(&["host.test", "--json"]), 0);
    assert_eq!(line["answers"][0]["transmissions"], 2);
    assert!((2000.0..3500.0).contains(&line["answers"][0]["elapsed_ms"].as_f64().unwrap()), "{line}");
    let asked = server.asked();
    assert_eq!((asked.len(), &asked[0]), (3, &asked[1]));
}

#[test]
fn dns_takes_an_error_without_a_question_if_it_has_the_id_and_a_code() {
    // FORMERR as servers send it that cannot read the query, and NOTIMP with an OPT record.
    let cases: [(&[u8], &str); 4] = [
        (b"\x81\x81\0\0\0\0\0\0\0\0", "FORMERR"),
        (b"\x80\x05\0\0\0\0\0\0\0\0", "REFUSED"),
        (b"\x81\x84\0\0\0\0\0\0\0\x01\0\0\x29\x02\0\0\0\0\0\0\0", "NOTIMP"),
        // Records of no question are no one's.
        (b"\x81\x82\0\0\0\x01\0\0\0\0\xc0", "SERVFAIL"),
    ];
    for (rest, code) in cases {
        let server = Server::answering(move |_, query| {
            let without_code = [&query[..2], &[0x81, 0x80, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
            let to_another = [&[query[0] ^ 1, query[1]], rest].concat();
            let mut no_response = [&query[..2], rest].concat();
            no_response[2] &= 0x7f;
            let short = [&query[..2], &rest[..9]].concat();
            vec![without_code, to_another, no_response, short, [&query[..2], rest].concat()]
        });
        let line = json(&server.dns_lookup(&["host.test", "--json", "--deadline=2s"]), 1);
        for answer in [&line["answers"][0], &line["answers"][1]] {
            assert_eq!((&answer["rcode"], &answer["transmissions"]), (&code.into(), &1.into()), "{line}");
            assert_eq!(answer["addresses"], serde_json::json!([]), "{line}");
        }
    }
}

#[test]
fn dns_takes_only_addresses_of_the_type_and_the_name_that_were_asked_for() {
    let named = |owner: &[u8], record: Vec<u8>| [owner, &record[2..]].concat();
    let alias =
        |owner: &[u8], target: &[u8]| [owner, b"\0\x05\0\x01\0\0\x01\x2c\0", &[target.len() as u8], target].concat();
    let records = move |v4: bool| {
        let [ours, theirs]: [fn(u8) -> Vec<u8>; 2] = if v4 { [a_of, aaaa] } else { [aaaa, a_of] };
        vec![
            // Before the aliases that lead to it.
            named(b"\x04LAST\x04test\0", ours(3)),
            named(b"\x04evil\x07example\0", ours(66)),
            alias(b"\xc0\x0c", b"\x04next\x04test\0"),
            // Not on the way, and a way that leads back.
            alias(b"\x04side\x04test\0", b"\x04evil\x07example\0"),
            alias(b"\x04last\x04test\0", b"\x04host\x04test\0"),
            alias(b"\x04NEXT\x04Test\0", b"\x04Last\x04test\0"),
            ours(1),
            theirs(67),
            named(b"\x03sub\xc0\x0c", ours(68)),
        ]
    };
    let server = Server::answering(move |_, query| vec![dns(query, 0, &records(query[query.len() - 3] == 1))]);
    let line = json(&server.dns_lookup(&["host.test", "--json"]), 0);
    assert_eq!(line["answers"][0]["addresses"], serde_json::json!(["192.0.2.3", "192.0.2.1"]), "{line}");
    assert_eq!(line["answers"][1]["addresses"], serde_json::json!(["2001:db8::3", "2001:db8::1"]), "{line}");
    let ended = server.dns_lookup(&["HOST.test"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for never in ["66", "67", "68", "evil", "side"] {
        assert!(!ended.stdout.replace(&server.address.to_string(), "").contains(never), "{never}: {ended:?}");
    }
    assert_eq!(ended.stdout.matches("which were not asked for: 5)").count(), 2, "{ended:?}");
}

#[test]
fn dns_an_answer_with_nothing_but_others_has_no_address() {
    for records in [
        // Of another owner; the other type for AAAA.
        |_: bool| vec![[&b"\x04evil\x07example\0"[..], &a_of(66)[2..]].concat()],
        |v4: bool| if v4 { Vec::new() } else { vec![a_of(66)] },
    ] {
        let server = Server::answering(move |_, query| vec![dns(query, 0, &records(query[query.len() - 3] == 1))]);
        let line = json(&server.dns_lookup(&["host.test", "--json"]), 0);
        assert!((0..2).all(|n| line["answers"][n]["addresses"] == serde_json::json!([])), "{line}");
    }
}

#[test]
fn dns_one_question_that_fails_does_not_hide_the_other() {
    type Fault = fn(&[u8]) -> Vec<Vec<u8>>;
    let faults: [(Fault, &str, &str); 2] =
        [(|_| Vec::new(), "error", "timed_out"), (|query| vec![dns(query, 2, &[])], "rcode", "SERVFAIL")];
    for (fault, key, told) in faults {
        for bad in [1, 28] {
            let server = Server::answering(move |_, query| match query[query.len() - 3] {
                kind if kind == bad => fault(query),
                1 => vec![dns(query, 0, &[a_of(7)])],
                _ => vec![dns(query, 0, &[aaaa(7)])],
            });
            let arguments = ["host.test", "--deadline", "300ms"];
            let line = json(&server.dns_lookup(&[&arguments[..], &["--json"]].concat()), 1);
            let [good, bad_one] = if bad == 28 { [0, 1] } else { [1, 0] };
            let address = ["192.0.2.7", "2001:db8::7"][good];
            assert_eq!(line["answers"][good]["addresses"], serde_json::json!([address]), "{line}");
            let failed = &line["answers"][bad_one];
            assert_eq!((&failed[key], &failed["type"]), (&told.into(), &["A", "AAAA"][bad_one].into()), "{line}");
            assert_eq!(failed["transmissions"], 1, "{line}");
            let ended = server.dns_lookup(&arguments);
            assert_eq!(ended.code, Some(1), "{ended:?}");
            assert!(ended.stdout.contains(address) && ended.stderr.contains("error: "), "{ended:?}");
        }
    }
}

/// The answer to a query: its header, its question, and these records.
pub(crate) fn dns(query: &[u8], code: u8, records: &[Vec<u8>]) -> Vec<u8> {
    let header = [&query[..2], &[0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]].concat();
    [header, query[12..].to_vec(), records.concat()].concat()
}

fn a(address: [u8; 4]) -> Vec<u8> {
    [&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4][..], &address].concat()
}

fn a_of(last: u8) -> Vec<u8> {
    a([192, 0, 2, last])
}

fn aaaa(last: u8) -> Vec<u8> {
    let address = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    [&[0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 60, 0, 16][..], &address].concat()
}

/// The answer's name points to itself.
fn looping(query: &[u8]) -> Vec<u8> {
    let mut record = a([192, 0, 2, 66]);
    record[1] = query.len() as u8;
    dns(query, 0, &[record])
}
