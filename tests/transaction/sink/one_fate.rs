//! A datagram that is offered again is the same datagram; what is its own outcome, and what is another's.

use std::collections::VecDeque;

use udp_retry::fault::{Duplicate, Link, Record};
use udp_retry::time::Timestamp;
use udp_retry::transport::{Incoming, NoEntropy, PathError, Received, Renewal, Renewed, Transport};
use udp_retry::{Impairments, LossySink, Seed};

use super::{assert_balanced, delay, heard, probability, replies, requests, sent};
use crate::scripted::{START, at_ms, ms};

use std::sync::{Arc, Mutex};
use udp_retry::fault::{Direction, Profile};

#[test]
fn one_datagram_meets_one_fate_however_often_it_is_offered() {
    let impairments: Impairments =
        "mtu 1400 error; loss 30%; duplicate 30% late 2ms ~2ms; truncate 20%; corrupt 20%; reorder 10% by 3ms"
            .parse()
            .unwrap();
    for failures in 0..=8 {
        let seed = Seed::new(failures);
        let mut link = Link::new(impairments.clone(), Direction::ToServer.link_seed(seed, 0));
        let records = Arc::new(Mutex::new(Vec::new()));
        let seen = records.clone();
        let observer = move |_: u32, record: &Record| seen.lock().unwrap().push(record.fate);
        let mut sink = LossySink::at_client(Faulty::new(), requests(impairments.clone()), seed).observed(observer);
        for n in 0..300_u64 {
            // All the same bytes, every tenth time more than the path takes.
            let datagram = vec![7; if n % 10 == 9 { 1400 } else { 40 }];
            let expected = link.transmit(sink.now(), &datagram);
            sink.get_mut().fail(failures as usize, PathError::Refused);
            let mut offers = 0;
            while let Err(error) = sink.send(1, &datagram) {
                offers += 1;
                if let PathError::TooBig { .. } = error {
                    assert_eq!(error, sink.send(1, &datagram).unwrap_err(), "it fits no better the second time");
                    break;
                }
                assert_eq!(error, PathError::Refused);
                assert!(offers <= 8, "more failures than there were");
            }
            sink.get_mut().outcomes.clear();
            let met = records.lock().unwrap();
            assert_eq!((met.len() as u64, met.last()), (n + 1, Some(&expected)), "{failures} failures, datagram {n}");
            drop(met);
            assert_balanced(&sent(&sink));
            // A wait: what follows is another datagram.
            assert!(matches!(look(&mut sink), Incoming::TimeUp(_) | Incoming::PathError { .. }));
        }
        let until = sink.now().after(ms(100));
        while !matches!(sink.recv(&mut [0; 8], at_ms(0), until), Incoming::TimeUp(_)) {}
        let stats = sent(&sink);
        assert_eq!((stats.fates, stats.failed, stats.in_flight), (*link.stats(), 0, 0), "{failures} failures");
        assert_eq!(sink.get_ref().left.len() as u64, stats.passed);
    }
}

#[test]
fn the_same_bytes_are_another_datagram_after_a_wait_a_flush_a_renewal_other_bytes_and_another_peer() {
    let offered_in_vain = |sink: &mut LossySink<Faulty>| {
        sink.get_mut().fail(1, PathError::Denied);
        assert_eq!(sink.send(1, b"x"), Err(PathError::Denied));
    };
    let mut sink = LossySink::at_client(Faulty::new(), requests(Impairments::NONE), Seed::new(1));
    offered_in_vain(&mut sink);
    sink.send(1, b"x").unwrap();
    assert_eq!((sent(&sink).fates.received, sent(&sink).failed), (1, 0), "the same");

    offered_in_vain(&mut sink);
    look(&mut sink);
    sink.send(1, b"x").unwrap();
    assert_eq!((sent(&sink).fates.received, sent(&sink).failed), (3, 1), "after a wait");

    offered_in_vain(&mut sink);
    sink.send(2, b"x").unwrap();
    sink.send(1, b"x").unwrap();
    assert_eq!((sent(&sink).fates.received, sent(&sink).failed), (6, 2), "after another peer");

    offered_in_vain(&mut sink);
    sink.send(1, b"y").unwrap();
    sink.send(1, b"x").unwrap();
    assert_eq!((sent(&sink).fates.received, sent(&sink).failed), (9, 3), "after other bytes");

    offered_in_vain(&mut sink);
    sink.flush().unwrap();
    sink.send(1, b"x").unwrap();
    assert_eq!((sent(&sink).fates.received, sent(&sink).failed), (11, 4), "after a flush");

    offered_in_vain(&mut sink);
    sink.renew(1, Renewal::Required).unwrap();
    sink.send(1, b"x").unwrap();
    assert_eq!((sent(&sink).fates.received, sent(&sink).failed), (13, 5), "from a fresh port");

    sink.send(1, b"x").unwrap();
    assert_eq!(sent(&sink).fates.received, 14, "and one that left is done with");
    assert_balanced(&sent(&sink));
}

