use core::fmt;
use core::net::IpAddr;

use crate::fault::{Outage, Rule, Script};
use crate::time::Timestamp;

/// A fault of a [`SimNet`](super::SimNet) that has met no datagram: whatever a test proves, it does not prove that it
/// holds against this. See [`SimNet::unmet`](super::SimNet::unmet).
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Unmet {
    /// A path that does something to datagrams, and that no datagram took in either direction.
    #[non_exhaustive]
    Path {
        /// The client's host.
        client: IpAddr,
        /// The server's host.
        server: IpAddr,
    },
    /// A partition.
    #[non_exhaustive]
    Partition {
        /// What was sent from there.
        from: IpAddr,
        /// What was sent to there.
        to: IpAddr,
        /// The other direction too; it is met in either.
        both_ways: bool,
        /// When it began.
        since: Timestamp,
    },
    /// A host was down, and nothing was sent to it or from it.
    #[non_exhaustive]
    Down {
        /// The host.
        host: IpAddr,
        /// When it was taken down.
        since: Timestamp,
    },
    /// A rule of a script.
    #[non_exhaustive]
    Rule {
        /// What was sent from there.
        from: IpAddr,
        /// What was sent to there.
        to: IpAddr,
        /// Which datagram, from 1.
        n: u64,
        /// What should have happened to it.
        rule: Rule,
    },
    /// An outage of a link.
    #[non_exhaustive]
    Outage {
        /// What was sent from there.
        from: IpAddr,
        /// What was sent to there.
        to: IpAddr,
        /// When.
        outage: Outage,
    },
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |at: &Timestamp| at.as_nanos() as f64 / 1e6;
        match self {
            Self::Path { client, server } => write!(f, "no datagram took the path between {client} and {server}"),
            Self::Partition { from, to, both_ways, since } => {
                let arrow = if *both_ways { "<->" } else { "->" };
                write!(f, "the partition {from} {arrow} {to} since {} ms met no datagram", ms(since))
            }
            Self::Down { host, since } => {
                write!(f, "{host}, down since {} ms, was sent no datagram and sent none", ms(since))
            }
            Self::Rule { from, to, n, rule } => {
                let script = Script::new([(*n, *rule)]).unwrap_or_default();
                write!(f, "the rule \"{script}\" {from} -> {to} met no datagram")
            }
            Self::Outage { from, to, outage } => {
                let (begin, lasting) = (outage.from(), outage.lasting());
                write!(f, "the outage {from} -> {to} from {begin:?} for {lasting:?}")?;
                outage.period().map_or(Ok(()), |period| write!(f, " every {period:?}"))?;
                f.write_str(" met no datagram")
            }
        }
    }
}
