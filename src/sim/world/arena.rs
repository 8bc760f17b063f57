use slab::Slab;

/// Things that come and go, each with a key that is never used again, in memory for as many as there are at a time.
#[derive(Debug)]
pub(super) struct Arena<T> {
    places: Slab<(u64, T)>,
    /// How many there have been.
    made: u64,
}

/// Names one thing. Once that is gone the key names nothing, whatever takes its place. Keys are ordered by age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::sim) struct Key {
    serial: u64,
    place: usize,
}

impl<T> Arena<T> {
    pub(super) const fn new() -> Self {
        Self { places: Slab::new(), made: 0 }
    }

    pub(super) fn insert(&mut self, thing: T) -> Key {
        let serial = self.made;
        self.made += 1;
        Key { serial, place: self.places.insert((serial, thing)) }
    }

    #[inline]
    pub(super) fn get(&self, key: Key) -> Option<&T> {
        self.places.get(key.place).filter(|(serial, _)| *serial == key.serial).map(|(_, thing)| thing)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.places.get_mut(key.place).filter(|(serial, _)| *serial == key.serial).map(|(_, thing)| thing)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        self.places.try_remove(key.place).map(|(_, thing)| thing)
    }

    /// In no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.places.iter().map(|(place, (serial, thing))| (Key { serial: *serial, place }, thing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_what_is_gone_names_nothing_that_came_after() {
        let mut arena = Arena::new();
        let first = arena.insert('a');
        assert_eq!(arena.remove(first), Some('a'));
        let second = arena.insert('b');
        assert_eq!((first.place, first < second), (second.place, true));
        assert_eq!(arena.get(first), None);
        assert_eq!(arena.get_mut(first), None);
        assert_eq!(arena.remove(first), None);
        assert_eq!((arena.get(second), arena.iter().count()), (Some(&'b'), 1));
    }
}
