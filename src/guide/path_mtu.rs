//! How large a datagram may be: what a path MTU is, why the kernel's number can be wrong, how to measure it, and what to set.
//!
//! Every link has a largest packet, its MTU. The *path MTU* (PMTU) is that of the narrowest link to a peer, in bytes of an IP
//! packet; what is left of it for the payload of a UDP datagram, after 28 bytes of headers or 48 over IPv6, is called PLPMTU here
//! (RFC 8899 §2). A larger datagram goes in fragments, and the loss of one loses all; many firewalls and NATs drop them, and
//! IPv6 routers never make any (RFC 8085 §3.2, RFC 8900). Where fragments are forbidden, it is lost.
//!
//! # Why the kernel's number can be wrong
//!
//! A kernel learns the PMTU from routers: one that drops a packet as too big reports what the next link carries (RFC 1191, RFC
//! 8201). [`kernel_pmtu`](crate::net::kernel_pmtu) shows what it believes. That is wrong
//!
//! - **before anything was sent**: it is the MTU of the own interface then, 1500 on Ethernet, whatever comes after it;
//! - **in a black hole**: many routers report nothing, firewalls drop reports, and a switch has none to send. The kernel says 1500
//!   indefinitely; all that is larger than the path vanishes, and so does every retransmission of it (RFC 2923 §2.1, RFC 4821 §1);
//! - **after a forged report**: anyone can send one. The kernel then keeps a number that is too low, for ten minutes on Linux (RFC
//!   8201 §6);
//! - **after a change of route**: what was learnt of the old path stays for as long (RFC 8201 §5.3);
//! - **on the way back**: no report of that comes to this host.
//!
//! So a size is known only when a datagram of that size, which may not be fragmented, was answered. That is the method of RFC 8899,
//! [`PlpmtuSearch`](crate::pmtu::PlpmtuSearch); a router's report only says where to look next, and a forged one costs some size
//! until the next search.
//!
//! # What others find
//!
//! Six networks of Linux namespaces, over IPv4: links of 1500 bytes (`direct`), then 1400 (`chain`), then 1300 (`chain2`), with routers
//! that report; 1500 and 1400, and the router's messages vanish (`blackhole`); a switch that drops what is above 1404 (`l2hole`);
//! a way back of 1300 (`asym`). Each cell has what was found, packets and how many of them did not arrive, and the time:
//!
//! | network | tracepath | scamper | quinn-like | neqo-like | this crate | both directions |
//! |---|---|---|---|---|---|---|
//! | `direct` | 1500 · 2/0 · 3.8 ms | 1500 · 2/0 · 0.2 s | 1500 · 5/0 · 0.2 ms | 1500 · 6/0 · 0.2 ms | 1500 · 2/0 · 0.4 ms | 1500, back 1500 · 5/0 · 0.5 ms |
//! | `chain` | 1400 · 4/1 · 4.1 ms | 1400 · 4/1 · 0.3 s | 1397 · 6/3 · 0.6 s | 1380 · 6/3 · 0.6 s | 1400 · 3/1 · 0.4 ms | 1400, back 1400 · 14/1 · 1.1 ms |
//! | `chain2` | 1300 · 6/2 · 3.2 ms | 1300 · 6/2 · 0.4 s | 1295 · 8/6 · 1.2 s | 1280 · 5/3 · 0.6 s | 1300 · 4/2 · 0.4 ms | 1300, back 1300 · 18/2 · 0.9 ms |
//! | `blackhole` | 1500 · 7/7 · 7.0 s | 1500 · 13/6 · 6.4 s | 1397 · 6/3 · 0.6 s | 1380 · 6/3 · 0.6 s | 1400 · 12/4 · 0.8 s | 1400, back 1400 · 23/4 · 0.8 s |
//! | `l2hole` | 1500 · 7/7 · 7.0 s | 1500 · 12/5 · 5.5 s | 1397 · 6/3 · 0.6 s | 1380 · 6/3 · 0.6 s | 1400 · 12/4 · 0.8 s | 1400, back 1400 · 23/4 · 0.8 s |
//! | `asym` | 1500 · 3/0 · 4.3 ms | 1500 · 3/0 · 0.2 s | 1500 · 5/0 · 0.2 ms | 1500 · 6/0 · 0.2 ms | 1500 · 2/0 · 0.8 ms | 1500, back 1300 · 8/1 · 0.2 s |
//!
//! ```text
//! cargo test --all-features --test namespaces -- others:: --nocapture
//! tests/namespaces/netns-pmtu.sh run -t 200 blackhole -- sh -c 'tracepath -n $PM_SERVER4; scamper -c "trace -P udp -M" -i $PM_SERVER4'
//! ```
//!
//! tracepath (iputils 20221126) and scamper (20211212, `trace -M`) believe routers. Where those are silent both end at 1500, which is
//! wrong, after 7 s. They were limited to two hops and waits of 1 s: with their defaults, as in the second command, it takes 91 and
//! 60 s.
//!
//! *quinn-like* and *neqo-like* are models of how QUIC libraries search, written from their descriptions; neither is the program. One
//! halves what lies between 1200 bytes of payload and Ethernet until a step is below 20 bytes, the other goes up a table (1280,
//! 1380, 1420, 1472, 1500); both take three losses for a verdict (RFC 8899 §5.1.2, MAX_PROBES) and use no reports (RFC 8899 §4.6.1
//! allows that). The last column is [`probe_path`](crate::path_mtu::probe_path) with a responder, which measures the way back as well.
//!
//! # What a search costs
//!
//! The same over a simulated path with a round trip of 40 ms and waits of at least 200 ms:
//!
//! | network | quinn-like | neqo-like | this crate |
//! |---|---|---|---|
//! | direct, asym | 1500 · 5/0 · 200 ms | 1500 · 6/0 · 240 ms | 1500 · 2/0 · 80 ms |
//! | chain | 1397 · 6/3 · 720 ms | 1380 · 6/3 · 720 ms | 1400 · 3/1 · 120 ms |
//! | chain2 | 1295 · 8/6 · 1280 ms | 1280 · 5/3 · 680 ms | 1300 · 4/2 · 160 ms |
//! | blackhole | 1397 · 6/3 · 720 ms | 1380 · 6/3 · 720 ms | 1400 · 12/4 · 1120 ms |
//! | l2hole | 1397 · 6/3 · 720 ms | 1380 · 6/3 · 720 ms | 1400 · 12/4 · 1120 ms |
//!
//! The usual sizes of a table are found to the byte, and halving ends up to 34 bytes below. It costs more where no router reports: 12
//! probes and 1.1 s instead of 6 and 0.7 s, most of them small ones that measure how much the path loses anyway. That is what pays
//! where datagrams are lost by chance. Searches that found what they find without loss, and probes, of six paths from 1280 to 1500
//! bytes with 200 seeds each:
//!
//! | loss in each direction | quinn-like | neqo-like | this crate |
//! |---|---|---|---|
//! | 0 % | 100.0 % · 6.5 | 100.0 % · 6.7 | 100.0 % · 11.3 |
//! | 10 % | 97.8 % · 7.2 | 97.5 % · 7.5 | 99.2 % · 14.0 |
//! | 30 % | 61.8 % · 7.8 | 56.3 % · 7.3 | 97.3 % · 24.3 |
//!
//! Three losses in a row are no rarity at 30 % each way: 13 in 100 sizes that fit are given up. This crate asks for as many losses
//! as make that one in 1000 ([`MaxProbes::Odds`](crate::pmtu::MaxProbes::Odds)), and no strategy ever claims a size that did not
//! arrive. Of all paths that lose nothing by chance: the most lost, the most probes, and bytes below the truth, mean and most:
//!
//! | paths | quinn-like | neqo-like | this crate |
//! |---|---|---|---|
//! | every one from 1228 to 1500 | 9 of 10 · 16.4, 34 | 3 of 8 · 32.1, 99 | 4 of 15 · 20.4, 79 |
//!
//! Halving is nearest to an odd size, for nine losses, each of which takes a timeout. To find odd sizes with this crate, set
//! [`Granularity::Bytes`](crate::pmtu::Granularity::Bytes).
//!
//! # What to set
//!
//! | a program that | sets | why |
//! |---|---|---|
//! | sends small requests and gets small replies | nothing, and keeps to 1200 bytes of payload | that much passes nearly everywhere (RFC 8899 §5.1.2), 1232 by guarantee over IPv6 (RFC 8200 §5) |
//! | sends larger ones | [`Fragmentation::Probing`](crate::transport::Fragmentation::Probing), measures with [`probe_path`](crate::path_mtu::probe_path), and builds no larger requests than that | an estimate that no one can forge. No kernel's mode finds a black hole |
//! | must take what the kernel believes | [`Fragmentation::ByEstimate`](crate::transport::Fragmentation::ByEstimate), Linux's default | what is too large goes in fragments once a report has come, and the first of it is lost. In a black hole all of it is |
//! | may not send fragments, and does not search | [`Fragmentation::Forbidden`](crate::transport::Fragmentation::Forbidden) | what the kernel takes for too large is refused. It may be wrong in either direction |
//! | runs for hours | [`PlpmtuSearch`](crate::pmtu::PlpmtuSearch) in its own loop, and [`BlackHole`](crate::pmtu::BlackHole) on its ordinary requests | the search starts again after ten minutes, as paths become wider (RFC 8899 §5.1.1); a path that stops carrying a size shows that within 18 large requests, 36 % lost |
//! | has a peer of its own | a responder that calls [`answer_probe`](crate::path_mtu::answer_probe) | only one that says how many bytes came tells the path from the service, and only it shows the way back |
//! | has a peer of others | [`StunPadding`](crate::path_mtu::StunPadding) or [`DnsPadding`](crate::path_mtu::DnsPadding) | they answer, too. [`Evidence::ServiceOrPath`](crate::path_mtu::Evidence::ServiceOrPath) says that larger ones were not answered, which may be the service's own limit: dnsmasq stops at 1232 bytes on any path |
//!
//! From the command line it is `udp-retry path-mtu`.
//!
//! # Limits
//!
//! Linux and Android alone forbid fragments in a way that this crate can set; elsewhere a search is refused with
//! [`ProbeError::Unsupported`](crate::path_mtu::ProbeError::Unsupported). A path of several routes with different sizes
//! shows one of them (RFC 8899 §5.4). What a host sends in one burst and what its peer's buffer takes are other questions.
