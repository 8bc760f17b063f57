//! What the public types promise to whoever stores, shares, sends or wraps them.

use std::error::Error;
use std::fmt::{Debug, Display};
use std::io;
use std::time::Duration;

use udp_retry::fault::NotAProbability;
use udp_retry::net::{BusyPoll, UdpPaths, UnconnectedUdp};
use udp_retry::pmtu::{
    BlackHole, Cause, Change, Granularity, MaxProbes, Odds, PlpmtuSearch, Probe, ProbeId, PtbVerdict, SearchError,
    SearchNext, SearchSettings, SearchState,
};
use udp_retry::policy::{
    Backoff, Deviation, Jitter, LastWait, PolicyError, PolicyTextError, Preset, RetryBudget, RttEstimator, Schedule,
    Window,
};
use udp_retry::requester::Builder;
use udp_retry::size::{Plpmtu, Pmtu};
use udp_retry::time::Timestamp;
use udp_retry::transaction::{
    Action, AnyReply, BuildFor, Event, Execution, Failure, GiveUp, Identity, Match, Next, NotTransmitted, ReplyMatcher,
    RetryTimer, SuspectedPathMtu, Timeline, Transaction, TransactionId, matching,
};
use udp_retry::transport::{Incoming, NoEntropy, PathError, PathIndex, Received, Renewal, Renewed, Transport};
use udp_retry::{
    ConnectedUdp, Impairments, LossySink, Probability, ReliableRequester, Reply, RequestError, RetryPolicy, Seed,
    any_reply, transaction_id,
};

/// May be kept anywhere and used from any thread.
fn shared<T: Send + Sync + 'static>() {}
/// As `shared`, and as cheap to pass on as a number.
fn value<T: Send + Sync + Copy + PartialEq + Debug + 'static>() {}
/// May be moved to another thread, if not used from two.
fn movable<T: Send>() {}
fn an_error<T: Error + Send + Sync + 'static>() {}

#[test]
fn policies_and_decisions_are_values() {
    value::<RetryPolicy>();
    value::<Backoff>();
    value::<Jitter>();
    value::<LastWait>();
    value::<PolicyError>();
    value::<PolicyTextError>();
    value::<Preset>();
    value::<Deviation>();
    value::<Window>();
    value::<RetryTimer>();
    value::<Action>();
    value::<GiveUp>();
    value::<NotTransmitted>();
    value::<Next>();
    value::<Failure>();
    value::<Execution>();
    value::<Match>();
    value::<BuildFor>();
    value::<SuspectedPathMtu>();
    value::<Identity>();
    value::<Event>();
    value::<Timeline>();
    value::<AnyReply>();
    value::<PathError>();
    value::<Received<PathIndex>>();
    value::<Incoming<PathIndex>>();
    value::<PathIndex>();
    value::<Renewed>();
    value::<NoEntropy>();
    value::<Probability>();
    value::<NotAProbability>();
    value::<Seed>();
    value::<Timestamp>();
    value::<Pmtu>();
    value::<Plpmtu>();
    value::<SearchSettings>();
    value::<Granularity>();
    value::<MaxProbes>();
    value::<Odds>();
    value::<SearchNext>();
    value::<SearchState>();
    value::<Change>();
    value::<Cause>();
    value::<Probe>();
    value::<ProbeId>();
    value::<PtbVerdict>();
}

#[test]
fn whatever_holds_a_socket_or_a_buffer_moves_between_threads() {
    movable::<ReliableRequester>();
    movable::<ReliableRequester<LossySink<ConnectedUdp>>>();
    movable::<ReliableRequester<BusyPoll<ConnectedUdp>>>();
    movable::<Builder>();
    movable::<Transaction<Box<dyn ReplyMatcher + Send>>>();
    movable::<Reply<'_>>();
    movable::<Schedule<'_>>();
    shared::<ConnectedUdp>();
    shared::<UnconnectedUdp>();
    shared::<UdpPaths>();
    shared::<BusyPoll<ConnectedUdp>>();
    shared::<Transaction<TransactionId>>();
    shared::<TransactionId>();
    shared::<RetryBudget>();
    shared::<RttEstimator>();
    shared::<Impairments>();
    shared::<PlpmtuSearch>();
    shared::<BlackHole>();
}

#[cfg(feature = "tokio")]
#[test]
fn requests_as_futures_go_wherever_tasks_do() {
    use udp_retry::AsyncRequester;
    use udp_retry::requester::{AsyncReply, Asynchronous, Call, Target};
    use udp_retry::transport::Route;

    shared::<AsyncRequester>();
    shared::<AsyncRequester<Route>>();
    shared::<AsyncReply<PathIndex>>();
    shared::<Builder<Asynchronous>>();
    shared::<Call<'static>>();
    shared::<Target<Route>>();
    let _cheap_to_clone: fn(&AsyncRequester) -> AsyncRequester = Clone::clone;
}

#[test]
fn every_error_can_be_boxed_shared_and_asked() {
    an_error::<RequestError>();
    an_error::<PathError>();
    an_error::<Failure>();
    an_error::<NoEntropy>();
    an_error::<PolicyError>();
    an_error::<PolicyTextError>();
    an_error::<NotAProbability>();
    an_error::<SearchError>();
}

