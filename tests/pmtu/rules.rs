//! Single rules, by hand.

use std::num::{NonZeroU8, NonZeroU16};
use std::time::Duration;

use udp_retry::pmtu::{
    Cause, Granularity, MaxProbes, PlpmtuSearch, Probe, ProbeId, SearchError, SearchNext, SearchSettings, SearchState,
};
use udp_retry::size::{IpFamily, Plpmtu};
use udp_retry::time::Timestamp;

const V4: SearchSettings = SearchSettings::new(IpFamily::V4);
const V6: SearchSettings = SearchSettings::new(IpFamily::V6);
const NOW: Timestamp = Timestamp::ZERO;

/// The probe that is due.
pub(crate) fn probe(search: &mut PlpmtuSearch) -> Probe {
    let SearchNext::Send(probe) = search.next(NOW) else { panic!("no probe, but {:?}", search.next(NOW)) };
    assert_eq!(search.next(NOW), SearchNext::Send(probe), "asked again");
    search.on_probe_sent(probe.id);
    probe
}

/// Sends the next probe, which must have this size.
pub(crate) fn sent(search: &mut PlpmtuSearch, len: u16) -> ProbeId {
    let probe = probe(search);
    assert_eq!(probe.len, Plpmtu::new(len));
    probe.id
}

pub(crate) fn acked(search: &mut PlpmtuSearch, len: u16) -> ProbeId {
    let id = sent(search, len);
    search.on_probe_acked(id);
    id
}

pub(crate) fn lost(search: &mut PlpmtuSearch, len: u16) -> ProbeId {
    let id = sent(search, len);
    search.on_probe_lost(id);
    id
}

pub(crate) fn lost_times(search: &mut PlpmtuSearch, len: u16, times: u32) {
    for _ in 0..times {
        lost(search, len);
    }
}

pub(crate) fn refused(search: &mut PlpmtuSearch, len: u16, limit: impl Into<Option<u16>>) {
    let id = sent(search, len);
    search.on_probe_refused(id, limit.into().map(Plpmtu::new));
}

pub(crate) fn up_to(settings: SearchSettings, max: u16) -> SearchSettings {
    settings.with_sizes(settings.min(), settings.base(), Plpmtu::new(max)).unwrap()
}

pub(crate) fn three(settings: SearchSettings) -> SearchSettings {
    settings.with_max_probes(MaxProbes::Fixed(NonZeroU8::new(3).unwrap()))
}

#[test]
fn a_probe_is_due_until_it_is_sent_and_awaited_until_its_fate_is_known() {
    let mut search = PlpmtuSearch::new(V4);
    let SearchNext::Send(due) = search.next(NOW) else { panic!("no probe") };
    search.on_probe_sent(ProbeId::new(due.id.number() + 1));
    assert_eq!(search.next(Timestamp::MAX), SearchNext::Send(due));
    let id = sent(&mut search, 1200);
    for _ in 0..3 {
        assert_eq!(search.next(Timestamp::MAX), SearchNext::Await(id));
    }
    search.on_probe_lost(ProbeId::new(id.number() + 1));
    search.on_probe_refused(ProbeId::new(id.number().wrapping_sub(1)), None);
    assert_eq!(search.next(NOW), SearchNext::Await(id), "another one's fate");
    search.on_probe_lost(id);
    search.on_probe_lost(id);
    search.on_probe_lost(id);
    let again = sent(&mut search, 1200);
    assert_ne!(again, id);
    assert_eq!(search.state(), SearchState::Base, "one loss, reported three times");
}

