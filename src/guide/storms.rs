//! Retry storms: how retries keep a server down that is well again, what prevents it, and what a program should set.
//!
//! A server that has stood still for ten seconds is often down for much longer. Its queue is full of requests whose
//! clients have given up; while it works on those, newer ones wait until they are too old as well, and every client
//! that waits has sent again. Nothing is broken by then, and still nothing gets through.
//!
//! The command `udp-retry outage` reproduces that in virtual time, with the
//! [`Transaction`](crate::transaction::Transaction), the [`RetryBudget`](crate::RetryBudget) and the
//! [`RttEstimator`](crate::policy::RttEstimator) of this crate, and compares thirteen ways to retry. The same seed gives
//! the same table:
//!
//! ```text
//! udp-retry outage                                   1,000 clients, the table and picture here
//! udp-retry outage --clients 10 --svg outage.svg
//! ```
//!
#![doc = include_str!("storms.svg")]
//!
//! # The study
//!
//! 600 requests a second arrive at random moments, whether earlier ones were answered or not, from 1,000 clients. One
//! server answers 1,000 a second, first come, first served, with a queue of 2,000. A round trip takes 10 ms, and 1 % of
//! the datagrams are lost in each direction. A request waits 200 ms, then twice as long, is sent four times at most, and is given
//! up after 1 s. From 20 s to 30 s the server does nothing, and its queue keeps filling. Medians of three runs:
//!
//! | policy | recovers after | sent per request, in the stall / 30 s after | answered in the 30 s after | work wasted then | answered if 19 % of attempts fail |
//! |---|---|---|---|---|---|
//! | no-retry | 3 s | 1.00 / 1.00 | 89.8 % | 18 % | 81.1 % |
//! | fixed | never | 3.88 / 4.00 | 0 % | 100 % | 99.9 % |
//! | exponential | never | 2.92 / 3.00 | 0 % | 100 % | 99.3 % |
//! | exponential-full-jitter | never | 3.76 / 3.86 | 0 % | 100 % | 99.8 % |
//! | exponential-upward-jitter | never | 2.90 / 3.00 | 0 % | 100 % | 99.3 % |
//! | aws-500 | 42 s | 2.92 / 2.84 | 0 % | 100 % | 99.3 % |
//! | finagle | never | 2.92 / 3.00 | 0 % | 100 % | 99.3 % |
//! | envoy | never | 2.90 / 2.98 | 0 % | 100 % | 99.3 % |
//! | grpc | 3 s | 1.53 / 1.00 | 89.8 % | 18 % | 81.2 % |
//! | rtt-estimator | 3 s | 1.65 / 1.02 | 91.2 % | 18 % | 99.3 % |
//! | server-drops-expired | 0 s | 2.92 / 1.04 (see below) | 100 % | 1 % | 99.3 % |
//! | **recommended** | 3 s | 1.60 / 1.02 | 90.8 % | 19 % | 99.1 % |
//! | **recommended-envelope** | 0 s | 1.60 / 1.02 | 99.8 % | 1 % | 99.1 % |
//!
//! It has recovered where five seconds in a row reach 95 % of the success before; a request counts in the second in which
//! it began. Work is wasted if its reply ends no request. The last column is of a calm server over 600 s, with 10 % lost
//! in each direction. The guards of the field have the parameters that they ship with, one guard for each client.
//!
//! - **Backoff does not help, and jitter does not either**: they move retransmissions, and remove none. Three
//!   transmissions of 600 requests are 1,800 a second for a server that answers 1,000.
//! - **Floors add up.** 500 tokens at the start (AWS), ten retries a second in any case (Finagle), three at once in any
//!   case (Envoy): for each of 1,000 clients that is more than the server can bear. With 10 clients all three recover,
//!   after 3, 6 and 8 s, and without a guard 10 clients stay down as 1,000 do.
//! - **A small budget that only success refills** binds at once. What it earns decides what loss it bears: with 0.1 of a
//!   token for a success, as gRPC has it, retrying all but ends where 19 % of the attempts fail. 0.2 answers 96.3 % there,
//!   0.25 answers 98.6 %, 0.3 answers 99.1 %, and 0.5 no more than 99.2 %.
//! - **An estimator that stays backed off from one request to the next** is the strongest measure a client has: after the
//!   first timeouts its next requests are sent once, and the clean round trip that ends the doubling comes only when the
//!   server is well.
//! - **A server that drops requests whose deadline has passed** is back at once, whatever its clients do. It answers 98 %
//!   or more from then on; in one run of four its queue stays just short of the deadline, though, and with it the
//!   retransmissions, three for each request.
//! - **Both together**, by the [envelope](crate::envelope) that says how much time is left: `recommended-envelope` is back at
//!   once and sends as little as `recommended` does. No clocks are compared, so the 5 ms that a request is on its way go
//!   unseen.
//! - **What keeps a server down is the stale work in its queue.** After a crash, which empties it, exponential waits
//!   recover at once; only `fixed` and `exponential-full-jitter` fill it again with the requests that their clients have in progress.
//!
//! # What to set
//!
//! 1. A **deadline**: [`Builder::deadline`](crate::requester::Builder::deadline). If you own both ends, have the server drop
//!    what no one waits for: [`Builder::envelope`](crate::requester::Builder::envelope) says it in each request.
//! 2. One **budget** for each destination, shared by the whole process:
//!    [`Builder::budget`](crate::requester::Builder::budget) with clones of one
//!    [`RetryBudget::default`](crate::RetryBudget).
//! 3. An **estimator**: [`Builder::estimator`](crate::requester::Builder::estimator). Where each transmission has an id of
//!    its own, as in the study, every reply is a measurement; with equal ids only requests that were sent once are.
//! 4. **Jitter upward**, which is the default: full jitter on a wait for a reply retransmits 6 % of the requests that need
//!    nothing, even on this quick path.
//!
//! That is the row `recommended`. The defaults of the budget, 0.3 of a token for a success, 10 tokens at most, 3 at the
//! start, are the study's choice: a burst of 3 answers 97.0 % instead of 99.1 % at 19 % loss, and with a start of 10 and
//! no estimator 2.5 transmissions leave for each request in the stall instead of 1.9, and recovery takes 5 s instead of 3.
//!
//! The estimators of this study are not held back by the deadline. A requester's leaves time for three transmissions before
//! it ([`RetryPolicy::starting_within`](crate::RetryPolicy::starting_within)), so that a request can still repair a loss.
//! Where the deadline is a few times the first wait, as here, that gives up what the doubling is worth: held back so, the row
//! `rtt-estimator` never recovers, and `recommended` still does after 3 s, for its budget.
//!
//! # What the defaults do
//!
//! [`RetryPolicy::default`](crate::RetryPolicy) and nothing else, in the same outage: 99.7 % of the requests of the 30 s
//! after it are answered, since they may wait for 30 s, so it recovers at once. It does not become calm, though. A full
//! queue takes 2 s and the first wait is 1 to 1.5 s, so every request is still sent twice at the end of the run. With a
//! budget or with `RttEstimator::default()` besides it is sent 1.02 times from half a minute after the stall on.
//!
//! # Limits
//!
//! One model, one load, one queue, and a server that answers twice what is asked twice. 100,000 clients, each of which
//! asks once in 167 s, recover with no client's measure but not retrying: a client has nothing to remember then, and all
//! of them spend what their budgets hold at the start. A start of 0 tokens, and the server's own dropping, are for them.
//! `--cause crash|slow|loss`, `--stall` and `--clients` try other troubles.
