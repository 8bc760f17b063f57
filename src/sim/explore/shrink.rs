use alloc::vec::Vec;

use crate::sim::Fault;

/// The smallest set of faults found that still fails: delta debugging (Zeller 1999), in a bounded number of runs.
pub(super) fn shrink(mut faults: Vec<Fault>, mut fails: impl FnMut(&[Fault]) -> bool) -> Vec<Fault> {
    let mut runs = 0;
    let mut parts = 2;
    while faults.len() > 1 || parts == 2 && faults.len() == 1 {
        let size = faults.len().div_ceil(parts).max(1);
        let mut smaller = None;
        for start in (0..faults.len()).step_by(size) {
            let without: Vec<Fault> = faults
                .iter()
                .enumerate()
                .filter(|(n, _)| !(start..start + size).contains(n))
                .map(|(_, it)| *it)
                .collect();
            runs += 1;
            if runs > MOST_RUNS {
                return faults;
            }
            if fails(&without) {
                smaller = Some(without);
                break;
            }
        }
        match smaller {
            Some(smaller) => {
                faults = smaller;
                parts = (parts - 1).max(2);
            }
            None if size == 1 => break,
            None => parts = (parts * 2).min(faults.len()),
        }
    }
    faults
}

const MOST_RUNS: u32 = 4000;
