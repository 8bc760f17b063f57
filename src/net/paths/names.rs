use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::time::Timestamp;
use crate::transport::{PathIndex, PeerAddress, Route};

/// Names, and the addresses that they had last.
pub(super) struct Names {
    pub(super) names: Vec<Name>,
    /// Shared with whoever asks apart.
    pub(super) resolver: SharedResolver,
    /// How old an answer may get.
    pub(super) every: Option<Duration>,
    /// What is to be asked by someone who may wait for it, if that is how names are asked for: of which path, or of all.
    pub(super) apart: Option<Vec<(usize, Option<PathIndex>)>>,
}

pub(super) fn asked(resolver: &SharedResolver, text: &str) -> io::Result<Vec<SocketAddr>> {
    resolver.lock().unwrap_or_else(PoisonError::into_inner)(text)
}

pub(super) type SharedResolver = Arc<Mutex<Box<Resolver>>>;

/// The addresses of a name with a port, the preferred ones first.
pub(super) type Resolver = dyn FnMut(&str) -> io::Result<Vec<SocketAddr>> + Send;

#[derive(Debug)]
pub(super) struct Name {
    pub(super) text: String,
    /// An address instead of a name has no other, ever.
    is_address: bool,
    /// As the last answer gave them, interleaved.
    addresses: Vec<SocketAddr>,
    /// When it was last asked for, in vain or not.
    pub(super) asked: Timestamp,
    /// It is asked for apart, and there is no answer yet.
    pub(super) is_asked: bool,
}

impl Names {
    pub(super) fn none() -> Self {
        Self { names: Vec::new(), resolver: Arc::new(Mutex::new(Box::new(by_the_system))), every: None, apart: None }
    }

    /// Resolves all.
    ///
    /// # Errors
    ///
    /// That of the first name that has no address.
    pub(super) fn resolve(
        names: impl Iterator<Item = String>,
        resolver: Box<Resolver>,
        clock: impl Fn() -> Timestamp,
    ) -> io::Result<Self> {
        let mut all = Self { resolver: Arc::new(Mutex::new(resolver)), ..Self::none() };
        for text in names {
            let is_address = text.parse::<SocketAddr>().is_ok();
            all.names.push(Name { text, is_address, addresses: Vec::new(), asked: Timestamp::ZERO, is_asked: false });
            all.ask(all.names.len() - 1, &clock)?;
        }
        Ok(all)
    }

    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    /// Asks for a name again. On an error, or without an address, it keeps those that it had.
    pub(super) fn ask(&mut self, name: usize, clock: impl Fn() -> Timestamp) -> io::Result<()> {
        let Some(asking) = self.names.get_mut(name) else { return Ok(()) };
        let answer = match asking.text.parse() {
            Ok(address) => Ok(vec![address]),
            Err(_) => asked(&self.resolver, &asking.text),
        };
        asking.asked = clock();
        self.on_answer(name, answer?)
    }

    /// Without an address, a name keeps those that it had.
    pub(super) fn on_answer(&mut self, name: usize, addresses: Vec<SocketAddr>) -> io::Result<()> {
        let Some(name) = self.names.get_mut(name) else { return Ok(()) };
        if addresses.is_empty() {
            let error = format!("{} has no address", name.text);
            return Err(io::Error::new(io::ErrorKind::NotFound, error));
        }
        name.addresses = interleaved(addresses);
        Ok(())
    }

    /// Whether a name was last asked for longer ago than this. An address never is: it has no other.
    pub(super) fn is_older(&self, name: usize, age: Duration, now: Timestamp) -> bool {
        let name = self.names.get(name).filter(|name| !(name.is_address || name.is_asked));
        name.is_some_and(|name| now.since(name.asked) > age)
    }

    /// All addresses, each once, with the names that led to them: the first name's before the second's.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (SocketAddr, usize)> {
        let mut seen = BTreeSet::new();
        let all = self.names.iter().enumerate();
        let all = all.flat_map(|(number, name)| name.addresses.iter().map(move |&address| (address, number)));
        all.filter(move |(address, _)| seen.insert(who(*address)))
    }

    /// Where paths of a name go, all or `only` one, whose address it no longer has: to one that no path has yet, of the same
    /// family if there is one. What there is no other for stays.
    pub(super) fn moves(
        &self,
        name: usize,
        paths: &[(SocketAddr, Option<usize>)],
        only: Option<usize>,
    ) -> Vec<(usize, SocketAddr)> {
        let known: BTreeSet<_> = self.addresses().map(|(address, _)| who(address)).collect();
        let taken: BTreeSet<_> = paths.iter().map(|(address, _)| who(*address)).collect();
        let given = self.names.get(name).map_or(&[][..], |name| &name.addresses);
        let mut free: Vec<_> = given.iter().filter(|&&address| !taken.contains(&who(address))).collect();
        let mut moves = Vec::new();
        for (path, (address, _)) in paths.iter().enumerate().filter(|(_, (_, of))| *of == Some(name)) {
            if only.is_some_and(|only| only != path) || known.contains(&who(*address)) || free.is_empty() {
                continue;
            }
            let alike = free.iter().position(|free| free.is_ipv4() == address.is_ipv4());
            moves.push((path, *free.remove(alike.unwrap_or(0))));
        }
        moves
    }
}

/// The system's own way, which takes as long as it takes.
pub(super) fn by_the_system(name: &str) -> io::Result<Vec<SocketAddr>> {
    Ok(name.to_socket_addrs()?.collect())
}

/// The families in turn, beginning with that of the first (RFC 8305 §4); each address once.
pub(super) fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let mut seen = BTreeSet::new();
    let each_once = addresses.into_iter().filter(|address| seen.insert(who(*address)));
    let (one, other): (Vec<_>, Vec<_>) = each_once.partition(|address| address.is_ipv4() == first_is_v4);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut all = Vec::new();
    loop {
        let pair = [one.next(), other.next()];
        if pair == [None; 2] {
            return all;
        }
        all.extend(pair.into_iter().flatten());
    }
}

/// Who is at an address, however it is written.
pub(super) fn who(address: SocketAddr) -> SocketAddr {
    Route::from(address).identity()
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("names", &self.names).field("every", &self.every).finish_non_exhaustive()
    }
}
