use alloc::collections::BTreeMap;

use slab::Slab;

/// A bounded number of values by key, which knows the least recently used one.
///
/// A value keeps its place until it is removed; finding costs a search, everything else a few steps.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    places: BTreeMap<K, usize>,
    entries: Slab<Entry<K, V>>,
    /// The ends of the list by use.
    newest: Option<usize>,
    oldest: Option<usize>,
}

#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    value: V,
    newer: Option<usize>,
    older: Option<usize>,
}

impl<K: Copy + Ord, V> Recent<K, V> {
    pub(crate) const fn new() -> Self {
        Self { places: BTreeMap::new(), entries: Slab::new(), newest: None, oldest: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Where the value of this key is.
    pub(crate) fn find(&self, key: K) -> Option<usize> {
        // Most often the one before: a client sends several datagrams in a row, and a client's end has one peer.
        let newest = self.newest.filter(|&place| self.entries.get(place).is_some_and(|entry| entry.key == key));
        newest.or_else(|| self.places.get(&key).copied())
    }

    pub(crate) fn get_mut(&mut self, place: usize) -> Option<&mut V> {
        self.entries.get_mut(place).map(|entry| &mut entry.value)
    }

    /// The key and the value at a place.
    #[cfg(any(test, feature = "proxy"))]
    pub(crate) fn entry_mut(&mut self, place: usize) -> Option<(K, &mut V)> {
        self.entries.get_mut(place).map(|entry| (entry.key, &mut entry.value))
    }

    /// Puts in a new value as the one used last, and returns its place. The key must not be in use.
    pub(crate) fn insert(&mut self, key: K, value: V) -> usize {
        let place = self.entries.insert(Entry { key, value, newer: None, older: None });
        self.places.insert(key, place);
        self.link(place);
        place
    }

    /// Makes this one the one used last.
    pub(crate) fn touch(&mut self, place: usize) {
        // A place that is no longer in use must not get into the list again.
        if self.newest != Some(place) && self.entries.contains(place) {
            self.unlink(place);
            self.link(place);
        }
    }

    /// The least recently used one.
    pub(crate) fn oldest(&self) -> Option<(usize, &V)> {
        let place = self.oldest?;
        Some((place, &self.entries.get(place)?.value))
    }

    /// The least recently used one of this kind, among the `most` that were used longest ago.
    #[cfg(any(test, feature = "proxy"))]
    pub(crate) fn oldest_such(&self, most: usize, is_such: impl Fn(&V) -> bool) -> Option<usize> {
        let next = |place: &usize| self.entries.get(*place).and_then(|entry| entry.newer);
        let mut places = core::iter::successors(self.oldest, next).take(most);
        places.find(|&place| self.entries.get(place).is_some_and(|entry| is_such(&entry.value)))
    }

    /// Where the next value that is put in will be.
    #[cfg(feature = "proxy")]
    pub(crate) fn next_place(&self) -> usize {
        self.entries.vacant_key()
    }

    pub(crate) fn remove(&mut self, place: usize) -> Option<V> {
        // First out of the list, whose neighbours are known by the entry alone.
        if self.entries.contains(place) {
            self.unlink(place);
        }
        let Entry { key, value, .. } = self.entries.try_remove(place)?;
        self.places.remove(&key);
        Some(value)
    }

    /// By place, which says nothing about age or key.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.iter_mut().map(|(_, entry)| &mut entry.value)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, entry)| &entry.value)
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
                    let place = recent.insert(key, key * 10);
                    assert!(place < 17, "places are used again: {place}");
                }
            }
            model.push_back(key);
            assert_eq!(recent.len(), model.len());
            assert_eq!(recent.values().count(), model.len());
            if n % 7 == 0 {
                let middle = model.len() / 2;
                let key = model[middle];
                let found = |most| recent.oldest_such(most, |&value| value == key * 10);
                assert_eq!((found(middle + 1), found(middle)), (recent.find(key), None));
                model.remove(middle);
                let place = recent.find(key).unwrap();
                assert_eq!(recent.remove(place), Some(key * 10));
                assert_eq!((recent.remove(place), recent.find(key)), (None, None));
            }
        }
    }
}
