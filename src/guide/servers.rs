//! Several servers: which one to ask, why that is not the fastest, and what a program should set.
//!
//! Most services have several addresses. One is dead, one is slow, one loses datagrams, and mostly none of that is so. The
//! question whom to ask next looks simple: whoever answered fastest. That answer takes down services that have a third of
//! their capacity to spare.
//!
//! The command `udp-retry outage --servers` shows it in virtual time, with the [`ServerSet`](crate::servers::ServerSet) of this
//! crate beside shapes of the field. The same seed gives the same table:
//!
//! ```text
//! udp-retry outage --servers                                       the tables and the picture here
//! udp-retry outage --servers --situations load-87,fleet-87 --seed 2
//! ```
//!
#![doc = include_str!("servers.svg")]
//!
//! # The study
//!
//! Requests begin at random moments, whether earlier ones were answered or not. Each has 5 s, and the intervals of
//! [`RetryPolicy::default`](crate::RetryPolicy). Every situation is 100,000 requests; the same code drives the requests, rounds,
//! failovers and probes of all rows, and only the choice differs. The rows:
//!
//! | row | chooses | before the next server |
//! |---|---|---|
//! | `one-server` | in turn for each request, which stays there | never |
//! | `round-robin` | the next one for each transmission | 1 s |
//! | `fastest` | the lowest mean latency, those that failed last; one request in ten tries these again after 5 s (the shape of c-ares) | 5 × the mean, 250 ms to 5 s |
//! | `unbound` | any within 400 ms of the best timeout (the shape of unbound); late replies are not seen | SRTT + 4 · RTTVAR, from 50 ms |
//! | `greedy` | the lowest round trip and loss, and stays there | SRTT + 4 · RTTVAR, from 50 ms |
//! | **`banded`** | this crate's, with its defaults, and a budget of 0.2 of a transmission for a success, 20 at most and at the start | SRTT + 4 · RTTVAR, from 250 ms |
//! | `banded-hedged` | the same, with 5 % of the requests [hedged](crate::servers::ServerSettings::with_hedging) | |
//!
//! They are shapes, written from what is published: c-ares keeps the configured order among those that have not failed, and none
//! is the program. Requests answered, time to their reply at the median and at the 99th percentile in ms, transmissions for
//! each request:
//!
//! | one client, 100 requests a second | one dead, one slow (200 ms), one lossy (30 % each way) | one of three dies: the next 15 s | all silent for 10 s: 15 s from then | one request in 10 s, one of three dead |
//! |---|---|---|---|---|
//! | one-server | 62.3 % · 209/4174 · 1.92 | 66.7 % · 42/1042 · 1.57 | 58.0 % · 2.26 | 66.7 % · 42/1070 · 1.67 |
//! | round-robin | 100 % · 1202/2217 · 1.68 | 100 % · 43/1044 · 1.33 | 59.8 % · 3.28 | 100 % · 43/1044 · 1.35 |
//! | fastest | 100 % · 210/459 · 1.02 | 100 % · 42/292 · 1.02 | 61.5 % · 5.68 | 100 % · 42/291 · 1.11 |
//! | unbound | 100 % · 210/219 · 1.01 | 100 % · 42/441 · 1.03 | 33.2 % · 1.77 | 100 % · 42/418 · 1.03 |
//! | greedy | 100 % · 210/219 · 1.00 | 100 % · 42/91 · 1.01 | 56.0 % · 2.19 | 100 % · 42/91 · 1.01 |
//! | **banded** | 100 % · 210/219 · 1.01 | 100 % · 42/292 · 1.02 | 62.2 % · **0.72** | 100 % · 42/291 · 1.26 |
//! | banded-hedged | 100 % · 210/219 · 1.01 | 100 % · 42/93 · 1.06 | 62.2 % · 0.72 | 100 % · 42/91 · 1.26 |
//!
//! Of three servers that answer 50 a second each, one after the other, with a queue of 100 (1 : 2 : 4: 25, 50 and 100), one
//! client asks for this share of what they can do:
//!
//! | one client | 67 % | 87 % | 97 % | 107 % | 1 : 2 : 4, 80 % |
//! |---|---|---|---|---|---|
//! | round-robin | 100 % · 77 | 100 % · 139 | 100 % · 430 | 64.1 % · 4021 | 74.3 % · 4020 |
//! | fastest | **64.5 %** · 3810 | 51.0 % · 4035 | 44.3 % · 4080 | 40.6 % · 4117 | 80.3 % · 4900 |
//! | unbound | **70.3 %** · 4872 | 57.3 % · 4861 | 53.7 % · 4758 | 53.2 % · 4904 | 50.8 % · 4665 |
//! | greedy | 96.0 % · 4695 | **80.0 %** · 4916 | 72.9 % · 4924 | 64.5 % · 4938 | 87.0 % · 4776 |
//! | **banded** | 100 % · 80 | 100 % · 142 | 97.5 % · 2019 | 86.3 % · 4055 | 100 % · 201 |
//! | banded-hedged | 100 % · 117 | 100 % · 535 | 97.1 % · 2018 | 87.7 % · 4061 | 100 % · 369 |
//!
//! And 50 clients that know nothing of each other, for the same:
//!
//! | 50 clients | 67 % | 87 % | 97 % | 107 % | 1 : 2 : 4, 80 % |
//! |---|---|---|---|---|---|
//! | round-robin | 100 % · 137 | 100 % · 210 | 100 % · 463 | 53.4 % · 4021 | 75.5 % · 4021 |
//! | fastest | 100 % · 187 | 99.83 % · 1988 | 97.8 % · 2021 | 92.5 % · 2020 | 99.94 % · 2037 |
//! | unbound | 99.61 % · 2019 | 98.6 % · 4195 | 96.7 % · 4427 | 88.4 % · 4264 | 99.60 % · 2918 |
//! | greedy | 100 % · 324 | 99.76 % · 2015 | 97.7 % · 4599 | 88.7 % · 4707 | 99.95 % · 1027 |
//! | **banded** | 100 % · 140 | 100 % · 1120 | 99.92 % · 1940 | 92.3 % · 4153 | 100 % · 310 |
//! | banded-hedged | 99.98 % · 1671 | 99.81 % · 1959 | 99.62 % · 2012 | 91.4 % · 4163 | 99.85 % · 1280 |
//!
//! # Why not the fastest
//!
//! Because whoever is chosen does not stay the fastest. All load goes to one server, which can do a third of it; its queue
//! grows until its replies are slower than those of the others, or late; then all load goes to the next one, while the first
//! works on what no one waits for any more. What was sent twice comes on top. At two thirds of what the three can do together,
//! one in three requests fails, and of those answered half take 2 s. A wide band of timeouts does the same, only later: once a
//! queue is 400 ms longer than another, no one goes there. Many clients that know nothing of each other blur it, and no more.
//!
//! # Why a band
//!
//! Servers that differ by less than a factor of two, or 20 ms, are equally good, and of these the one with the fewest requests
//! outstanding is asked: that is as good as taking turns where all are equal, and sees what taking turns does not: who is
//! slow, lossy, dead, or has half the capacity. A server is judged by its round trip *without* queues: one that is avoided for a
//! queue shows no better until it is forgotten. A reply that is merely late makes all waits longer, and what a queue drops
//! does not count as lost on the path; both were found by this study. Without the first, 99.65 % of a fleet's requests are
//! answered at 87 %; without the second, 61 % of one client's at 107 %.
//!
//! # What probes and parking do
//!
//! Three waits in a row without a reply, and a server is dead. No request goes to it; copies of requests that are sent anyway
//! do, after 250 ms, then after twice as long, up to 30 s, and no one waits for their replies. A mark that just expires would
//! send users there again. Servers that live are never probed: that would double the load of a client of one request in 10 s.
//! With one of three dead it sends 1.26 times, which is the price of knowing within half a minute that the server is back.
//!
//! While all are dead no request is sent at all; each server is probed, once a second at most, and the first answer releases
//! what is waiting. A third of the requests of those 15 s cannot be answered by anyone: they are too old when the servers are back.
//! The other rows send two to six times for each request; `banded` sends 0.72 times, answers as many or more, and
//! the servers come back to what is still wanted, once.
//!
//! # What hedging costs
//!
//! Two losses in a hundred requests cost a wait of 250 ms each: hedging takes the 99th percentile from 292 to 93 ms where one
//! of three dies, for 4 % more transmissions. Under load it buys nothing and costs a lot: at 87 % one client's 99th percentile
//! rises from 142 to 535 ms; with 50 clients 0.19 % of the requests fail, and none without. So it is off by default, and only
//! for requests that are declared [repeatable](crate::transaction::Request::repeatable).
//!
//! # What to set
//!
//! | service | set | why |
//! |---|---|---|
//! | DNS, to resolvers | the defaults; [`ServerSettings::LAN`](crate::servers::ServerSettings::LAN) where they are in the same building | queries are repeatable, and resolvers equal: spread them |
//! | NTP, one answer wanted | the defaults, no hedging | a client of one request in minutes has forgotten all by the next one, and 250 ms are all that a dead server costs. A client that compares servers asks each by itself |
//! | RADIUS | [`Spread::InOrder`](crate::servers::Spread::InOrder) for primary and backup, [`Spread::Sticky`](crate::servers::Spread::Sticky) where a server keeps the state of a conversation; [`ServerSettings::STRICT`](crate::servers::ServerSettings::STRICT) across the Internet; never hedging | a copy at another server is another authentication, and another session in its accounts |
//!
//! And for all of them a deadline, and one [`RetryBudget`](crate::RetryBudget) for the whole set: repeats, failovers and hedges
//! draw on it together.
//!
//! # Limits
//!
//! One path to each server, queues that are first come, first served, and servers that answer twice what is asked twice. Where
//! more is asked than servers can do, some requests fail, whoever chooses. At 97 % taking turns with a wait of 1 s loses
//! nothing and `banded` 3 to 8 % of one client's requests, since it asks another server sooner: with
//! [`ServerSettings::STRICT`](crate::servers::ServerSettings::STRICT) it loses none either, and a dead server costs 1 s instead of
//! 250 ms. The parameters of the set are changed only by this study, and its figures are held in the tests.
