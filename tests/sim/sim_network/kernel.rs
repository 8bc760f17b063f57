//! The kernel of the client.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::Seed;
use udp_retry::fault::Profile;
use udp_retry::sim::{Happened, Outbox, SimError, SimNet, echo};
use udp_retry::size::Plpmtu;
use udp_retry::transport::{PathError, PathIndex, Transport};

use super::{Every, SERVER, at, balanced, hear, ip, ms, recording, spec, two};
use crate::offers::Offers;
use crate::waits::Waits;

#[test]
fn a_refusal_swallows_the_next_send_which_is_re_issued_once() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 1ms"))).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    // Alternately: every other datagram never leaves.
    for sent in [1, 1, 2, 2, 3] {
        let outcome = transport.send(PathIndex::FIRST, b"x");
        assert_eq!((outcome.is_ok(), net.stats().sent), (sent != net.stats().sent || outcome.is_ok(), sent));
        net.run_until(net.now().after(Duration::from_millis(10)));
    }
    assert_eq!(transport.offer(PathIndex::FIRST, b"x"), Ok(Some(PathError::Refused)));
    assert_eq!(net.stats().sent, 4);
    balanced(&net);
}

#[test]
fn a_pending_error_hides_a_queued_reply_and_there_is_room_for_one() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 1ms"))).unwrap();
    net.serve(SERVER, echo()).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    transport.send(PathIndex::FIRST, b"ping").unwrap();
    net.run_until(ms(2));
    assert!(net.stop(SERVER) && !net.stop(SERVER));
    for _ in 0..3 {
        transport.send(PathIndex::FIRST, b"refused").unwrap();
    }
    net.run_until(ms(10));
    let mut buffer = [0; 8];
    assert_eq!(transport.wait(&mut buffer, ms(20)), Err(PathError::Refused));
    assert_eq!(net.now(), ms(10), "at once");
    assert_eq!(transport.wait(&mut buffer, ms(20)).unwrap().map(|heard| heard.at), Some(ms(2)));
    assert_eq!(transport.wait(&mut buffer, ms(20)), Ok(None), "three refusals, one error");
}

#[test]
fn a_refusal_wakes_whoever_waits_and_takes_as_long_as_a_reply() {
    let net = recording(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile { to_server: spec("delay 10ms"), to_client: spec("delay 7ms") }).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    transport.send(PathIndex::FIRST, b"x").unwrap();
    assert_eq!(transport.wait(&mut [0; 8], ms(500)), Err(PathError::Refused));
    assert_eq!(net.now(), ms(17));
    let whats: Vec<_> = net.events().iter().map(|event| event.what).collect();
    assert!(
        matches!(
            whats[..],
            [Happened::Sent { .. }, Happened::Refused, Happened::RefusalSent { .. }, Happened::RefusalArrived]
        ),
        "{whats:?}"
    );
    // A way that loses everything loses refusals too.
    net.path(client, server, Profile { to_server: spec("none"), to_client: spec("loss 100%") }).unwrap();
    transport.send(PathIndex::FIRST, b"x").unwrap();
    assert_eq!(transport.wait(&mut [0; 8], ms(500)), Ok(None));
    // And so does a partition.
    net.path(client, server, Profile::default()).unwrap();
    net.partition_one_way(server, client).unwrap();
    transport.send(PathIndex::FIRST, b"x").unwrap();
    assert_eq!(transport.wait(&mut [0; 8], ms(900)), Ok(None));
    balanced(&net);
}

#[test]
fn a_connected_socket_hears_its_peer_alone() {
    let net = recording(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 1ms"))).unwrap();
    let stranger = at("10.0.0.2:666");
    // A forger on the server's own host, with another port.
    let target = Rc::new(Cell::new(None));
    let shot = target.clone();
    net.serve_endpoint(
        stranger,
        Every {
            period: Duration::from_millis(1),
            next: ms(1),
            shoot: move |out: &mut Outbox| {
                if let Some(client) = shot.get() {
                    out.send(client, b"forged");
                }
            },
        },
    )
    .unwrap();
    let mut transport = net.connect(client, SERVER).unwrap();
    target.set(transport.local_addr());
    assert_eq!(transport.wait(&mut [0; 8], ms(10)), Ok(None));
    let foreign = net.events().iter().filter(|event| event.what == Happened::Foreign).count();
    assert_eq!((foreign as u64, net.stats().lost_on_arrival), (9, 9));
    balanced(&net);
}

#[test]
fn a_full_receive_buffer_loses_what_comes_then() {
    let net = recording(Seed::new(1));
    let (client, _) = two(&net);
    net.serve(SERVER, echo()).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap().with_receive_buffer(3 * (768 + 100));
    for n in 0..5 {
        transport.send(PathIndex::FIRST, &[n; 100]).unwrap();
    }
    let heard: Vec<u8> = std::iter::from_fn(|| hear(&mut transport, ms(0)).map(|(datagram, _)| datagram[0])).collect();
    assert_eq!(heard, [0, 1, 2]);
    assert_eq!(net.events().iter().filter(|event| event.what == Happened::Overflowed).count(), 2);
    transport.send(PathIndex::FIRST, &[9; 100]).unwrap();
    assert!(hear(&mut transport, ms(0)).is_some(), "there is room again");
    balanced(&net);
}

#[test]
fn what_cannot_be_sent_is_an_error_at_once() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    let mut transport = net.connect(client, SERVER).unwrap();
    assert_eq!(transport.send(PathIndex::FIRST, &[0; 65_508]), Err(PathError::too_big(Some(Plpmtu::new(65_507)))));
    net.path(client, server, Profile::both(spec("mtu 1400 error"))).unwrap();
    assert_eq!(transport.send(PathIndex::FIRST, &[0; 1373]), Err(PathError::too_big(Some(Plpmtu::new(1372)))));
    let mut nowhere = net.connect(client, at("10.9.9.9:1")).unwrap();
    assert_eq!(nowhere.send(PathIndex::FIRST, b"x"), Err(PathError::Unreachable));
    assert_eq!(net.connect(client, at("[fd00::2]:7")).unwrap_err(), SimError::OtherFamily(at("[fd00::2]:7")));
    assert_eq!(net.host(ip("10.0.0.1")), Err(SimError::AddressTaken(ip("10.0.0.1"))));
    net.serve(SERVER, echo()).unwrap();
    assert_eq!(net.serve(SERVER, echo()), Err(SimError::InUse(SERVER)));
    assert_eq!(net.serve(at("10.9.9.9:1"), echo()), Err(SimError::NoSuchHost(ip("10.9.9.9"))));
    balanced(&net);
}

#[test]
fn a_late_wake_up_finds_what_has_come_meanwhile() {
    let net = SimNet::new(Seed::new(1));
    let (client, server) = two(&net);
    net.path(client, server, Profile::both(spec("delay 6ms"))).unwrap();
    net.serve(SERVER, echo()).unwrap();
    let mut transport = net.connect(client, SERVER).unwrap().late_by(Duration::from_millis(5));
    assert_eq!(transport.wait(&mut [0; 8], ms(10)), Ok(None));
    assert_eq!(net.now(), ms(15));
    transport.send(PathIndex::FIRST, b"x").unwrap();
    let heard = transport.wait(&mut [0; 8], ms(25)).unwrap().unwrap();
    assert_eq!((heard.at, net.now()), (ms(27), ms(30)));
}
