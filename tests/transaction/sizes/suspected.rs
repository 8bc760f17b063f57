//! What a request says that was too large for its path, as it looks.

use udp_retry::RequestError;
use udp_retry::size::Plpmtu;

use super::{Asking, LARGE, SMALL};

fn suspects(error: &RequestError) -> Option<(usize, usize)> {
    error.suspected_path_mtu().map(|it| (it.tried.bytes(), it.confirmed.bytes()))
}

#[test]
fn a_request_that_keeps_failing_while_smaller_ones_pass_says_so() {
    let mut asking = Asking::new(1);
    assert_eq!(asking.request(LARGE).unwrap(), 1);
    asking.path("mtu 1400", "none");
    let error = asking.request(LARGE).unwrap_err();
    assert_eq!(suspects(&error), None, "nothing has passed since: the server may be down");
    assert!(error.hint().is_some());
    for (passes, then) in [(SMALL, 100), (1232, 1232), (1372, 1372), (SMALL, 1372)] {
        assert_eq!(asking.request(passes).unwrap(), 1);
        for tried in [1373, LARGE] {
            let error = asking.request(tried).unwrap_err();
            assert_eq!(suspects(&error), Some((tried, then)));
            let text = format!("datagrams of {tried} bytes do not get through, those of {then} do");
            assert!(error.is_timeout() && error.hint().is_none() && error.to_string().ends_with(&text), "{error}");
        }
    }
}

#[test]
fn what_got_through_once_is_suspected_no_more() {
    let mut asking = Asking::new(2);
    asking.path("mtu 1400", "none");
    asking.request(LARGE).unwrap_err();
    asking.request(SMALL).unwrap();
    assert_eq!(suspects(&asking.request(LARGE).unwrap_err()), Some((LARGE, SMALL)));
    asking.path("none", "none");
    asking.request(LARGE).unwrap();
    asking.net.take_down(asking.hosts[1]).unwrap();
    for len in [LARGE, SMALL, LARGE] {
        assert_eq!(suspects(&asking.request(len).unwrap_err()), None, "{len}");
    }
}

#[test]
fn a_request_of_which_a_small_transmission_failed_too_suspects_nothing() {
    let mut asking = Asking::new(3);
    asking.path("mtu 1400", "none");
    assert_eq!(asking.build(LARGE).transmissions, Some(3));
    asking.net.take_down(asking.hosts[1]).unwrap();
    let number = 9_u32.to_be_bytes();
    let error = asking.requester.request_with(|it, bytes| {
        bytes.extend_from_slice(&number);
        bytes.resize(it.at_most.map_or(LARGE, Plpmtu::bytes), 0);
    });
    assert_eq!(suspects(&error.unwrap_err()), None);
    // Not if all were large.
    let error = asking.requester.request_with(|_, bytes| {
        bytes.extend_from_slice(&number);
        bytes.resize(LARGE, 0);
    });
    assert_eq!(suspects(&error.unwrap_err()), None, "and what was small was in vain, too");
}
