//! What routers report, and whoever says he is one.

use udp_retry::pmtu::{PlpmtuSearch, ProbeId, PtbVerdict, SearchNext, SearchSettings, SearchState};
use udp_retry::size::{IpFamily, Plpmtu};
use udp_retry::time::Timestamp;

use crate::dice::Dice;
use crate::path::{Path, packet};
use crate::rules::{acked, lost, lost_times, probe, sent, three, up_to};

const V4: SearchSettings = SearchSettings::new(IpFamily::V4);

#[test]
fn a_report_says_where_to_look_next_and_its_size_is_exact() {
    for carries in 1228..1500 {
        let path = Path { reports: true, ..Path::silent(IpFamily::V4, carries, 1500) };
        let found = path.search(V4, 0);
        let (probes, lost) = if carries == 1228 { (2, 1) } else { (3, 1) };
        assert_eq!((found.pmtu, found.probes, found.lost), (carries, probes, lost));
    }
}

#[test]
fn two_narrow_hops_cost_two_losses() {
    let mut search = PlpmtuSearch::new(up_to(V4, 1472));
    acked(&mut search, 1200);
    for (len, limit) in [(1472, 1372), (1372, 1272)] {
        let id = sent(&mut search, len);
        assert_eq!(search.on_reported(id, Plpmtu::new(limit)), PtbVerdict::Taken);
    }
    acked(&mut search, 1272);
    assert_eq!(search.state(), SearchState::Complete);
}

#[test]
fn a_reported_size_that_is_lost_is_tried_again() {
    let mut search = PlpmtuSearch::new(three(up_to(V4, 1472)));
    acked(&mut search, 1200);
    let id = sent(&mut search, 1472);
    assert_eq!(search.on_reported(id, Plpmtu::new(1399)), PtbVerdict::Taken);
    lost_times(&mut search, 1399, 3);
    // It was forged, or the path is a black hole for less than that.
    acked(&mut search, 1252);
}

#[test]
fn a_report_about_a_control_probe_lowers_nothing() {
    let mut search = PlpmtuSearch::new(up_to(V4, 1252));
    acked(&mut search, 1200);
    lost_times(&mut search, 1252, 3);
    let control = probe(&mut search);
    assert!(control.control);
    for limit in [548, 1199] {
        assert_eq!(search.on_reported(control.id, Plpmtu::new(limit)), PtbVerdict::BelowConfirmed);
    }
    assert_eq!(search.on_reported(control.id, Plpmtu::new(1200)), PtbVerdict::NotSmaller);
    assert_eq!(search.next(Timestamp::ZERO), SearchNext::Await(control.id));
    assert_eq!((search.plpmtu(), search.is_confirmed()), (V4.base(), true));
}

#[test]
fn a_late_report_finds_its_probe_and_an_old_one_none() {
    let mut search = PlpmtuSearch::new(up_to(V4, 1472));
    acked(&mut search, 1200);
    let top = lost(&mut search, 1472);
    lost(&mut search, 1252);
    assert_eq!(search.on_reported(top, Plpmtu::new(1300)), PtbVerdict::Taken);
    sent(&mut search, 1252);
    for id in [ProbeId::new(900), ProbeId::new(u32::MAX)] {
        assert_eq!(search.on_reported(id, Plpmtu::new(1300)), PtbVerdict::NotOurs);
    }
    search.on_path_changed();
    assert_eq!(search.on_reported(top, Plpmtu::new(1300)), PtbVerdict::NotOurs);
}

#[test]
fn an_acknowledgement_refutes_a_report() {
    let mut search = PlpmtuSearch::new(up_to(V4, 8972));
    acked(&mut search, 1200);
    let top = sent(&mut search, 8972);
    assert_eq!(search.on_reported(top, Plpmtu::new(1201)), PtbVerdict::Taken);
    acked(&mut search, 1201);
    assert_eq!((search.plpmtu(), search.state()), (Plpmtu::new(1201), SearchState::Complete));
    search.on_probe_acked(top);
    assert_eq!((search.plpmtu(), search.state()), (Plpmtu::new(8972), SearchState::Complete));
}

#[test]
fn a_search_goes_on_from_what_refutes_a_report() {
    for limit in [1201, 1251] {
        let mut search = PlpmtuSearch::new(up_to(V4, 8972));
        acked(&mut search, 1200);
        lost(&mut search, 8972);
        let low = sent(&mut search, 1252);
        assert_eq!(search.on_reported(low, Plpmtu::new(limit)), PtbVerdict::Taken);
        acked(&mut search, limit);
        assert_eq!(search.state(), SearchState::Complete);
        search.on_probe_acked(low);
        assert_eq!((search.plpmtu(), search.state()), (Plpmtu::new(1252), SearchState::Searching), "{limit}");
        sent(&mut search, 8972);
    }
}

