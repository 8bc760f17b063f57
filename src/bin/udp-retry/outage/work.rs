//! All runs of all rows, on every core; what comes of them is the same on one.

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
    // Those that take longest at first, so that no core is left alone with one at the end.
    let mut tasks: Vec<_> = (0..rows.len() * runs.len()).collect();
    tasks.sort_by_key(|task| (!matches!(runs[task % runs.len()].0, Scene::Lossy), *task));
    let (todo, done) = (Mutex::new(tasks.iter().copied()), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        let work = || {
            while let Some(task) = next(&todo) {
                let (scene, run) = runs[task % runs.len()];
                let ledger = study.run(&rows[task / runs.len()], scene, run);
                let mut done = lock(&done);
                done.insert(task, ledger);
                progress(done.len(), tasks.len());
            }
        };
        for _ in 0..thread::available_parallelism().map_or(1, Into::into).min(tasks.len()) {
            scope.spawn(work);
        }
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let ledgers = done.into_values().collect::<Result<Vec<Ledger>, _>>()?;
    Ok(rows.iter().zip(ledgers.chunks(runs.len())).map(|(row, ledgers)| study.figures(row.name, ledgers)).collect())
}

/// The lock is held no longer than that.
fn next(todo: &Mutex<impl Iterator<Item = usize>>) -> Option<usize> {
    lock(todo).next()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
