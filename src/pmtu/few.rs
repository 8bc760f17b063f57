/// A list of at most `N`, in place.
#[derive(Clone, Copy)]
pub(super) struct Few<T, const N: usize> {
    items: [T; N],
    len: usize,
}

impl<T: Copy, const N: usize> Few<T, N> {
    pub(super) const fn new(filler: T) -> Self {
        Self { items: [filler; N], len: 0 }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.items.iter().take(self.len)
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.len).unwrap_or(u32::MAX)
    }

    pub(super) fn is_full(&self) -> bool {
        self.len == N
    }

    /// At the end, if there is a place.
    pub(super) fn push(&mut self, item: T) {
        if let Some(place) = self.items.get_mut(self.len) {
            *place = item;
            self.len += 1;
        }
    }

    /// Returns how many are gone.
    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool) -> u32 {
        let before = *self;
        self.len = 0;
        before.iter().filter(|it| keep(it)).for_each(|&it| self.push(it));
        before.len() - self.len()
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_as_many_as_it_may_in_order() {
        let mut few = Few::<u8, 4>::new(0);
        (1..=6).for_each(|it| few.push(it));
        assert!(few.is_full());
        assert_eq!(few.iter().copied().collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(few.retain(|it| it % 2 == 0), 2);
        assert_eq!((few.iter().copied().collect::<Vec<_>>(), few.len()), (vec![2, 4], 2));
        few.clear();
        assert_eq!((few.iter().count(), few.is_full()), (0, false));
    }
}