#[test]
fn the_largest_comes_first_and_one_loss_sets_it_aside() {
    let mut search = PlpmtuSearch::new(three(up_to(V4, 1472)));
    acked(&mut search, 1200);
    lost(&mut search, 1472);
    for len in [1252, 1332, 1352, 1372, 1392, 1412, 1422, 1432, 1448, 1452] {
        acked(&mut search, len);
    }
    lost(&mut search, 1464);
    lost(&mut search, 1464);
    assert_eq!(search.state(), SearchState::Searching);
    // It was chance: the size above it, lost once, is in question now.
    acked(&mut search, 1464);
    lost(&mut search, 1472);
    assert_eq!(search.state(), SearchState::Searching);
    lost(&mut search, 1472);
    assert_eq!(search.state(), SearchState::Complete);
    assert_eq!(search.plpmtu(), Plpmtu::new(1464));
    assert_eq!(search.max_payload(12), 1452);
    assert_eq!(search.max_payload(5_000), 0);
}

#[test]
fn the_measured_loss_says_how_many_losses_give_a_size_up() {
    let losses_needed = |lost_before: u32| {
        let mut search = PlpmtuSearch::new(up_to(V4, 1252));
        for _ in 0..lost_before {
            lost(&mut search, 1200);
        }
        let base = acked(&mut search, 1200);
        // Duplicates say nothing.
        (0..10).for_each(|_| search.on_probe_acked(base));
        let (mut losses, mut controls) = (0, 0);
        while let SearchNext::Send(probe) = search.next(NOW) {
            assert_eq!(probe.control, probe.len == Plpmtu::new(1200));
            if probe.control {
                controls += 1;
                search.on_probe_acked(probe.id);
            } else {
                losses += 1;
                search.on_probe_lost(probe.id);
            }
        }
        (losses, controls)
    };
    // One acknowledged: nothing is known to be lost, so seven more measure it. Then 2 of 4, and 3 of 5.
    assert_eq!(losses_needed(0), (3, 7));
    assert_eq!(losses_needed(1), (10, 0));
    assert_eq!(losses_needed(2), (14, 0));
}

#[test]
fn a_control_probe_that_is_lost_counts_and_a_late_one_does_not() {
    let measured = |late: bool| {
        let mut search = PlpmtuSearch::new(up_to(V4, 1252));
        acked(&mut search, 1200);
        lost_times(&mut search, 1252, 3);
        let control = lost(&mut search, 1200);
        if late {
            search.on_probe_acked(control);
        }
        probe(&mut search).control
    };
    assert!(!measured(false), "one is known to be lost: larger ones decide");
    assert!(measured(true));
}

#[test]
fn a_late_acknowledgement_counts_even_after_the_search_has_ended() {
    let mut search = PlpmtuSearch::new(three(up_to(V4, 1472)));
    acked(&mut search, 1200);
    let top = lost(&mut search, 1472);
    let low = lost(&mut search, 1252);
    lost_times(&mut search, 1252, 2);
    assert!(matches!(search.next(NOW), SearchNext::WaitUntil(_)));
    let _ = search.take_change();
    search.on_probe_acked(low);
    assert_eq!((search.plpmtu(), search.state()), (Plpmtu::new(1252), SearchState::Searching));
    let change = search.take_change().unwrap();
    assert_eq!((change.from, change.to), (Some(Plpmtu::new(1200)), Some(Plpmtu::new(1252))));
    assert_eq!((change.why, change.state), (Cause::Acknowledged, SearchState::Searching));
    lost(&mut search, 1332);
    search.on_probe_acked(top);
    assert_eq!((search.plpmtu(), search.state()), (Plpmtu::new(1472), SearchState::Complete));
    search.on_probe_acked(top);
    search.on_probe_acked(ProbeId::new(77));
    assert!(search.take_change().is_some() && search.take_change().is_none());
}

#[test]
fn a_late_acknowledgement_of_an_outstanding_size_leaves_it_outstanding() {
    let mut search = PlpmtuSearch::new(up_to(V4, 1252));
    acked(&mut search, 1200);
    let first = lost(&mut search, 1252);
    let second = sent(&mut search, 1252);
    search.on_probe_acked(first);
    assert_eq!(search.next(NOW), SearchNext::Await(second));
    search.on_probe_lost(second);
    assert_eq!((search.plpmtu(), search.state()), (Plpmtu::new(1252), SearchState::Complete));
}

