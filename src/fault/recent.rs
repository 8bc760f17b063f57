use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A bounded number of values by key, which knows the one that was not used for the longest time.
///
/// A value keeps its place until it is removed; finding costs a search, everything else a few steps.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    places: BTreeMap<K, usize>,
    entries: Vec<Entry<K, V>>,
    free: Vec<usize>,
    /// The ends of the list by use.
    newest: Option<usize>,
    oldest: Option<usize>,
}

#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    /// `None` in a free place.
    value: Option<V>,
    newer: Option<usize>,
    older: Option<usize>,
}

impl<K: Copy + Ord, V> Recent<K, V> {
    pub(crate) const fn new() -> Self {
        Self { places: BTreeMap::new(), entries: Vec::new(), free: Vec::new(), newest: None, oldest: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Where the value of this key is.
    pub(crate) fn find(&self, key: K) -> Option<usize> {
        // Most often the one before.
        let newest = self.newest.filter(|&place| self.entries.get(place).is_some_and(|entry| entry.key == key));
        newest.or_else(|| self.places.get(&key).copied())
    }

    pub(crate) fn get_mut(&mut self, place: usize) -> Option<&mut V> {
        self.entries.get_mut(place)?.value.as_mut()
    }

    /// The key and the value at a place.
    #[cfg(any(test, feature = "proxy"))]
    pub(crate) fn entry_mut(&mut self, place: usize) -> Option<(K, &mut V)> {
        let entry = self.entries.get_mut(place)?;
        Some((entry.key, entry.value.as_mut()?))
    }

    /// Puts in a new value, as the one used last; one with the same key must have been removed before.
    pub(crate) fn insert(&mut self, key: K, value: V) -> usize {
        let entry = Entry { key, value: Some(value), newer: None, older: None };
        let place = match self.free.pop() {
            Some(place) => {
                if let Some(free) = self.entries.get_mut(place) {
                    *free = entry;
                }
                place
            }
            None => {
                self.entries.push(entry);
                self.entries.len() - 1
            }
        };
        self.places.insert(key, place);
        self.link(place);
        place
    }

    /// This one has just been used.
    pub(crate) fn touch(&mut self, place: usize) {
        if self.newest != Some(place) && self.entries.get(place).is_some_and(|entry| entry.value.is_some()) {
            self.unlink(place);
            self.link(place);
        }
    }

    /// The one that was not used for the longest time.
    pub(crate) fn oldest(&self) -> Option<(usize, &V)> {
        let place = self.oldest?;
        Some((place, self.entries.get(place)?.value.as_ref()?))
    }

    pub(crate) fn remove(&mut self, place: usize) -> Option<V> {
        let entry = self.entries.get_mut(place)?;
        let value = entry.value.take()?;
        self.places.remove(&entry.key);
        self.unlink(place);
        self.free.push(place);
        Some(value)
    }

    /// In no order that means anything.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.iter_mut().filter_map(|entry| entry.value.as_mut())
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().filter_map(|entry| entry.value.as_ref())
    }

    fn link(&mut self, place: usize) {
        let before = self.newest.replace(place);
        if let Some(entry) = self.entries.get_mut(place) {
            (entry.newer, entry.older) = (None, before);
        }
        match before.and_then(|before| self.entries.get_mut(before)) {
            Some(before) => before.newer = Some(place),
            None => self.oldest = Some(place),
        }
    }

    fn unlink(&mut self, place: usize) {
        let Some((newer, older)) = self.entries.get(place).map(|entry| (entry.newer, entry.older)) else { return };
        match newer.and_then(|newer| self.entries.get_mut(newer)) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match older.and_then(|older| self.entries.get_mut(older)) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::VecDeque;

    use super::*;
    use crate::Seed;

    #[test]
    fn forgets_the_one_not_used_for_the_longest_time() {
        // Held against a list that is searched from end to end.
        let (mut recent, mut model) = (Recent::new(), VecDeque::new());
        for n in 0..20_000 {
            let key = Seed::new(5).draw(n) % 24;
            match recent.find(key) {
                Some(place) => {
                    recent.touch(place);
                    assert_eq!(recent.entry_mut(place), Some((key, &mut (key * 10))));
                    model.retain(|&it| it != key);
                }
                None => {
                    assert!(!model.contains(&key));
                    if recent.len() == 16 {
                        let (place, value) = recent.oldest().map(|(place, value)| (place, *value)).unwrap();
                        assert_eq!(Some(value / 10), model.pop_front());
                        assert_eq!(recent.remove(place), Some(value));
                    }
                    recent.insert(key, key * 10);
                }
            }
            model.push_back(key);
            assert_eq!(recent.len(), model.len());
            assert_eq!(recent.values().count(), model.len());
            if n % 7 == 0 {
                let key = model.remove(model.len() / 2).unwrap();
                let place = recent.find(key).unwrap();
                assert_eq!(recent.remove(place), Some(key * 10));
                assert_eq!((recent.remove(place), recent.find(key)), (None, None));
            }
        }
        assert!(recent.entries.len() <= 17);
    }
}
