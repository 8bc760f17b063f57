//! What one client does to the others.

use udp_retry::fault::Capacity;
use udp_retry::proxy::Proxy;

use crate::tools::{MS, Running, Service, client, delayed, hear, to_server};
use crate::watchdog::{MINUTE, within};

/// As much as the proxy reads: what exceeds a socket's buffer is lost before.
#[test]
fn a_client_that_floods_until_its_share_is_full_costs_no_other_a_datagram() {
    within(MINUTE, || {
        let service = Service::echo("127.0.0.1:0");
        let builder =
            Proxy::builder().profile(to_server(delayed(50 * MS))).capacity(Capacity::new(100, 1 << 20).unwrap());
        let proxy = Running::start(builder, service.address);
        let (flooding, others) = (client(proxy.address), [(); 20].map(|()| client(proxy.address)));
        for round in 0..40_u8 {
            for _ in 0..150 {
                flooding.send(b"flood").unwrap();
            }
            for other in &others {
                other.send(&[round]).unwrap();
            }
            // All of it has been read then.
            for other in &others {
                assert_eq!(hear(other), [round]);
            }
        }
        proxy.quiet();
        let stats = proxy.stop();
        assert_eq!((stats.sessions, stats.unserved), (21, 0));
        // Of the 150 of each round 100 find a place.
        let it = stats.to_server;
        assert_eq!((it.fates.received, it.fates.dropped.capacity), (40 * 170, 40 * 50), "{it:?}");
    });
}
