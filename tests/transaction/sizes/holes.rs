//! A path that carried large requests, and no longer does.

use udp_retry::size::Plpmtu;

use super::{Asking, BASE, LARGE, SMALL, Told, seconds};

/// What a request comes to whose builder is free at first: large and small ones take turns from the third on.
fn gropes(told: &Told) -> bool {
    told.transmissions == Some(3) && told.asked == [None, None, BASE]
}

#[test]
fn requests_get_through_a_hole_and_later_ones_do_without_it_at_once() {
    for (client, server, mtu, base) in [
        ("10.0.0.1:7", "10.0.0.2:7", 1400, 1200),
        ("[fd00::1]:7", "[fd00::2]:7", 1400, 1232),
        ("10.0.0.1:7", "10.0.0.2:7", 1228, 1200),
    ] {
        let base = Some(Plpmtu::new(base));
        let mut asking = Asking::of(client, server, 1);
        for _ in 0..10 {
            let told = asking.build(LARGE);
            assert_eq!((told.transmissions, told.asked), (Some(1), vec![None]));
        }
        asking.path(&format!("mtu {mtu}"), "none");
        for request in 0..4 {
            let told = asking.build(LARGE);
            assert_eq!((told.transmissions, told.asked), (Some(3), vec![None, None, base]), "{server}: {request}");
        }
        for request in 0..100 {
            let told = asking.build(LARGE);
            assert_eq!((told.transmissions, told.asked), (Some(1), vec![base]), "{server}: {request}");
        }
    }
}

#[test]
fn what_is_asked_for_in_a_hole_is_the_largest_size_that_was_answered_below_it() {
    let mut asking = Asking::new(2);
    asking.path("mtu 1428", "none");
    for _ in 0..4 {
        assert!(gropes(&asking.build(LARGE)));
        assert_eq!(asking.request(1300).unwrap(), 1);
    }
    let told = asking.build(LARGE);
    assert_eq!((told.transmissions, told.asked), (Some(1), vec![Some(Plpmtu::new(1300))]));
    // The hole widens: nothing but that size shows it.
    asking.path("mtu 1300", "none");
    let found = (0..10).find(|_| asking.build(LARGE).asked == [BASE]);
    assert_eq!(found, Some(4));
}

#[test]
fn a_larger_size_is_tried_again_after_ten_minutes() {
    let mut asking = Asking::new(3);
    asking.path("mtu 1400", "none");
    (0..4).for_each(|_| assert!(gropes(&asking.build(LARGE))));
    asking.pass(seconds(599));
    assert_eq!(asking.build(LARGE).asked, [BASE]);
    asking.pass(seconds(1));
    (0..4).for_each(|_| assert!(gropes(&asking.build(LARGE))));
    assert_eq!(asking.build(LARGE).asked, [BASE]);
    // The hole is mended meanwhile.
    asking.path("none", "none");
    asking.pass(seconds(600));
    for _ in 0..100 {
        assert_eq!(asking.build(LARGE).asked, [None]);
    }
}

#[test]
fn a_large_request_that_is_answered_nonetheless_ends_it() {
    let mut asking = Asking::new(4);
    asking.path("mtu 1400", "none");
    (0..4).for_each(|_| assert!(gropes(&asking.build(LARGE))));
    assert_eq!(asking.request(1300).unwrap(), 1);
    // 1300 is more than what was thought to pass, so more may be.
    (0..4).for_each(|request| assert!(gropes(&asking.build(LARGE)), "{request}"));
    assert_eq!(asking.build(LARGE).asked, [Some(Plpmtu::new(1300))]);
}

#[test]
fn requests_of_given_bytes_count_as_those_of_a_builder_do() {
    let mut asking = Asking::new(5);
    asking.path("mtu 1400", "none");
    let known = (0..10).find(|_| {
        asking.request(LARGE).unwrap_err();
        asking.build(SMALL).asked == [BASE]
    });
    assert_eq!(known, Some(3), "each vouches for four transmissions");
}
