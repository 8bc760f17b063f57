use alloc::collections::VecDeque;

/// The source ports that were given up last: the system may hand one out again at once, and a reply to whoever had it
/// would then reach another request or another client.
#[derive(Debug)]
pub(crate) struct RecentPorts {
    ports: VecDeque<u16>,
    most: usize,
}

impl RecentPorts {
    /// Remembers this many; the oldest is forgotten first.
    pub(crate) fn remembering(most: usize) -> Self {
        Self { ports: VecDeque::with_capacity(most), most }
    }

    pub(crate) fn insert(&mut self, port: u16) {
        if self.ports.len() >= self.most {
            self.ports.pop_front();
        }
        self.ports.push_back(port);
    }

    pub(crate) fn contains(&self, port: u16) -> bool {
        self.ports.contains(&port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut recent = RecentPorts::remembering(4096);
        for port in 0..=4096 {
            recent.insert(port);
        }
        assert_eq!([0, 1, 4096, 4097].map(|port| recent.contains(port)), [false, true, true, false]);
    }
}
