//! What one call costs: time, and allocations counted by the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Per call.
#[derive(Clone, Copy)]
pub struct Cost {
    pub nanos: f64,
    pub allocations: f64,
}

/// Something with a cost: its name, and one round of it.
pub type Subject = (&'static str, fn() -> Cost);

/// The waits that are timed: the first nine of a session.
pub const USUAL: Range<u32> = 0..9;

const SESSIONS: u64 = 256;
const PAIRS: u64 = 2_000;

/// One round: the waits `numbers` of many sessions, which are built before the clock starts.
pub fn of_delays<S, D>(numbers: Range<u32>, build: impl Fn(u64) -> S, next: impl Fn(&mut S, u32) -> D) -> Cost {
    let mut sessions: Vec<S> = (0..SESSIONS).map(build).collect();
    let delays = SESSIONS * u64::from(numbers.end - numbers.start);
    timed(delays, || {
        for session in &mut sessions {
            for number in numbers.clone() {
                black_box(next(session, black_box(number)));
            }
        }
    })
}

/// One round: many pairs of a deposit and a withdrawal.
pub fn of_pairs(deposit: impl Fn(), withdraw: impl Fn() -> bool) -> Cost {
    timed(PAIRS, || {
        for _ in 0..PAIRS {
            deposit();
            black_box(withdraw());
        }
    })
}

fn timed(calls: u64, work: impl FnOnce()) -> Cost {
    let allocated = ALLOCATIONS.load(Ordering::Relaxed);
    let start = Instant::now();
    work();
    let nanos = start.elapsed().as_nanos() as f64;
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - allocated;
    Cost { nanos: nanos / calls as f64, allocations: allocations as f64 / calls as f64 }
}

/// The median of every subject over rounds that go from subject to subject in turn, so that a disturbance of the
/// machine meets all of them.
pub fn medians(rounds: usize, subjects: &[fn() -> Cost]) -> Vec<Cost> {
    let mut costs = vec![Vec::new(); subjects.len()];
    for _ in 0..rounds {
        for (subject, costs) in subjects.iter().zip(&mut costs) {
            costs.push(subject());
        }
    }
    costs.into_iter().map(median).collect()
}

fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by(|a, b| a.nanos.total_cmp(&b.nanos));
    costs[costs.len() / 2]
}

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}
