//! Paths that are not probed, far ends that are not there, and what is forged.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::path_mtu::{
    EchoFormat, Evidence, ProbeError, ProbeTransport, answer_probe, probe_path, probe_path_with,
};
use udp_retry::pmtu::SearchSettings;
use udp_retry::sim::SimTransport;
use udp_retry::size::{IpFamily, Plpmtu, Pmtu};
use udp_retry::time::Timestamp;
use udp_retry::transport::{
    Fragmentation, Incoming, NoEntropy, PathError, PathIndex, Received, Renewal, Renewed, Transport,
};

use crate::network::{FAMILIES, Network, address};
use crate::watchdog::{MINUTE, within};

const ANY: usize = usize::MAX;

#[test]
fn where_datagrams_may_be_fragmented_no_answer_proves_a_size() {
    for family in FAMILIES {
        for mode in [Fragmentation::ByEstimate, Fragmentation::Allowed, Fragmentation::Forbidden] {
            let mut network = Network::new(family, "delay 20ms; mtu 1400 report", "delay 20ms", 1).respond(ANY, None);
            network.transport.set_fragmentation(mode);
            match network.probe(&EchoFormat::new()) {
                Ok(found) => {
                    assert_eq!(mode, Fragmentation::Forbidden);
                    assert_eq!(network.packet(found.forward), Some(1400), "{found:?}");
                }
                Err(ProbeError::Fragmenting { mode: refused, .. }) => assert_eq!(refused, mode),
                Err(error) => panic!("{mode:?}: {error}"),
            }
        }
    }
}

#[test]
fn settings_are_for_the_family_of_the_path_and_have_room_for_a_header() {
    let mut network = Network::new(IpFamily::V4, "none", "none", 1).respond(ANY, None);
    let mut probe =
        |settings| probe_path_with(&mut network.transport, PathIndex::FIRST, &EchoFormat::new(), settings, |_| {});
    let other = probe(SearchSettings::new(IpFamily::V6));
    assert!(matches!(other, Err(ProbeError::OtherFamily { family: IpFamily::V4, .. })), "{other:?}");
    for (least, fits) in [(21, false), (22, true)] {
        let size = Plpmtu::new(least);
        let found = probe(SearchSettings::new(IpFamily::V4).with_sizes(size, size, size).unwrap());
        assert_eq!(found.is_ok_and(|it| it.forward == Some(size)), fits, "{least}");
    }
    let nowhere = PathIndex::new(1);
    let settings = SearchSettings::new(IpFamily::V4);
    let found = probe_path_with(&mut network.transport, nowhere, &EchoFormat::new(), settings, |_| {});
    assert_eq!(found, Err(ProbeError::NoSuchPath));
}

#[test]
fn a_far_end_that_is_not_there_is_said_to_be_unanswered() {
    for family in FAMILIES {
        // No one listens: the host says so after a round trip.
        let mut network = Network::new(family, "delay 20ms", "delay 20ms", 1);
        let found = network.probe(&EchoFormat::new()).unwrap();
        assert_eq!((found.forward, found.evidence, found.probes, found.lost), (None, Evidence::Unanswered, 1, 0));
        assert_eq!(found.took, Duration::from_millis(40));
        // Someone listens and does not answer.
        let mut network = Network::new(family, "delay 20ms", "delay 20ms", 1).serve(|_| None);
        let found = network.probe(&EchoFormat::new()).unwrap();
        assert_eq!((found.forward, found.evidence), (None, Evidence::Unanswered), "{found:?}");
        assert!((3..=16).contains(&found.lost) && found.took <= Duration::from_secs(16), "{found:?}");
    }
}

#[test]
fn the_refusal_of_an_earlier_request_says_nothing_of_the_responder() {
    let mut network = Network::new(IpFamily::V4, "delay 20ms", "delay 20ms", 1);
    network.transport.send(PathIndex::FIRST, b"anyone?").unwrap();
    network.net.run_until(network.net.now().after(Duration::from_millis(50)));
    let mut network = network.respond(ANY, Some(1500));
    let found = network.probe(&EchoFormat::new()).unwrap();
    assert_eq!(network.packet(found.forward), Some(1500), "{found:?}");
}