#[test]
fn a_send_reports_what_became_of_the_datagram_and_not_of_its_copy() {
    let twice = Impairments::NONE.with_duplicate(Duplicate::new(probability(1.0)));
    let mut sink = LossySink::at_client(Faulty::new(), requests(twice), Seed::new(1));

    // The copy alone fails, and again when it is issued once more.
    sink.get_mut().outcomes.extend([Ok(()), Err(PathError::NoBuffers), Err(PathError::Denied)]);
    assert_eq!(sink.send(1, b"a"), Ok(()));
    assert_eq!((sink.get_ref().payloads(), sent(&sink).passed, sent(&sink).failed), (vec![b"a".to_vec()], 1, 1));
    assert_eq!(look(&mut sink), path_error(PathError::Denied), "news of the copy");
    assert!(matches!(look(&mut sink), Incoming::TimeUp(_)), "once");

    // What the copy's first send took off the socket was an earlier datagram's.
    sink.get_mut().outcomes.extend([Ok(()), Err(PathError::Refused), Ok(())]);
    assert_eq!(sink.send(1, b"b"), Ok(()));
    assert_eq!((sink.get_ref().left.len(), sent(&sink).passed, sent(&sink).failed), (3, 3, 1));
    assert_eq!(look(&mut sink), path_error(PathError::Refused));

    // The datagram itself fails: nothing of it has left, neither it nor the copy.
    sink.get_mut().fail(1, PathError::NoBuffers);
    assert_eq!(sink.send(1, b"c"), Err(PathError::NoBuffers));
    assert_eq!((sink.get_ref().left.len(), sent(&sink).failed), (3, 3));
    assert_eq!(sink.send(1, b"c"), Ok(()));
    assert_eq!((sink.get_ref().left.len(), sent(&sink).passed, sent(&sink).failed), (5, 5, 1));
    assert!(matches!(look(&mut sink), Incoming::TimeUp(_)), "the sender was told");
    assert_balanced(&sent(&sink));
}

#[test]
fn every_copy_is_accounted_for_after_every_step() {
    const PAYLOADS: [&[u8]; 3] = [b"", b"x", b"another"];
    let bad = "mtu 1400 error; loss 20%; duplicate 40% late 3ms ~3ms; reorder 10% by 5ms";
    let (mut failed, mut kept) = (0, 0);
    for seed in 0..300 {
        let chance = Seed::new(seed);
        // Without a delay a send fails at once, with one it fails later.
        let delay = if seed % 2 == 0 { "" } else { "; delay 1ms ~1ms" };
        let impairments: Impairments = format!("{bad}{delay}").parse().unwrap();
        let mut sink = LossySink::at_client(Faulty::new(), Profile::both(impairments), chance.derive(9));
        for step in 0..100 {
            let of = |label: u64, most: u64| chance.derive(label).draw(step) % most;
            let outcome = [Ok(()), Err(PathError::Refused), Err(PathError::NoBuffers)][of(1, 3) as usize];
            sink.get_mut().outcomes.extend((0..of(2, 3)).map(|_| outcome));
            match of(3, 10) {
                0..=5 => {
                    let large = [0; 2000];
                    let payload = if of(4, 8) == 0 { &large[..] } else { PAYLOADS[of(5, 3) as usize] };
                    let refused = sink.send(of(6, 2) as u32, payload).is_err();
                    kept += u64::from(refused && payload.len() < 1000);
                }
                6 => {
                    let at = sink.now().after(ms(of(4, 3)));
                    sink.get_mut().inbox.push_back((at, of(5, 2) as u32));
                }
                7 => {
                    let until = sink.now().after(ms(of(4, 6)));
                    let now = sink.now();
                    sink.recv(&mut [0; 8], now, until);
                }
                8 => drop(sink.renew(1, Renewal::Required)),
                _ => drop(sink.flush()),
            }
            assert_balanced(&sent(&sink));
            assert_balanced(&heard(&sink));
        }
        failed += sent(&sink).failed;
    }
    assert!(failed > 1000 && kept > 1000, "{failed} copies failed, {kept} datagrams were refused: too few");
}

