//! Whom many requests go to: one target after the other, each of which may be several servers.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use udp_retry::servers::ServerSettings;
use udp_retry::transaction::{GroupId, Handle, Limits, SubmitError};
use udp_retry::transport::{PathIndex, PeerAddress, Route};
use udp_retry::{ConcurrentRequester, RetryPolicy, Seed, transaction_id};

use super::resolver::Resolver;
use super::{Arguments, client};
use crate::terminal::Outcome;
use crate::values::{Hosts, Id};

pub(crate) struct Targets {
    each: Vec<Target>,
    /// Where the paths lead.
    addresses: Vec<SocketAddr>,
}

enum Target {
    One(PathIndex),
    AnyOf(GroupId),
}

impl Targets {
    /// A requester with a path to each address of all of them. Names are looked up now, and not again.
    pub(crate) fn connect(
        arguments: &Arguments,
        targets: &[Hosts],
        policy: RetryPolicy,
        is_wrong: Arc<AtomicBool>,
    ) -> Outcome<(ConcurrentRequester, Self)> {
        let found = targets.iter().map(|servers| {
            let names = servers.clone();
            client::addresses(servers, &mut Resolver::new(move || names.addresses()), arguments.deadline)
        });
        let found = found.collect::<io::Result<Vec<_>>>()?;
        let settings = ServerSettings::new().with_spread(arguments.spread.into())?;
        let mut requester = connect(arguments, found.concat(), policy, settings, is_wrong)?;
        let addresses = |paths: &ConcurrentRequester| -> Vec<_> {
            (0..).map_while(|path| paths.transport().address(PathIndex::new(path))).collect()
        };
        let addresses = addresses(&requester);
        // However its address is written, a server has one path.
        let who = |address: &SocketAddr| Route::from(*address).identity();
        let path = |address: &SocketAddr| {
            let place = addresses.iter().position(|known| who(known) == who(address));
            place.map(|place| PathIndex::new(place as u32)).ok_or("more than 64 servers")
        };
        let mut each = Vec::new();
        for servers in found {
            let mut paths = servers.iter().map(path).collect::<Result<Vec<_>, _>>()?;
            paths.dedup();
            each.push(match paths[..] {
                [only] => Target::One(only),
                _ => Target::AnyOf(requester.add_group(paths, settings)?),
            });
        }
        Ok((requester, Self { each, addresses }))
    }

    pub(crate) fn submit(
        &self,
        requester: &mut ConcurrentRequester,
        number: u64,
        request: &[u8],
        token: u64,
    ) -> Result<Handle, SubmitError> {
        match self.each[(number % self.each.len() as u64) as usize] {
            Target::One(path) => requester.submit_to(path, request, token),
            Target::AnyOf(group) => requester.submit_to_group(group, request, token),
        }
    }

    /// Whom a path leads to, where there are several.
    pub(crate) fn server(&self, path: PathIndex) -> Option<SocketAddr> {
        self.addresses.get(path.number() as usize).copied().filter(|_| self.addresses.len() > 1)
    }
}

fn connect(
    arguments: &Arguments,
    addresses: Vec<SocketAddr>,
    policy: RetryPolicy,
    settings: ServerSettings,
    is_wrong: Arc<AtomicBool>,
) -> Outcome<ConcurrentRequester> {
    // Without one there is no load: the range of none matches nothing.
    let id = arguments
        .id
        .clone()
        .map_or(transaction_id(0..0), |Id { range, found_at }| transaction_id(range).found_at(found_at));
    let id = if arguments.keep_id { id } else { id.stamped() };
    let builder = match arguments.expect {
        None => ConcurrentRequester::builder(id),
        // Whatever has the id is the reply: a wrong one is no stray.
        Some(_) => ConcurrentRequester::builder(id.confirmed_by(move |request, reply| {
            is_wrong.store(request != reply, Ordering::Relaxed);
            true
        })),
    };
    let width = NonZeroU32::new(arguments.width()).unwrap_or(NonZeroU32::MIN);
    let most_bytes = (arguments.width() as usize).saturating_mul(1 << 16);
    let limits = Limits::default().requests(width).window(width).bytes(most_bytes);
    let mut builder = builder.policy(policy).limits(limits).servers(settings);
    if let Some(deadline) = arguments.deadline {
        builder = builder.deadline(deadline);
    }
    if arguments.envelope {
        builder = builder.envelope();
    }
    if let Some(seed) = arguments.seed {
        builder = builder.seed(Seed::new(seed));
    }
    // As addresses: looking a name up again knows no deadline.
    let servers: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
    let requester = builder.connect_any(&servers);
    Ok(requester
        .map_err(|error| io::Error::new(error.kind(), format!("cannot ask {}: {error}", servers.join(", "))))?)
}

/// Asks for a receive buffer that holds the replies to all that may be on the wire, if they are as long as the requests.
pub(crate) fn widen(requester: &mut ConcurrentRequester, len: usize) {
    let Some(needed) = requester.buffer_warning(len) else { return };
    // The system grants what it allows, and says so.
    let _ = requester.transport_mut().set_receive_buffer(needed.needed);
    if let Some(warning) = requester.buffer_warning(len) {
        let _ = writeln!(io::stderr(), "warning: {warning}; the system allows no more (on Linux, net.core.rmem_max)");
    }
}
