//! Copies and damage.

use udp_retry::fault::{MtuClamp, Oversize, Rule};
use udp_retry::size::{Plpmtu, Pmtu};
use udp_retry::time::Timestamp;
use udp_retry::transport::{PathError, PathIndex, Transport};
use udp_retry::{Impairments, LossySink, Seed};

use super::{delay, echo, heard, replies, requests, script, sent};
use crate::offers::Offers;
use crate::scripted::{Back, START, Scripted, at_ms, ms};
use crate::waits::Waits;

#[test]
fn copies_and_damage_are_the_links() {
    let rules = [
        (1, Rule::Duplicate { after: ms(7) }),
        (1, Rule::Corrupt { copy: 1, bit: 8 }),
        (2, Rule::Truncate { copy: 0, to: 2 }),
        (3, Rule::Corrupt { copy: 0, bit: 0 }),
    ];
    let harmed = [(0, b"abcd".to_vec()), (0, b"ab".to_vec()), (0, b"\xe1bcd".to_vec()), (7, b"a\xe2cd".to_vec())];
    let mut sink = LossySink::at_client(Scripted::silent(), requests(script(rules)), Seed::new(1));
    for _ in 0..3 {
        sink.send(PathIndex::FIRST, b"abcd").unwrap();
    }
    sink.flush().unwrap();
    let left: Vec<_> = sink.get_ref().sent.iter().map(|sent| (millis(sent.at), sent.payload.clone())).collect();
    assert_eq!(left, harmed);

    let mut sink = LossySink::at_client(Scripted::silent(), replies(script(rules)), Seed::new(1));
    for _ in 0..3 {
        sink.get_mut().inject(at_ms(0), Back::Datagram(b"abcd".to_vec()));
    }
    let mut buffer = [0; 64];
    let mut heard = Vec::new();
    while let Some(received) = sink.wait(&mut buffer, at_ms(50)).unwrap() {
        assert_eq!(received.actual, received.len);
        heard.push((millis(received.at), buffer[..received.len].to_vec()));
    }
    assert_eq!(heard, harmed);
}

#[test]
fn a_buffer_too_small_is_told_the_true_length_however_late_the_datagram_is() {
    let mut sink = LossySink::at_client(echo(), replies(delay(ms(5))), Seed::new(1));
    sink.send(PathIndex::FIRST, b"abcdef").unwrap();
    let mut small = [0; 4];
    let received = sink.wait(&mut small, at_ms(50)).unwrap().unwrap();
    assert_eq!((received.len, received.actual, &small), (4, 6, b"abcd"));
    sink.send(PathIndex::FIRST, b"abcdef").unwrap();
    assert_eq!(sink.wait(&mut [0; 64], at_ms(7)), Ok(None));
    let received = sink.wait(&mut small[..2], at_ms(50)).unwrap().unwrap();
    assert_eq!((received.len, received.actual), (2, 6));

    // What the path cut off is gone, whatever the buffer cuts off besides.
    let cut = script([(1, Rule::Truncate { copy: 0, to: 3 }), (2, Rule::Truncate { copy: 0, to: 5 })]);
    let mut sink = LossySink::at_client(echo(), replies(cut), Seed::new(1));
    for (len, actual) in [(3, 3), (4, 5)] {
        sink.send(PathIndex::FIRST, b"abcdef").unwrap();
        let received = sink.wait(&mut small, at_ms(50)).unwrap().unwrap();
        assert_eq!((received.len, received.actual), (len, actual));
    }
}

#[test]
fn what_is_too_big_for_the_path_is_an_error_of_the_send_and_of_nothing_else() {
    let clamp = |oversize| Impairments::NONE.with_mtu(MtuClamp::new(Pmtu::new(1400), oversize)).unwrap();
    let mut sink = LossySink::new(echo(), clamp(Oversize::Error), Seed::new(1));
    let limit = Some(Plpmtu::new(1372));
    assert_eq!(sink.send(PathIndex::FIRST, &[0; 1373]), Err(PathError::too_big(limit)));
    assert_eq!(sink.offer(PathIndex::FIRST, &[0; 1373]), Err(PathError::too_big(limit)), "the same datagram");
    assert_eq!(sent(&sink).fates.dropped.mtu, 1);
    assert_eq!(sink.wait(&mut [0; 8], at_ms(0)), Ok(None));
    assert_eq!(sink.offer(PathIndex::FIRST, &[0; 1373]), Err(PathError::too_big(limit)), "another one");
    assert_eq!(sink.send(PathIndex::FIRST, &[0; 1372]), Ok(()));
    assert_eq!((sent(&sink).fates.dropped.mtu, sent(&sink).passed), (2, 1));
    sink.get_mut().inject(at_ms(0), Back::Datagram(vec![0; 1500]));
    let received = sink.wait(&mut [0; 2000], at_ms(10)).unwrap().unwrap();
    assert_eq!(received.len, 1372, "nobody here sent the other one");
    assert_eq!(heard(&sink).fates.dropped.mtu, 1);
    let mut quiet = LossySink::new(echo(), clamp(Oversize::Drop), Seed::new(1));
    assert_eq!(quiet.send(PathIndex::FIRST, &[0; 1373]), Ok(()));
}

fn millis(at: Timestamp) -> u64 {
    at.since(START).as_nanos() as u64 / 1_000_000
}
