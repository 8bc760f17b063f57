//! All runs of a study, on every core; what comes of them is the same on one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use udp_retry::sim::SimError;

use super::ledger::Ledger;
use super::rows::Row;
use super::study::{Figures, Scene, Study};

/// The figures of each row, in their order. `progress` is told how many runs are done, of how many.
pub(crate) fn figures(
    study: &Study,
    rows: &[Row],
    progress: impl Fn(usize, usize) + Sync,
) -> Result<Vec<Figures>, SimError> {
    let runs = study.runs();
    let tasks: Vec<_> = rows.iter().flat_map(|row| runs.iter().map(move |&(scene, run)| (row, scene, run))).collect();
    let is_short = |&(_, scene, _): &(&Row, Scene, u64)| !matches!(scene, Scene::Lossy);
    let ledgers = all(&tasks, is_short, |&(row, scene, run)| study.run(row, scene, run), progress);
    let ledgers = ledgers.into_iter().collect::<Result<Vec<Ledger>, _>>()?;
    Ok(rows.iter().zip(ledgers.chunks(runs.len())).map(|(row, ledgers)| study.figures(row.name, ledgers)).collect())
}

/// What comes of each task, in their order. Those that are not short are begun first, so that no core is left alone with
/// one at the end.
pub(crate) fn all<T: Sync, R: Send>(
    tasks: &[T],
    is_short: impl Fn(&T) -> bool,
    run: impl Fn(&T) -> R + Sync,
    progress: impl Fn(usize, usize) + Sync,
) -> Vec<R> {
    let mut order: Vec<_> = (0..tasks.len()).collect();
    order.sort_by_key(|&task| (is_short(&tasks[task]), task));
    let (todo, done) = (Mutex::new(order.into_iter()), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        let work = || {
            while let Some(task) = next(&todo) {
                let result = run(&tasks[task]);
                let mut done = lock(&done);
                done.insert(task, result);
                progress(done.len(), tasks.len());
            }
        };
        for _ in 0..thread::available_parallelism().map_or(1, Into::into).min(tasks.len()) {
            scope.spawn(work);
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

/// The lock is held no longer than that.
fn next(todo: &Mutex<impl Iterator<Item = usize>>) -> Option<usize> {
    lock(todo).next()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