#[test]
fn an_answer_without_the_token_or_to_a_datagram_that_was_cut_is_none() {
    let forgeries: [fn(&mut Vec<u8>); 3] = [
        |answer| answer[7] ^= 1,
        |answer| answer[4] = 1,
        // What arrived was a byte shorter, or longer.
        |answer| answer[19] ^= 1,
    ];
    for forge in forgeries {
        let mut network = Network::new(IpFamily::V4, "delay 20ms", "delay 20ms", 1).serve(move |request| {
            let mut answer = Vec::new();
            assert!(answer_probe(request, request.len(), None, &mut answer));
            forge(&mut answer);
            Some(answer)
        });
        let found = network.probe(&EchoFormat::new()).unwrap();
        assert_eq!((found.forward, found.evidence), (None, Evidence::Unanswered), "{found:?}");
    }
}

#[test]
fn reports_that_someone_forges_who_knows_no_token_change_nothing() {
    for family in FAMILIES {
        let mut network = Network::new(family, "delay 20ms", "delay 20ms", 1).respond(ANY, Some(1500));
        let local = network.transport.local_addr().unwrap();
        for ms in 0..200 {
            let forge = move |net: &udp_retry::sim::SimNet| {
                net.report(address(family, 2), local, Pmtu::new(1300), b"uPMT\x01\0guessed!\0\0\0\x01\0\0\0\0");
            };
            network.net.at(Duration::from_millis(ms), forge);
        }
        let found = network.probe(&EchoFormat::new()).unwrap();
        assert_eq!(network.packet(found.forward), Some(1500), "{found:?}");
        assert_eq!(found.reports, 0, "{found:?}");
    }
}

#[test]
fn an_error_of_an_earlier_datagram_is_no_refusal() {
    for family in FAMILIES {
        let network = Network::new(family, "delay 20ms", "delay 20ms", 1).respond(ANY, Some(1500));
        let mut transport = Pending { inner: network.transport, reported: false, refusals: 3 };
        let found = probe_path(&mut transport, PathIndex::FIRST, &EchoFormat::new()).unwrap();
        let whole = Pmtu::new(1500).plpmtu(family);
        assert_eq!((found.forward, found.reverse, found.lost), (Some(whole), Some(whole), 0), "{found:?}");
    }
}

#[test]
fn an_answer_that_is_not_as_long_as_asked_proves_no_way_back() {
    for len in [100, 1199, 1201, 1500] {
        let mut network = Network::new(IpFamily::V4, "delay 20ms", "delay 20ms", 1).serve(move |request| {
            let mut answer = Vec::new();
            assert!(answer_probe(request, request.len(), None, &mut answer));
            if answer.len() > 22 {
                answer.resize(len, 0);
            }
            Some(answer)
        });
        let found = network.probe(&EchoFormat::new()).unwrap();
        assert_eq!((network.packet(found.forward), found.reverse), (Some(1500), None), "{len}: {found:?}");
    }
}

#[test]
fn a_cancellation_ends_it() {
    let network = Network::new(IpFamily::V4, "delay 20ms", "delay 20ms", 1).respond(ANY, Some(1500));
    let mut transport = Cancelled { inner: network.transport, after: 0, taken: 0 };
    for after in 0..8 {
        transport.after = after;
        transport.taken = 0;
        let found = probe_path(&mut transport, PathIndex::FIRST, &EchoFormat::new());
        assert_eq!((found, transport.taken), (Err(ProbeError::Cancelled), 1), "after {after}");
    }
}

#[test]
fn each_search_has_a_token_of_its_own() {
    let tokens = Rc::new(RefCell::new(BTreeSet::new()));
    let seen = Rc::clone(&tokens);
    let mut network = Network::new(IpFamily::V4, "delay 20ms", "delay 20ms", 1).serve(move |request| {
        let is_way_back = request[20..22] != [0, 0];
        seen.borrow_mut().insert((request[6..14].to_vec(), is_way_back));
        let mut answer = Vec::new();
        answer_probe(request, request.len(), None, &mut answer).then_some(answer)
    });
    for searches in [2, 4, 6] {
        network.probe(&EchoFormat::new()).unwrap();
        let each: BTreeSet<_> = tokens.borrow().iter().map(|(token, _)| token.clone()).collect();
        assert_eq!((tokens.borrow().len(), each.len()), (searches, searches));
    }
}