#[test]
fn refusals_cost_nothing_and_their_limit_comes_next() {
    let mut search = PlpmtuSearch::new(V4);
    acked(&mut search, 1200);
    refused(&mut search, 65_507, 1472);
    acked(&mut search, 1472);
    // What the system said may be what it remembers of the path, so what lies between is asked for.
    refused(&mut search, 8972, 1472);
    refused(&mut search, 8923, None);
    assert_eq!((search.plpmtu(), search.state()), (Plpmtu::new(1472), SearchState::Complete));
}

#[test]
fn a_limit_that_is_remembered_from_a_forged_report_does_not_end_the_search() {
    let mut search = PlpmtuSearch::new(V4);
    acked(&mut search, 1200);
    refused(&mut search, 65_507, 1372);
    acked(&mut search, 1372);
    refused(&mut search, 8972, 1372);
    refused(&mut search, 8923, 1372);
    acked(&mut search, 1472);
    assert_eq!((search.plpmtu(), search.state()), (Plpmtu::new(1472), SearchState::Complete));
}

#[test]
fn a_limit_that_is_refused_itself_names_no_other_one() {
    let mut search = PlpmtuSearch::new(V4);
    acked(&mut search, 1200);
    refused(&mut search, 65_507, 1399);
    refused(&mut search, 1399, 1398);
    acked(&mut search, 1392);
    assert_eq!(search.state(), SearchState::Complete);
}

#[test]
fn a_refusal_of_the_smallest_size_ends_it() {
    let mut search = PlpmtuSearch::new(V4);
    refused(&mut search, 1200, 572);
    assert_eq!(search.state(), SearchState::Error);
    refused(&mut search, 572, 571);
    refused(&mut search, 548, 500);
    for now in [NOW, Timestamp::MAX] {
        assert_eq!(search.next(now), SearchNext::Done);
    }
    assert_eq!((search.state(), search.is_confirmed(), search.plpmtu()), (SearchState::Error, false, V4.min()));
    // An IPv6 socket on a link of 600 bytes.
    let mut search = PlpmtuSearch::new(V6);
    refused(&mut search, 1232, 552);
    assert_eq!(search.next(NOW), SearchNext::Done);
    search.on_path_changed();
    assert_eq!(search.state(), SearchState::Base);
    sent(&mut search, 1232);
}

#[test]
fn an_interface_that_becomes_narrower_lowers_what_is_confirmed() {
    for (limit, left) in [(Some(1230), 1230), (None, 1392), (Some(1412), 1392), (Some(500), 1392)] {
        let mut search = PlpmtuSearch::new(up_to(V4, 1472));
        acked(&mut search, 1200);
        lost(&mut search, 1472);
        for len in [1252, 1332, 1352, 1372, 1392, 1412] {
            acked(&mut search, len);
        }
        lost_times(&mut search, 1422, 3);
        let control = probe(&mut search);
        assert!(control.control);
        search.on_probe_refused(control.id, limit.map(Plpmtu::new));
        assert_eq!((search.plpmtu(), search.is_confirmed()), (Plpmtu::new(left), true), "{limit:?}");
    }
}

#[test]
fn below_the_base_is_an_error_that_a_confirmed_base_ends() {
    let mut search = PlpmtuSearch::new(three(up_to(V4, 1252)));
    lost_times(&mut search, 1200, 2);
    assert_eq!((search.state(), search.plpmtu()), (SearchState::Base, V4.base()));
    let base = lost(&mut search, 1200);
    assert_eq!((search.state(), search.plpmtu(), search.is_confirmed()), (SearchState::Error, V4.min(), false));
    acked(&mut search, 548);
    assert_eq!((search.state(), search.is_confirmed()), (SearchState::Error, true));
    assert!(matches!(search.next(NOW), SearchNext::WaitUntil(_)), "three losses are the verdict on the base");
    search.on_probe_acked(base);
    assert_eq!(search.state(), SearchState::Searching);
    acked(&mut search, 1252);
    assert_eq!(search.state(), SearchState::Complete);
}