#[test]
fn a_loss_of_what_a_report_has_ruled_out_is_no_boundary() {
    let mut search = PlpmtuSearch::new(up_to(V4, 8972));
    acked(&mut search, 1200);
    let top = lost(&mut search, 8972);
    acked(&mut search, 1252);
    let above = sent(&mut search, 1332);
    assert_eq!(search.on_reported(top, Plpmtu::new(1299)), PtbVerdict::Taken);
    search.on_probe_lost(above);
    acked(&mut search, 1299);
    assert_eq!((search.plpmtu(), search.state()), (Plpmtu::new(1299), SearchState::Complete));
}

#[test]
fn of_two_reports_the_narrower_one_counts() {
    for limits in [[1299, 1399], [1399, 1299]] {
        let mut search = PlpmtuSearch::new(up_to(V4, 8972));
        acked(&mut search, 1200);
        let top = lost(&mut search, 8972);
        lost(&mut search, 1252);
        let again = sent(&mut search, 1252);
        search.on_probe_acked(again);
        let next = sent(&mut search, 1332);
        search.on_probe_lost(next);
        let quoted = sent(&mut search, 1332);
        search.on_probe_lost(quoted);
        for limit in limits {
            let id = if limit == 1399 { top } else { quoted };
            assert_eq!(search.on_reported(id, Plpmtu::new(limit)), PtbVerdict::Taken);
        }
        acked(&mut search, 1299);
        assert_eq!(search.state(), SearchState::Complete);
    }
}

#[test]
fn eight_reports_in_one_search_are_enough() {
    let mut search = PlpmtuSearch::new(up_to(V4, 8972));
    acked(&mut search, 1200);
    for hop in 0..9 {
        let id = probe(&mut search).id;
        let verdict = if hop < 8 { PtbVerdict::Taken } else { PtbVerdict::TooMany };
        assert_eq!(search.on_reported(id, Plpmtu::new(1400 - hop)), verdict);
    }
    search.on_path_changed();
    let id = sent(&mut search, 1200);
    assert_eq!(search.on_reported(id, Plpmtu::new(1000)), PtbVerdict::Taken);
}

#[test]
fn a_report_below_the_base_is_an_error_and_is_tried() {
    let mut search = PlpmtuSearch::new(V4);
    let base = sent(&mut search, 1200);
    assert_eq!(search.on_reported(base, Plpmtu::new(547)), PtbVerdict::BelowMin);
    assert_eq!(search.on_reported(base, Plpmtu::new(972)), PtbVerdict::Taken);
    assert_eq!((search.state(), search.plpmtu()), (SearchState::Error, V4.min()));
    acked(&mut search, 972);
    assert_eq!((search.state(), search.plpmtu()), (SearchState::Error, Plpmtu::new(972)));
    assert!(matches!(search.next(Timestamp::ZERO), SearchNext::WaitUntil(_)));
}

#[test]
fn forged_reports_cost_size_until_the_next_search_and_nothing_else() {
    let mut worst = 0;
    for seed in 0..20_000 {
        let mut dice = Dice::new(seed);
        let mut search = PlpmtuSearch::new(V4);
        let (mut now, mut probes, mut carries) = (Timestamp::ZERO, 0, 1472);
        for forged in [true, false] {
            if !forged {
                // Ten minutes later, without the forger.
                let SearchNext::WaitUntil(at) = search.next(now) else { panic!("no end") };
                now = at;
                carries = 1472;
            }
            while let SearchNext::Send(probe) = search.next(now) {
                probes += 1;
                while forged && dice.one_in(2) {
                    let id = ProbeId::new(probe.id.number().wrapping_sub(dice.within(0..=20) as u32));
                    let limit = dice.draw() as u16;
                    let before = (search.plpmtu(), search.is_confirmed());
                    search.on_reported(id, Plpmtu::new(dice.pick(&[limit, limit % 1600])));
                    let after = (search.plpmtu(), search.is_confirmed());
                    assert!(!before.1 || after == before, "seed {seed}: {after:?}, not {before:?}");
                    assert!(after.1 || after.0 <= V4.base());
                }
                if probe.len > Plpmtu::new(carries) {
                    search.on_probe_lost(probe.id);
                } else {
                    search.on_probe_acked(probe.id);
                }
            }
            worst = worst.max(probes);
            assert!(packet(search.plpmtu(), IpFamily::V4) <= 1500);
        }
        assert_eq!(search.plpmtu(), Plpmtu::new(1472), "seed {seed}");
    }
    assert!(worst <= 100, "{worst} probes");
}
