//! Scenarios that fail for some seeds; also what a program that a test writes is made of, so nothing here is of `sim`.

use udp_retry::fault::Profile;
use udp_retry::sim::{SimNet, echo};
use udp_retry::{ReliableRequester, RetryPolicy, transaction_id};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// README's own, but for the expectation, which a single loss disappoints.
pub(crate) fn needs_no_retransmission(net: &SimNet) -> Outcome {
    let (client, server) = (net.host("10.0.0.1".parse()?)?, net.host("10.0.0.2".parse()?)?);
    net.path(client, server, Profile::both("loss 30%; duplicate 10%; delay 20ms ~5ms".parse()?))?;
    net.serve("10.0.0.2:1060".parse()?, echo())?;
    let transport = net.connect(client, "10.0.0.2:1060".parse()?)?;
    let mut requester = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN).over(transport)?;
    for id in 0..3 {
        if let Ok(reply) = requester.request(&[id, b'?']) {
            assert_eq!(reply.transmissions(), 1, "request {id}");
        }
    }
    Ok(())
}

/// The same, returned and not asserted.
pub(crate) fn reports_a_retransmission(net: &SimNet) -> Outcome {
    let (client, server) = (net.host("10.0.0.1".parse()?)?, net.host("10.0.0.2".parse()?)?);
    net.path(client, server, Profile::both("loss 30%; duplicate 10%; delay 20ms ~5ms".parse()?))?;
    net.serve("10.0.0.2:1060".parse()?, echo())?;
    let transport = net.connect(client, "10.0.0.2:1060".parse()?)?;
    let mut requester = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN).over(transport)?;
    for id in 0..3 {
        if let Ok(reply) = requester.request(&[id, b'?']) {
            if reply.transmissions() != 1 {
                return Err(format!("request {id} took {} transmissions", reply.transmissions()).into());
            }
        }
    }
    Ok(())
}

/// A path that is used before it is set, and set again later: each time with another delay.
pub(crate) fn changes_its_path(net: &SimNet) -> Outcome {
    let (client, server) = (net.host("10.0.0.1".parse()?)?, net.host("10.0.0.2".parse()?)?);
    net.heal(client, server)?;
    net.serve("10.0.0.2:1060".parse()?, echo())?;
    let transport = net.connect(client, "10.0.0.2:1060".parse()?)?;
    let mut requester = ReliableRequester::builder(transaction_id(0..1)).policy(RetryPolicy::LAN).over(transport)?;
    let mut transmissions = requester.request(&[0, b'?'])?.transmissions();
    for (id, delay) in [(1, "delay 5ms"), (2, "delay 11ms ~4ms"), (3, "delay 30ms")] {
        net.path(client, server, Profile::both(format!("loss 20%; {delay}").parse()?))?;
        transmissions += requester.request(&[id, b'?']).map_or(5, |reply| reply.transmissions());
    }
    if transmissions > 5 { Err(format!("{transmissions} transmissions").into()) } else { Ok(()) }
}
