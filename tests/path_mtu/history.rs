//! What an observer is told of each probe is what the report sums up.

use std::collections::BTreeSet;
use std::time::Duration;

use udp_retry::path_mtu::ProbeFate::{Acknowledged, Lost, NoListener, Refused, Reported};
use udp_retry::path_mtu::{EchoFormat, PathReport, ProbeDirection, ProbeRecord, probe_path_with};
use udp_retry::pmtu::SearchSettings;
use udp_retry::size::IpFamily;
use udp_retry::transport::PathIndex;

use crate::network::{FAMILIES, Network};

const ANY: usize = usize::MAX;

#[test]
fn each_probe_is_told_of_and_together_they_are_the_report() {
    let losses = ["delay 20ms", "loss 10%; delay 20ms", "loss 30%; duplicate 30%; delay 150ms ~150ms unordered"];
    for (family, seed) in FAMILIES.into_iter().flat_map(|family| (0..20).map(move |seed| (family, seed))) {
        for (path, loss) in
            ["mtu 1500", "mtu 1400", "mtu 1400 report"].into_iter().flat_map(|path| losses.map(|loss| (path, loss)))
        {
            let to_server = format!("{path}; {loss}");
            let to_client = format!("mtu 1380; {loss}");
            let mut network = Network::new(family, &to_server, &to_client, seed).respond(ANY, Some(1420));
            let (found, history) = observed(&mut network, family);
            let what = format!("{family:?} {path}; {loss}, seed {seed}: {found:?}\n{history:#?}");
            agrees(&found, &history, &what);
            if !loss.contains("loss") {
                let reported = history.iter().filter(|it| it.fate == Reported).count();
                assert_eq!(reported, usize::from(path.ends_with("report")), "{what}");
                // A host on Ethernet does not send the largest datagram, nor this responder one above 1420.
                for direction in [ProbeDirection::Forward, ProbeDirection::Reverse] {
                    assert!(history.iter().any(|it| it.direction == direction && it.fate == Refused), "{what}");
                }
            }
        }
    }
}

#[test]
fn an_answer_that_comes_late_is_told_of_after_the_loss() {
    for family in FAMILIES {
        let mut network = Network::new(family, "delay 600ms", "delay 600ms", 1).respond(ANY, None);
        let (found, history) = observed(&mut network, family);
        agrees(&found, &history, &format!("{found:?}\n{history:#?}"));
        let first = history[..3].iter().map(|it| (it.probe.id.number(), ms(it.sent), ms(it.ended), it.fate));
        let expected = [(0, 0, 1000, Lost), (0, 0, 1200, Acknowledged), (1, 1000, 2000, Lost)];
        assert_eq!(first.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn that_no_one_listens_is_told_of() {
    for family in FAMILIES {
        let mut network = Network::new(family, "delay 20ms", "delay 20ms", 1);
        let (found, history) = observed(&mut network, family);
        let [only] = history[..] else { panic!("{history:?}") };
        assert_eq!((only.probe.len, only.fate), (SearchSettings::new(family).base(), NoListener), "{found:?}");
        assert_eq!((ms(only.sent), ms(only.ended)), (0, 40));
    }
}

fn observed(network: &mut Network, family: IpFamily) -> (PathReport, Vec<ProbeRecord>) {
    let (mut history, settings) = (Vec::new(), SearchSettings::new(family));
    let observe = |it| history.push(it);
    let found = probe_path_with(&mut network.transport, PathIndex::FIRST, &EchoFormat::new(), settings, observe);
    (found.unwrap(), history)
}

fn agrees(found: &PathReport, history: &[ProbeRecord], what: &str) {
    use ProbeDirection::{Forward, Reverse};
    let count = |fate| u32::try_from(history.iter().filter(|it| it.fate == fate).count()).unwrap();
    assert_eq!((count(Lost), count(Reported)), (found.lost, found.reports), "{what}");
    let sent = history.iter().filter(|it| (it.direction, it.fate) != (Forward, Refused));
    let sent: BTreeSet<_> = sent.map(|it| (it.direction == Reverse, it.probe.id.number())).collect();
    assert_eq!(u32::try_from(sent.len()).unwrap(), found.probes, "{what}");
    for (direction, size) in [(Forward, found.forward), (Reverse, found.reverse)] {
        let arrived = || history.iter().filter(|it| it.direction == direction && it.fate == Acknowledged);
        assert_eq!(arrived().map(|it| it.probe.len).max(), size, "{what}");
        let ids: BTreeSet<_> = arrived().map(|it| it.probe.id.number()).collect();
        assert_eq!(ids.len(), arrived().count(), "told of twice: {what}");
    }
    assert!(history.is_sorted_by_key(|it| it.ended), "{what}");
    assert!(history.iter().all(|it| it.sent <= it.ended && it.ended <= found.took), "{what}");
    assert!(history.iter().all(|it| it.fate != Refused || it.direction == Reverse || it.sent == it.ended), "{what}");
    // Late ones too.
    let answered = history.iter().filter(|it| it.fate == Acknowledged);
    assert_eq!(answered.map(|it| it.ended - it.sent).min(), found.round_trip, "{what}");
}

fn ms(time: Duration) -> u128 {
    time.as_millis()
}
