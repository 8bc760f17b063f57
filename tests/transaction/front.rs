//! A front in twenty lines, written from the documentation of `Transaction` alone: what it does without knowing, the
//! machine knows.

use std::ops::Range;
use std::time::Duration;

use udp_retry::fault::{Profile, Rule, Script};
use udp_retry::sim::{SimNet, echo};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{BuildFor, Failure, Next, ReplyMatcher, Transaction};
use udp_retry::transport::{Incoming, NoEntropy, PathError, PathIndex, Received, Renewal, Renewed, Transport};
use udp_retry::{Impairments, RetryPolicy, Seed, any_reply, transaction_id};

/// Drives a transaction that was started over any transport; gives back where in the buffer the reply is.
pub(crate) fn drive<T: Transport<Peer = PathIndex>>(
    transport: &mut T,
    transaction: &mut Transaction<impl ReplyMatcher>,
    mut build: impl FnMut(BuildFor, &mut Vec<u8>),
    buffer: &mut [u8],
) -> Result<Range<usize>, Failure> {
    loop {
        let now = transport.now();
        match transaction.next(now) {
            Next::Idle => panic!("start it first"),
            Next::Build(..) => transaction.build(&mut build),
            Next::Renew(path, need) => transaction.on_renewed(now, path, transport.renew(path, need)),
            Next::Transmit(path) => transaction.on_sent(now, transport.send(path, transaction.datagram())),
            Next::WaitUntil(until) => {
                let incoming = transport.recv(buffer, now, until);
                transaction.on_incoming(transport.now(), incoming, buffer);
            }
            Next::Done => return Ok(transaction.reply()),
            Next::Failed(failure) => return Err(failure),
        }
    }
}

#[test]
fn ten_thousand_requests_by_id_meet_late_duplicates_and_no_wrong_reply() {
    let (right, late) = ask_10_000(transaction_id(0..4));
    assert_eq!(right, 10_000);
    assert!(late > 5_000, "{late} replies came late: too few to prove anything");
}

#[test]
fn ten_thousand_requests_without_ids_meet_late_duplicates_and_no_wrong_reply() {
    let (right, _) = ask_10_000(any_reply());
    assert_eq!(right, 10_000);
}

/// Every request arrives twice, the second copy late, and every third reply takes its time.
fn ask_10_000(matcher: impl ReplyMatcher) -> (u32, u64) {
    let net = SimNet::new(Seed::new(14));
    let (client, server) =
        (net.host("10.0.0.1".parse().unwrap()).unwrap(), net.host("10.0.0.2".parse().unwrap()).unwrap());
    let every_third = Script::new((1..40_000_u64).map(|nth| (3 * nth, Rule::Delay { by: ms(150) }))).unwrap();
    let impairments = |text: &str| text.parse::<Impairments>().unwrap();
    let profile = Profile {
        to_server: impairments("duplicate 100% late 40ms; delay 3ms"),
        to_client: impairments("delay 3ms").with_script(every_third),
    };
    net.path(client, server, profile).unwrap();
    net.serve("10.0.0.2:7".parse().unwrap(), echo()).unwrap();
    let mut transport = net.connect(client, "10.0.0.2:7".parse().unwrap()).unwrap();

    let mut transaction = Transaction::new(RetryPolicy::LAN, matcher);
    let (mut right, mut buffer) = (0, [0; 64]);
    for number in 0..10_000_u32 {
        let request = number.to_be_bytes();
        transaction.start(&request, transport.now(), Seed::new(u64::from(number)));
        let reply = drive(&mut transport, &mut transaction, |_, _| {}, &mut buffer).unwrap();
        assert_eq!(buffer[reply], request, "request {number} got another's reply");
        right += 1;
    }
    (right, net.stats().duplicates)
}

#[test]
fn every_retransmission_leaves_although_refusals_swallow_sends() {
    for number in 0..10_000_u32 {
        let mut path = Swallowing { now: at_ms(3_600_000), swallowed: 0, sent: Vec::new() };
        let mut transaction = Transaction::new(RetryPolicy::LAN, transaction_id(0..4));
        transaction.start(&number.to_be_bytes(), path.now, Seed::new(u64::from(number)));
        let mut buffer = [0; 64];
        let reply = drive(&mut path, &mut transaction, |_, _| {}, &mut buffer).unwrap();
        assert_eq!(buffer[reply], number.to_be_bytes());
        assert_eq!((path.sent.len(), path.swallowed), (3, 3), "{}", transaction.timeline());
    }
}

/// Every send fails once, with a refusal of something earlier; the third datagram that leaves is answered.
struct Swallowing {
    now: Timestamp,
    swallowed: usize,
    sent: Vec<Vec<u8>>,
}

impl Transport for Swallowing {
    type Peer = PathIndex;

    fn now(&self) -> Timestamp {
        self.now
    }

    fn send(&mut self, _to: PathIndex, datagram: &[u8]) -> Result<(), PathError> {
        if self.swallowed == self.sent.len() {
            self.swallowed += 1;
            return Err(PathError::Refused);
        }
        self.sent.push(datagram.to_vec());
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8], _now: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
        if let [_, _, third] = &self.sent[..] {
            buffer[..third.len()].copy_from_slice(third);
            return Incoming::Datagram(Received::new(PathIndex::FIRST, third.len(), third.len(), self.now));
        }
        self.now = self.now.max(until);
        Incoming::TimeUp(self.now)
    }

    fn renew(&mut self, _path: PathIndex, _need: Renewal) -> Result<Renewed, PathError> {
        Ok(Renewed::FreshPort)
    }

    fn entropy(&mut self, _key: &mut [u8; 32]) -> Result<(), NoEntropy> {
        Err(NoEntropy::new())
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at_ms(millis: u64) -> Timestamp {
    Timestamp::ZERO.after(ms(millis))
}
