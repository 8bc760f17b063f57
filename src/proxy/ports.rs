use alloc::collections::VecDeque;

/// The source ports that sessions gave up last: the system may hand one out again at once, and a reply to the session
/// that had it would then reach another client.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    ports: VecDeque<u16>,
}

impl GivenUp {
    pub(super) fn insert(&mut self, port: u16) {
        if self.ports.len() >= MOST {
            self.ports.pop_front();
        }
        self.ports.push_back(port);
    }

    pub(super) fn contains(&self, port: u16) -> bool {
        self.ports.contains(&port)
    }
}

/// Few beside the ports that a system hands out, 28,232 on Linux and 16,384 at least elsewhere.
const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut given_up = GivenUp::default();
        for port in 0..=4096 {
            given_up.insert(port);
        }
        assert_eq!([0, 1, 4096, 4097].map(|port| given_up.contains(port)), [false, true, true, false]);
    }
}