#[test]
fn what_is_stored_by_the_million_or_returned_each_time_is_small() {
    assert!(size_of::<RetryTimer>() <= 48, "{}", size_of::<RetryTimer>());
    assert!(size_of::<Action>() <= 16, "{}", size_of::<Action>());
    assert!(size_of::<PathError>() <= 8, "{}", size_of::<PathError>());
    assert_eq!(size_of::<RequestError>(), size_of::<usize>());
    assert_eq!(size_of::<Option<RequestError>>(), size_of::<usize>());
    assert!(size_of::<Next>() <= 16, "{}", size_of::<Next>());
    assert_eq!((size_of::<Seed>(), size_of::<Timestamp>(), size_of::<Probability>()), (8, 8, 8));
}

#[test]
fn matchers_can_be_chosen_at_run_time() {
    let closure = matching(|request, datagram| request == datagram);
    let matchers: [Box<dyn ReplyMatcher + Send>; 3] =
        [Box::new(transaction_id(0..1)), Box::new(any_reply()), Box::new(closure)];
    for matcher in matchers {
        assert_eq!(matcher.judge(b"a", b"a"), Match::Reply);
        let mut transaction = Transaction::new(RetryPolicy::LAN, matcher);
        transaction.start(b"a", Timestamp::ZERO, Seed::new(0));
        let now = Timestamp::ZERO;
        if transaction.identity() == Identity::Port {
            assert_eq!(transaction.next(now), Next::Renew(PathIndex::FIRST, Renewal::Required));
            transaction.on_renewed(now, PathIndex::FIRST, Ok(Renewed::FreshPort));
        }
        assert_eq!(transaction.next(now), Next::Transmit(PathIndex::FIRST));
    }
}

#[test]
fn a_requester_runs_over_any_transport_of_a_callers() {
    let policy = RetryPolicy::new(Backoff::constant(Duration::from_millis(10)).unwrap());
    let mut requester = ReliableRequester::builder(any_reply()).policy(policy).over(Refusing::default()).unwrap();
    let error = requester.request(b"?").unwrap_err();
    assert_eq!((error.failure(), error.execution()), (Failure::Local(PathError::Denied), Execution::NotSent));
    assert_eq!(requester.into_transport().asked, 10);
}

#[test]
fn a_request_error_survives_the_way_through_io_error() {
    let policy = RetryPolicy::new(Backoff::constant(Duration::from_millis(10)).unwrap());
    let mut requester = ReliableRequester::builder(any_reply()).policy(policy).over(Refusing::default()).unwrap();
    let error = requester.request(b"?").unwrap_err();
    let (words, detail) = (error.to_string(), format!("{error:?}"));

    let wrapped = io::Error::from(error);
    assert_eq!((wrapped.kind(), wrapped.to_string()), (io::ErrorKind::PermissionDenied, words.clone()));
    let error = wrapped.into_inner().unwrap().downcast::<RequestError>().unwrap();
    assert_eq!((error.to_string(), format!("{error:?}")), (words, detail));
    assert_eq!(error.last_path_error(), Some(PathError::Denied));
}

#[test]
fn question_marks_take_every_error_to_a_boxed_one() {
    fn build() -> Result<(), Box<dyn Error + Send + Sync>> {
        let _ = Probability::new(0.5)?;
        let _ = Backoff::constant(Duration::ZERO)?;
        Ok(())
    }
    let error = build().unwrap_err();
    assert_eq!(error.downcast_ref::<PolicyError>(), Some(&PolicyError::ZeroInitial));
}

#[test]
fn whatever_a_log_may_want_prints_itself() {
    fn debug<T: Debug>() {}
    fn display<T: Display>() {}
    debug::<ReliableRequester>();
    debug::<Builder>();
    debug::<Reply<'_>>();
    debug::<Transaction<TransactionId>>();
    debug::<ConnectedUdp>();
    debug::<LossySink<ConnectedUdp>>();
    debug::<BusyPoll<ConnectedUdp>>();
    debug::<RetryBudget>();
    debug::<RttEstimator>();
    display::<Timeline>();
    display::<Event>();
    display::<RequestError>();
    display::<PathError>();
    display::<PathIndex>();
    display::<Failure>();
    display::<NoEntropy>();
    display::<Deviation>();
    display::<RetryPolicy>();
    display::<Backoff>();
    display::<Jitter>();
    display::<Probability>();
    display::<Seed>();
}

/// Sends nothing, hears nothing, and its clock jumps to wherever it is asked to wait.
#[derive(Debug, Default)]
struct Refusing {
    now: Timestamp,
    asked: u32,
}

impl Transport for Refusing {
    type Peer = PathIndex;

    fn now(&self) -> Timestamp {
        self.now
    }

    fn send(&mut self, _: PathIndex, _: &[u8]) -> Result<(), PathError> {
        self.asked += 1;
        Err(PathError::Denied)
    }

    fn recv(&mut self, _: &mut [u8], _: Timestamp, until: Timestamp) -> Incoming<PathIndex> {
        self.now = self.now.max(until);
        Incoming::TimeUp(self.now)
    }

    fn renew(&mut self, _: PathIndex, _: Renewal) -> Result<Renewed, PathError> {
        Ok(Renewed::FreshPort)
    }

    fn entropy(&mut self, _: &mut [u8; 32]) -> Result<(), NoEntropy> {
        Err(NoEntropy::new())
    }
}