#[test]
fn whoever_floods_the_client_does_not_hold_up_the_search() {
    within(MINUTE, || {
        let network = Network::new(IpFamily::V4, "delay 20ms", "delay 20ms", 1).serve(|_| None);
        let mut transport = Flooded { inner: network.transport };
        let found = probe_path(&mut transport, PathIndex::FIRST, &EchoFormat::new()).unwrap();
        assert_eq!(found.evidence, Evidence::Unanswered);
        // Each waits a second, and as long again as it takes to read 64.
        assert!((3..=16).contains(&found.lost), "{found:?}");
        assert!(found.took < Duration::from_millis(1_100) * (found.lost + 1), "{found:?}");
    });
}

/// A datagram a millisecond, from the far end's address.
struct Flooded {
    inner: SimTransport,
}

impl Flooded {
    fn before_send(&mut self) -> Result<(), PathError> {
        Ok(())
    }

    fn instead_of_recv(&mut self) -> Option<Incoming<PathIndex>> {
        let net = self.inner.net();
        net.run_until(net.now().after(Duration::from_millis(1)));
        Some(Incoming::Datagram(Received::new(PathIndex::FIRST, 5, 5, net.now())))
    }
}

/// Whatever is sent, an error of something earlier comes first.
struct Pending {
    inner: SimTransport,
    reported: bool,
    /// Of earlier datagrams, which are to be received.
    refusals: u32,
}

/// A cancellation comes before a send or a receive, whichever is due then.
struct Cancelled {
    inner: SimTransport,
    after: u32,
    taken: u32,
}

impl Pending {
    fn before_send(&mut self) -> Result<(), PathError> {
        self.reported = !self.reported;
        if self.reported { Err(PathError::too_big(Some(Plpmtu::new(1252)))) } else { Ok(()) }
    }

    fn instead_of_recv(&mut self) -> Option<Incoming<PathIndex>> {
        self.refusals = self.refusals.checked_sub(1)?;
        Some(Incoming::PathError { path: Some(PathIndex::FIRST), error: PathError::Refused, quoted: 0 })
    }
}

impl Cancelled {
    fn before_send(&mut self) -> Result<(), PathError> {
        // A receive takes it.
        if self.after == 0 {
            return Err(PathError::Cancelled);
        }
        self.after -= 1;
        Ok(())
    }

    fn instead_of_recv(&mut self) -> Option<Incoming<PathIndex>> {
        if self.after == 0 {
            self.taken += 1;
            return Some(Incoming::Cancelled);
        }
        self.after -= 1;
        None
    }
}

macro_rules! transport {
    ($end:ty) => {
        impl Transport for $end {
            type Peer = PathIndex;

            fn now(&self) -> Timestamp {
                self.inner.now()
            }

            fn send(&mut self, to: PathIndex, datagram: &[u8]) -> Result<(), PathError> {
                self.before_send()?;
                self.inner.send(to, datagram)
            }

            fn recv(&mut self, buffer: &mut [u8], now: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
                self.instead_of_recv().unwrap_or_else(|| self.inner.recv(buffer, now, until))
            }

            fn renew(&mut self, path: PathIndex, need: Renewal) -> Result<Renewed, PathError> {
                self.inner.renew(path, need)
            }

            fn entropy(&mut self, key: &mut [u8; 32]) -> Result<(), NoEntropy> {
                self.inner.entropy(key)
            }
        }

        impl ProbeTransport for $end {
            fn fragmentation(&self, path: PathIndex) -> Option<Fragmentation> {
                self.inner.fragmentation_of(path)
            }

            fn family(&self, path: PathIndex) -> Option<IpFamily> {
                self.inner.family(path)
            }
        }
    };
}
transport!(Pending);
transport!(Cancelled);
transport!(Flooded);
