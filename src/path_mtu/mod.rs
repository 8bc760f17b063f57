//! How large a datagram may be that a path carries whole, measured with a real far end: [`probe_path`].
//!
//! It is [`PlpmtuSearch`](crate::pmtu::PlpmtuSearch) with probes that are datagrams, over any end that sends them unfragmented.
//!
//! | the far end | format | measures |
//! |---|---|---|
//! | a responder that calls [`answer_probe`] | [`EchoFormat`] | both directions |
//! | a STUN server | [`StunPadding`] | the way there |
//! | a DNS server | [`DnsPadding`] | the way there, as far as the server itself takes that much |
//! | another service | a [`ProbeFormat`] of the caller's | what that says |

mod answer;
mod formats;
mod probing;
mod record;
mod report;
mod search;
mod transport;
mod wire;

pub use self::answer::answer_probe;
pub use self::formats::{Answer, Asked, BadDnsName, DnsPadding, EchoFormat, ProbeFormat, StunPadding, Token};
pub use self::probing::{probe_path, probe_path_with};
pub use self::record::{ProbeDirection, ProbeFate, ProbeRecord};
pub use self::report::{Evidence, PathReport, ProbeError};
pub use self::transport::ProbeTransport;