#[test]
fn the_next_search_starts_after_ten_minutes_and_from_what_is_confirmed() {
    let ten = Duration::from_secs(600);
    let mut search = PlpmtuSearch::new(three(up_to(V4, 1472)));
    acked(&mut search, 1200);
    lost(&mut search, 1472);
    lost_times(&mut search, 1252, 3);
    let start = NOW.after(Duration::from_secs(7));
    for now in [start, start.after(ten / 2)] {
        assert_eq!(search.next(now), SearchNext::WaitUntil(start.after(ten)));
    }
    let _ = search.take_change();
    let SearchNext::Send(top) = search.next(start.after(ten)) else { panic!("no search") };
    assert_eq!((top.len, search.state()), (Plpmtu::new(1472), SearchState::Searching));
    assert_eq!(search.plpmtu(), V4.base(), "what was confirmed stays until something larger is");
    assert_eq!(search.take_change().unwrap().why, Cause::Raise);
    search.on_probe_acked(top.id);
    let later = start.after(ten);
    assert_eq!(search.next(later), SearchNext::WaitUntil(later.after(ten)));
    // Nothing larger is left, so nothing is sent.
    assert_eq!(search.next(later.after(ten)), SearchNext::WaitUntil(later.after(ten * 2)));

    let never = V4.with_raise_after(Duration::MAX).unwrap();
    let mut search = PlpmtuSearch::new(never);
    refused(&mut search, 1200, 1199);
    acked(&mut search, 1199);
    assert_eq!(search.next(Timestamp::MAX), SearchNext::WaitUntil(Timestamp::MAX));
    assert_eq!(search.next(Timestamp::MAX), SearchNext::WaitUntil(Timestamp::MAX));
    assert_eq!(V4.with_raise_after(Duration::ZERO), Err(SearchError::ZeroWait));
}

#[test]
fn another_path_and_a_black_hole_forget_all_that_was_sent_before() {
    for (change, why) in [
        (PlpmtuSearch::on_path_changed as fn(&mut PlpmtuSearch), Cause::PathChanged),
        (PlpmtuSearch::on_black_hole, Cause::BlackHole),
    ] {
        let mut search = PlpmtuSearch::new(V4);
        let base = acked(&mut search, 1200);
        refused(&mut search, 65_507, 1472);
        let before = sent(&mut search, 1472);
        let _ = search.take_change();
        change(&mut search);
        assert_eq!((search.plpmtu(), search.is_confirmed(), search.state()), (V4.base(), false, SearchState::Base));
        let changed = search.take_change().unwrap();
        assert_eq!((changed.from, changed.to, changed.why), (Some(V4.base()), None, why));
        for id in [base, before] {
            search.on_probe_acked(id);
            search.on_probe_lost(id);
            search.on_probe_refused(id, None);
        }
        assert_eq!((search.is_confirmed(), search.take_change()), (false, None));
        let again = acked(&mut search, 1200);
        assert!(again != base && again != before, "an id of the old path");
        sent(&mut search, 65_507);
    }
}

#[test]
fn halving_ends_at_the_granularity() {
    let five = Granularity::Bytes(NonZeroU16::new(5).unwrap());
    let mut search = PlpmtuSearch::new(three(up_to(V4, 1280)).with_granularity(five));
    acked(&mut search, 1200);
    lost(&mut search, 1280);
    acked(&mut search, 1252);
    lost(&mut search, 1266);
    acked(&mut search, 1259);
    acked(&mut search, 1262);
    lost(&mut search, 1266);
    acked(&mut search, 1266);
    lost(&mut search, 1273);
}

#[test]
fn it_is_small_and_holds_nothing_on_the_heap() {
    assert!(size_of::<PlpmtuSearch>() <= 256, "{}", size_of::<PlpmtuSearch>());
    assert!(!std::mem::needs_drop::<PlpmtuSearch>());
}