#[test]
fn flush_gives_a_cancellation_back() {
    let mut sink = LossySink::at_client(Faulty::new(), requests(delay(ms(20))), Seed::new(1));
    sink.send(1, b"x").unwrap();
    sink.get_mut().cancelled = true;
    assert_eq!((sink.flush(), sink.now()), (Ok(()), START), "it ends the wait");
    assert_eq!(sink.send(1, b"y"), Err(PathError::Cancelled));
    assert_eq!(look(&mut sink), Incoming::Cancelled);
    assert!(matches!(look(&mut sink), Incoming::TimeUp(_)), "once");
    assert_eq!(sink.flush(), Ok(()));
    assert_eq!(sink.get_ref().left, [(at_ms(20), 1, b"x".to_vec())], "what was on its way is still sent off");
    assert_eq!(sent(&sink).fates.received, 1, "and what was refused met no fate");
}

#[test]
fn what_is_on_its_way_survives_a_cancellation() {
    let mut sink = LossySink::at_client(Faulty::new(), requests(delay(ms(20))), Seed::new(1));
    sink.send(1, b"x").unwrap();
    sink.get_mut().now = at_ms(25);
    sink.get_mut().cancelled = true;
    // It is due, and nothing leaves until a wait has taken the cancellation. What a sink delays looks sent all the same.
    sink.send(1, b"y").unwrap();
    assert_eq!((sink.get_ref().left.len(), sent(&sink).in_flight, sent(&sink).failed), (0, 2, 0));
    assert_balanced(&sent(&sink));
    assert_eq!(look(&mut sink), Incoming::Cancelled);
    assert_eq!((sink.get_ref().left.len(), sent(&sink).in_flight), (0, 2));
    assert!(matches!(look(&mut sink), Incoming::TimeUp(_)));
    assert_eq!(sink.flush(), Ok(()));
    assert_eq!(sink.get_ref().left, [(at_ms(25), 1, b"x".to_vec()), (at_ms(45), 1, b"y".to_vec())]);
    assert_balanced(&sent(&sink));

    // What is not delayed is refused, and is the same datagram afterwards, if it comes before another wait.
    let mut sink = LossySink::at_client(Faulty::new(), replies(delay(ms(20))), Seed::new(1));
    sink.get_mut().cancelled = true;
    assert_eq!(sink.send(1, b"x"), Err(PathError::Cancelled));
    assert_eq!((look(&mut sink), sink.send(1, b"x")), (Incoming::Cancelled, Ok(())));
    assert_balanced(&sent(&sink));
}

/// A transport whose sends succeed or fail as the test says.
#[derive(Debug)]
struct Faulty {
    now: Timestamp,
    /// Of the next sends; the rest succeed.
    outcomes: VecDeque<Result<(), PathError>>,
    left: Vec<(Timestamp, u32, Vec<u8>)>,
    /// What comes, by when and from whom.
    inbox: VecDeque<(Timestamp, u32)>,
    cancelled: bool,
}

impl Faulty {
    fn new() -> Self {
        Self { now: START, outcomes: VecDeque::new(), left: Vec::new(), inbox: VecDeque::new(), cancelled: false }
    }

    fn fail(&mut self, times: usize, error: PathError) {
        self.outcomes.extend((0..times).map(|_| Err(error)));
    }

    fn payloads(&self) -> Vec<Vec<u8>> {
        self.left.iter().map(|(.., payload)| payload.clone()).collect()
    }
}

impl Transport for Faulty {
    type Peer = u32;

    fn now(&self) -> Timestamp {
        self.now
    }

    fn send(&mut self, to: u32, datagram: &[u8]) -> Result<(), PathError> {
        if self.cancelled {
            return Err(PathError::Cancelled);
        }
        self.outcomes.pop_front().unwrap_or(Ok(()))?;
        self.left.push((self.now, to, datagram.to_vec()));
        Ok(())
    }

    fn recv(&mut self, _buffer: &mut [u8], _now: Timestamp, until: Timestamp) -> Incoming<u32> {
        if std::mem::take(&mut self.cancelled) {
            return Incoming::Cancelled;
        }
        match self.inbox.front() {
            Some(&(at, from)) if at <= until.max(self.now) => {
                self.inbox.pop_front();
                self.now = self.now.max(at);
                Incoming::Datagram(Received::new(from, 0, 0, at))
            }
            _ => {
                self.now = self.now.max(until);
                Incoming::TimeUp(self.now)
            }
        }
    }

    fn renew(&mut self, _path: u32, _need: Renewal) -> Result<Renewed, PathError> {
        Ok(Renewed::FreshPort)
    }

    fn entropy(&mut self, _key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        Err(NoEntropy::new())
    }
}

/// What a wait that has ended already finds.
fn look(sink: &mut LossySink<Faulty>) -> Incoming<u32> {
    let now = sink.now();
    sink.recv(&mut [0; 8], now, now)
}

fn path_error(error: PathError) -> Incoming<u32> {
    Incoming::PathError { path: None, error, quoted: 0 }
}
