/// Waits that pass without looking first, as that missed before: after each miss in a row twice as many.
#[derive(Debug)]
pub(crate) struct Pauses {
    left: u32,
    /// After the next miss.
    next: u32,
    /// After the first miss.
    shortest: u32,
    longest: u32,
}

impl Pauses {
    pub(crate) const fn between(shortest: u32, longest: u32) -> Self {
        Self { left: 0, next: shortest, shortest, longest }
    }

    /// Whether this wait is one of them.
    #[inline]
    pub(crate) fn passes(&mut self) -> bool {
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or_default();
        left.is_some()
    }

    pub(crate) fn on_miss(&mut self) {
        self.left = self.next;
        self.next = self.next.saturating_mul(2).clamp(1, self.longest);
    }

    #[inline]
    pub(crate) fn on_hit(&mut self) {
        self.next = self.shortest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_with_each_miss_in_a_row_up_to_the_longest_and_a_hit_ends_that() {
        for (shortest, expected) in [(0, [0, 1, 2, 4, 8, 16, 16]), (1, [1, 2, 4, 8, 16, 16, 16])] {
            let mut pauses = Pauses::between(shortest, 16);
            for _ in 0..2 {
                let lengths = expected.map(|_| {
                    assert!(!pauses.passes());
                    pauses.on_miss();
                    let length = (0..).take_while(|_| pauses.passes()).count();
                    // The next wait looks, and is not the one that this has asked for already.
                    pauses.left = 0;
                    length
                });
                assert_eq!(lengths, expected);
                pauses.on_hit();
            }
        }
    }
}
