use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::task::Wake;

use super::*;
use crate::entropy::Seed;

#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A future that waits, and the list that says what it should find.
struct Future {
    ticket: Ticket,
    woken: Arc<Woken>,
    end_by: Timestamp,
    expected: Turn,
    wakes: u32,
}

/// Against a plain list: in order, none forgotten, nothing given twice, and whoever's turn has come was woken once.
#[test]
fn whatever_happens_the_first_gets_what_there_is_and_nothing_is_lost() {
    let (mut admitted, mut passed, mut expired, mut refused) = (0, 0, 0, 0);
    for world in 0..2_000 {
        let mut dice = (0..).map(|n| Seed::new(world).draw(n));
        let mut roll = |sides: u64| dice.next().unwrap() % sides;
        let capacity = 1 + roll(4) as usize;
        let (mut waiters, mut wakes) = (Waiters::new(), Wakes::default());
        let (mut queue, mut futures) = (VecDeque::<usize>::new(), Vec::<Option<Future>>::new());
        let (mut used, mut now, mut blocked) = (0_usize, Timestamp::ZERO, None::<Timestamp>);
        for _ in 0..200 {
            let reserved = futures.iter().flatten().filter(|it| it.expected == Turn::Come).count();
            match roll(10) {
                // One comes by.
                0..=3 => {
                    let may_pass = queue.is_empty() && capacity - used > reserved && blocked.is_none();
                    assert_eq!(waiters.lets_pass(capacity - used), may_pass);
                    if may_pass {
                        used += 1;
                        passed += 1;
                    } else {
                        let end_by = match roll(3) {
                            0 => now.after(Duration::from_millis(roll(20))),
                            _ => Timestamp::MAX,
                        };
                        let woken = Arc::<Woken>::default();
                        let ticket = waiters.join(&Arc::clone(&woken).into(), end_by);
                        queue.push_back(futures.len());
                        futures.push(Some(Future { ticket, woken, end_by, expected: Turn::Waiting, wakes: 0 }));
                    }
                }
                // One is polled.
                4..=6 if !futures.is_empty() => {
                    let at = roll(futures.len() as u64) as usize;
                    let Some(future) = &mut futures[at] else { continue };
                    let waker = Arc::clone(&future.woken).into();
                    assert_eq!(waiters.poll(future.ticket, &waker, &mut wakes), future.expected);
                    match future.expected {
                        Turn::Waiting => continue,
                        Turn::Come if future.end_by > now && roll(4) == 0 => {
                            let until = (roll(2) == 0).then(|| now.after(Duration::from_millis(roll(20))));
                            waiters.return_first(future.ticket, &waker, until);
                            (future.expected, blocked) = (Turn::Waiting, Some(until.unwrap_or(Timestamp::MAX)));
                            queue.push_front(at);
                            refused += 1;
                            continue;
                        }
                        Turn::Come => used += 1,
                        Turn::Expired => expired += 1,
                    }
                    waiters.leave(future.ticket, &mut wakes);
                    futures[at] = None;
                }
                // One is dropped.
                7 if !futures.is_empty() => {
                    let at = roll(futures.len() as u64) as usize;
                    let Some(future) = futures[at].take() else { continue };
                    waiters.leave(future.ticket, &mut wakes);
                    queue.retain(|&it| it != at);
                }
                // A request ends.
                8 if used > 0 => {
                    used -= 1;
                    waiters.on_ended();
                    blocked = None;
                }
                _ => {
                    now = now.after(Duration::from_millis(roll(10)));
                    let mut woken = Vec::new();
                    waiters.on_time(now, &mut woken);
                    woken.into_iter().for_each(Waker::wake);
                    blocked = blocked.filter(|&until| until > now);
                    queue.retain(|&at| {
                        let Some(future) = &mut futures[at] else { return false };
                        let is_over = future.end_by <= now;
                        if is_over {
                            (future.expected, future.wakes) = (Turn::Expired, future.wakes + 1);
                        }
                        !is_over
                    });
                }
            }
            while let Some(waker) = waiters.admit(capacity - used) {
                waker.wake();
                admitted += 1;
                let first = queue.pop_front().and_then(|at| futures[at].as_mut()).expect("no one waits");
                (first.expected, first.wakes) = (Turn::Come, first.wakes + 1);
            }
            let reserved = futures.iter().flatten().filter(|it| it.expected == Turn::Come).count();
            assert!(used + reserved <= capacity, "given twice");
            assert!(
                queue.is_empty() || blocked.is_some() || used + reserved == capacity,
                "there is some, and one waits"
            );
            assert_eq!(waiters.len(), queue.len() + reserved);
            for future in futures.iter().flatten() {
                assert_eq!(future.woken.0.load(Ordering::Relaxed), future.wakes, "world {world}");
            }
            let due = futures.iter().flatten().filter(|it| it.expected == Turn::Waiting).map(|it| it.end_by);
            let due = due.chain(blocked).min().filter(|&at| at < Timestamp::MAX);
            assert!(due.is_none_or(|at| waiters.next_deadline().is_some_and(|next| next <= at)), "too late");
        }
    }
    assert_eq!((admitted, passed, expired, refused), (14_103, 7_048, 13_673, 1_610));
}

#[test]
fn deadlines_of_those_that_have_left_do_not_pile_up() {
    let (mut waiters, mut wakes) = (Waiters::new(), Wakes::default());
    let woken = Arc::<Woken>::default();
    for n in 0..100_000 {
        let ticket = waiters.join(&Arc::clone(&woken).into(), Timestamp::from_nanos(1_000_000 + n));
        waiters.leave(ticket, &mut wakes);
    }
    assert!(waiters.deadlines.len() <= 2 * FEW, "{}", waiters.deadlines.len());
    assert_eq!(waiters.places.len(), 1);
}
