use core::time::Duration;

/// Sockets that had nothing but errors are asked again after this time, unless others have something; else
/// they could take all time. It grows with the turns in a row, so that what does not end costs next to nothing.
pub(super) fn pause(turns: u32) -> Duration {
    PAUSE.saturating_mul(1 << turns.min(5)).min(LONGEST_PAUSE)
}

const PAUSE: Duration = Duration::from_millis(5);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_nothing_else_happens() {
        assert_eq!([0, 1, 3, 4, u32::MAX].map(|turns| pause(turns).as_millis()), [5, 10, 40, 80, 100]);
    }
}
