//! Servers that answer at once that they work on a request, and with the result later.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use udp_retry::fault::Profile;
use udp_retry::sim::{Client, Outbox, Outcome, SimNet, explore};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{Hold, Match, ReplyMatcher, Transaction, matching};
use udp_retry::{ReliableRequester, RetryPolicy, Seed};

use super::{SERVER, balanced, ms, spec, two};

#[test]
fn a_requester_that_is_told_of_the_work_waits_for_the_result() {
    // (what the matcher makes of the answer, how often the request is sent in the 2 s that the work takes)
    for (understood, transmissions) in [(Some(Hold::Stop), 1), (Some(Hold::Slow), 2), (None, 5)] {
        let (net, executed) = works_for(Duration::from_secs(2));
        let client = net.host("10.0.0.1".parse().unwrap()).unwrap();
        let transport = net.connect(client, SERVER).unwrap();
        let builder = ReliableRequester::builder(answers(understood)).policy(RetryPolicy::LAN);
        let mut requester = builder.over(transport).unwrap();
        let reply = requester.request(&[7, b'?']).unwrap();
        assert_eq!((reply.payload(), reply.transmissions()), (&[7, b'!'][..], transmissions), "{understood:?}");
        assert_eq!((net.now(), executed.get()), (ms(2000), 1), "{understood:?}");
        balanced(&net);
    }
}

#[test]
fn a_client_of_a_fleet_waits_for_the_result_too() {
    for (understood, transmissions) in [(Some(Hold::Stop), 1), (Some(Hold::Slow), 2), (None, 5)] {
        let (net, executed) = works_for(Duration::from_secs(2));
        let host = net.host("10.0.0.1".parse().unwrap()).unwrap();
        let ended = Rc::new(RefCell::new(Vec::new()));
        let seen = ended.clone();
        let next = move |now: Timestamp, outcome: Outcome<'_>, request: &mut Vec<u8>| match outcome {
            Outcome::First => {
                request.extend([7, b'?']);
                Some(now)
            }
            Outcome::Reply { payload, transmissions, elapsed, .. } => {
                seen.borrow_mut().push((payload.to_vec(), transmissions, elapsed));
                None
            }
            other => panic!("{other:?}"),
        };
        let transaction = Transaction::new(RetryPolicy::LAN, answers(understood));
        net.serve_connected(host, SERVER, Client::new(SERVER, transaction, Seed::new(1), next)).unwrap();
        net.run_until(ms(5000));
        assert_eq!(*ended.borrow(), [(vec![7, b'!'], transmissions, Duration::from_secs(2))], "{understood:?}");
        assert_eq!(executed.get(), 1, "{understood:?}");
        balanced(&net);
    }
}

#[test]
fn no_request_is_executed_twice_whatever_is_lost_of_its_answers() {
    let scenario = |net: &SimNet| {
        let (client, server) = two(net);
        net.path(client, server, Profile::both(spec("loss 20%; duplicate 20% late 50ms; delay 5ms ~4ms")))?;
        let (server, executed) = server_that_works(Duration::from_millis(350));
        net.serve(SERVER, server)?;
        let builder = ReliableRequester::builder(answers(Some(Hold::Slow))).policy(RetryPolicy::LAN);
        let mut requester = builder.over(net.connect(client, SERVER)?)?;
        for id in 0..5 {
            let before = executed.get();
            match requester.request(&[id, b'?']) {
                Ok(reply) if reply.payload() != [id, b'!'] => return Err(format!("{:?}", reply.payload()).into()),
                Ok(_) if executed.get() != before + 1 => return Err("not executed once".into()),
                Ok(_) => {}
                Err(_) if executed.get() > before + 1 => return Err("executed twice".into()),
                Err(_) => {}
            }
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    explore(0..300, scenario).unwrap_or_else(|failure| panic!("{failure}"));
}

/// A network with a server that works for this long on each request, and how many it has executed.
fn works_for(work: Duration) -> (SimNet, Rc<Cell<u32>>) {
    let net = SimNet::new(Seed::new(1));
    net.host(SERVER.ip()).unwrap();
    let (server, executed) = server_that_works(work);
    net.serve(SERVER, server).unwrap();
    (net, executed)
}

type Serve = Box<dyn FnMut(Timestamp, SocketAddr, &[u8], &mut Outbox<'_>)>;

/// Says at once that it works on a request, and the result when the work is done. To copies it says how things stand.
fn server_that_works(work: Duration) -> (Serve, Rc<Cell<u32>>) {
    let executed = Rc::new(Cell::new(0));
    let count = executed.clone();
    let mut done = BTreeMap::new();
    let serve = move |now: Timestamp, from: SocketAddr, request: &[u8], out: &mut Outbox<'_>| {
        let (working, result) = ([request[0], b'w'], [request[0], b'!']);
        match done.get(&(from, request[0])) {
            Some(&done) if done <= now => out.send(from, &result),
            Some(_) => out.send(from, &working),
            None => {
                count.set(count.get() + 1);
                done.insert((from, request[0]), now.after(work));
                out.send(from, &working);
                out.send_after(work, from, &result);
            }
        }
    };
    (Box::new(serve), executed)
}

/// A matcher that understands that the server works, or takes it for nothing.
fn answers(understood: Option<Hold>) -> impl ReplyMatcher + Send + Sync + 'static {
    matching(move |request: &[u8], datagram: &[u8]| match datagram {
        [id, ..] if *id != request[0] => Match::Foreign,
        [_, b'w'] => understood.map_or(Match::Foreign, Match::Provisional),
        _ => Match::Reply,
    })
}
