use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;

/// The source ports that were given up last: the system may hand one out again at once, and a reply to whoever had it
/// would then reach another request or another client.
#[derive(Debug)]
pub(crate) struct RecentPorts {
    /// In the order of their latest use, each once.
    ports: VecDeque<u16>,
    /// A bit for each port: whether it is among them.
    known: Box<[u64]>,
    most: usize,
}

impl RecentPorts {
    /// Remembers this many; the one used longest ago is forgotten first. Takes no memory before the first.
    pub(crate) fn remembering(most: usize) -> Self {
        Self { ports: VecDeque::new(), known: Box::default(), most }
    }

    pub(crate) fn insert(&mut self, port: u16) {
        if self.known.is_empty() {
            self.known = vec![0; 1 << 10].into_boxed_slice();
            self.ports.reserve_exact(self.most);
        }
        if self.contains(port) {
            self.ports.retain(|&known| known != port);
        } else if self.ports.len() >= self.most {
            if let Some(oldest) = self.ports.pop_front() {
                self.mark(oldest, false);
            }
        }
        self.ports.push_back(port);
        self.mark(port, true);
    }

    pub(crate) fn contains(&self, port: u16) -> bool {
        self.known.get(usize::from(port / 64)).is_some_and(|word| word >> (port % 64) & 1 == 1)
    }

    /// Looks for a port among those that the system hands out by chance.
    pub(crate) fn search(&self) -> Search {
        Search { tries: 0, oldest: 0 }
    }

    /// How many other ports were used since this one was; `None` if it is not remembered.
    fn age(&self, port: u16) -> Option<usize> {
        if self.contains(port) { self.ports.iter().rev().position(|&known| known == port) } else { None }
    }

    fn mark(&mut self, port: u16, known: bool) {
        if let Some(word) = self.known.get_mut(usize::from(port / 64)) {
            *word = *word & !(1 << (port % 64)) | u64::from(known) << (port % 64);
        }
    }
}

/// The choice among ports that the system offers one after the other: one that is not remembered; where there are too
/// few for that, one that was used about as long ago as any that was offered. The very oldest may never be: a system that
/// has a hundred ports offers each of them once in a hundred times, and one that is in use elsewhere not at all.
#[derive(Debug)]
pub(crate) struct Search {
    tries: u32,
    /// The greatest age offered so far.
    oldest: usize,
}

impl Search {
    /// Whether to take the port that is offered.
    pub(crate) fn takes(&mut self, used: &RecentPorts, port: u16) -> bool {
        let Some(age) = used.age(port) else { return true };
        self.tries += 1;
        self.oldest = self.oldest.max(age);
        self.tries > LEARNT && age >= self.enough() || self.tries >= MOST_TRIES
    }

    /// Of those that were offered, the oldest at first: the longer it is not offered again, the younger ones too, down to
    /// the oldest quarter.
    fn enough(&self) -> usize {
        let waited = self.tries.saturating_sub(LEARNT) as usize;
        self.oldest - self.oldest * waited / (4 * (MOST_TRIES - LEARNT) as usize)
    }
}

/// After this many ports that are remembered all, the system has few.
const LEARNT: u32 = 32;
/// Whatever ports the system offers.
const MOST_TRIES: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    #[test]
    fn the_one_used_longest_ago_is_forgotten_first() {
        let mut recent = RecentPorts::remembering(4096);
        for port in 0..=4096 {
            recent.insert(port);
        }
        assert_eq!([0, 1, 4096, 4097].map(|port| recent.contains(port)), [false, true, true, false]);
        recent.insert(1);
        recent.insert(5000);
        assert_eq!([1, 2, 3].map(|port| recent.contains(port)), [true, false, true]);
    }

    #[test]
    fn a_port_that_is_not_remembered_is_taken_at_once() {
        let mut recent = RecentPorts::remembering(8192);
        assert!(recent.search().takes(&recent, 40_000));
        recent.insert(40_000);
        let mut search = recent.search();
        assert!(!search.takes(&recent, 40_000));
        assert!(search.takes(&recent, 40_001));
    }

    #[test]
    fn of_few_ports_one_that_was_used_long_ago_is_taken() {
        for few in (1..=100_u16).chain([200, 1000]) {
            let mut recent = RecentPorts::remembering(8192);
            let draws = Seed::new(u64::from(few));
            let (mut drawn, mut most) = (0, 0);
            let mut youngest = usize::MAX;
            for round in 0..5 * usize::from(few).max(100) {
                let (mut search, before) = (recent.search(), drawn);
                let port = loop {
                    drawn += 1;
                    let port = (draws.draw(drawn) % u64::from(few)) as u16;
                    if search.takes(&recent, port) {
                        break port;
                    }
                };
                most = most.max(drawn - before);
                if round > 2 * usize::from(few) {
                    youngest = youngest.min(recent.age(port).unwrap_or(usize::MAX));
                }
                recent.insert(port);
            }
            // Half of all at least: chance alone would give one of the youngest.
            assert!(youngest >= usize::from(few) / 2, "{few} ports: one after {youngest} others");
            assert!(most <= u64::from(MOST_TRIES), "{few} ports: {most} tries");
        }
    }
}
