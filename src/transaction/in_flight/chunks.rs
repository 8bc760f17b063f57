use alloc::boxed::Box;
use alloc::vec::Vec;
use core::iter;

/// A list that grows by chunks of 1024 items, and never moves an item.
///
/// A `Vec` of a million requests that grows copies them all, for which everything in flight would wait 0.1 s. A chunk is made
/// as a whole, of empty items: a place in it needs no check against its length, and there are twenty of those a request.
#[derive(Clone, Debug)]
pub(crate) struct Chunks<T> {
    chunks: Vec<Box<[T; ITEMS]>>,
    len: u32,
}

impl<T: Default> Chunks<T> {
    /// An empty list, without memory of its own.
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }

    /// Puts `item` at the end. Its number: one more than the last, from 0.
    pub(crate) fn push(&mut self, item: T) -> u32 {
        let number = self.len;
        if self.get(number).is_none() {
            let empty: Vec<T> = iter::repeat_with(T::default).take(ITEMS).collect();
            self.chunks.extend(empty.try_into().ok());
        }
        if let Some(place) = self.get_mut(number) {
            *place = item;
            self.len = number.saturating_add(1);
        }
        number
    }
}

impl<T: Copy> Chunks<T> {
    /// Takes the last item off, whose place stays.
    pub(super) fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        self.get(self.len).copied()
    }
}

impl<T> Chunks<T> {
    /// An item; also one of the last chunk that was not put there yet, an empty one.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let (chunk, item) = place(number)?;
        self.chunks.get(chunk)?.get(item)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let (chunk, item) = place(number)?;
        self.chunks.get_mut(chunk)?.get_mut(item)
    }

    /// How many items there are: the number of the next.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }
}

/// The chunk of an item, and its place there.
#[inline]
fn place(number: u32) -> Option<(usize, usize)> {
    // Fails where an address has 16 bits, which nothing of ours fits into.
    let number = usize::try_from(number).ok()?;
    Some((number / ITEMS, number % ITEMS))
}

const ITEMS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_found_by_the_number_they_were_given() {
        let mut list = Chunks::new();
        assert_eq!((list.len(), list.get(0)), (0, None));
        for number in 0..2_500_u32 {
            assert_eq!(list.push(u64::from(number) * 3 + 1), number);
            assert_eq!(list.len(), number + 1);
        }
        *list.get_mut(1_024).unwrap() = 7;
        for number in 0..2_500_u32 {
            let expected = if number == 1_024 { 7 } else { u64::from(number) * 3 + 1 };
            assert_eq!(list.get(number), Some(&expected));
        }
        for number in [2_500, 2_501, 3_071] {
            assert_eq!(list.get(number), Some(&0), "{number}: the rest of a chunk is empty items");
        }
        for number in [3_072, 4_096, u32::MAX] {
            assert_eq!(list.get(number), None, "{number}");
            assert_eq!(list.get_mut(number), None, "{number}");
        }
    }

    #[test]
    fn the_last_put_there_is_the_first_taken_off_and_nothing_is_taken_off_an_empty_list() {
        let mut list = Chunks::new();
        assert_eq!(list.pop(), None);
        (0..2_500_u32).for_each(|item| _ = list.push(item));
        assert!((1_000..2_500).rev().all(|item| list.pop() == Some(item)));
        assert_eq!((list.push(7), list.len(), list.chunks.len()), (1_000, 1_001, 3));
        assert_eq!([list.pop(), list.pop()], [Some(7), Some(999)]);
        assert!((0..999).rev().all(|item| list.pop() == Some(item)) && list.pop().is_none() && list.len() == 0);
    }

    #[test]
    fn no_item_ever_moves_and_memory_grows_by_one_chunk_at_a_time() {
        let mut list = Chunks::new();
        list.push(0_u64);
        let first: *const u64 = list.get(0).unwrap();
        for item in 1..=10_240 {
            list.push(item);
            assert_eq!(list.chunks.len(), 1 + item as usize / ITEMS);
        }
        assert_eq!(first, list.get(0).unwrap() as *const u64);
    }
}
