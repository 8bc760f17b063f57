use alloc::vec::Vec;
use core::mem::discriminant;
use core::time::Duration;

use super::SpecError;
use super::clauses::{outage, setting, taken_away};
use super::cursor::{Cursor, Token};
use crate::fault::impairment::impairments::Impairments;
use crate::fault::impairment::infeasible::Infeasible;
use crate::fault::impairment::timeline::Setting;

/// Reads a whole specification.
pub(super) fn impairments(cursor: &mut Cursor<'_>) -> Result<Impairments, SpecError> {
    if cursor.take("none") {
        cursor.end()?;
        return Ok(Impairments::NONE);
    }
    let (mut read, mut expected) = (Read::default(), FIRST_CLAUSE);
    loop {
        let word = cursor.next();
        if read.words.contains(&word.text) {
            return Err(cursor.unexpected(word, "a knob that is not set yet"));
        }
        read.clause(cursor, word, expected)?;
        expected = CLAUSE;
        if !cursor.goes_on()? {
            return read.whole(cursor);
        }
    }
}

/// What was read so far. Whether clauses fit together shows at the end, as they come in any order.
#[derive(Default)]
struct Read<'t> {
    all: Impairments,
    /// Those that may not come again.
    words: Vec<&'t str>,
    /// Where the value of the MTU stands.
    mtu_at: usize,
    changes: Vec<Change>,
    repeat: Option<(Duration, Duration, usize)>,
}

/// A change, and where its value stands.
struct Change {
    time: Duration,
    setting: Setting,
    at: usize,
}

impl<'t> Read<'t> {
    fn clause(&mut self, cursor: &mut Cursor<'t>, word: Token<'t>, expected: &'static str) -> Result<(), SpecError> {
        let at = cursor.at();
        match word.text {
            "outage" => {
                let outage = outage(cursor)?;
                self.all = cursor.feasible(at, core::mem::take(&mut self.all).with_outage(outage))?;
                return Ok(());
            }
            "at" => {
                let change = change(cursor)?;
                self.changes.push(change);
                return Ok(());
            }
            "repeat" => {
                let from = if cursor.take("from") { cursor.time()? } else { Duration::ZERO };
                cursor.expect("`every`")?;
                self.repeat = Some((from, cursor.time()?, at));
            }
            knob => match setting(cursor, knob)? {
                Some(setting) => self.all.apply(setting),
                None => return Err(cursor.unexpected(word, expected)),
            },
        }
        if word.text == "mtu" {
            self.mtu_at = at;
        }
        self.words.push(word.text);
        Ok(())
    }

    fn whole(mut self, cursor: &Cursor<'t>) -> Result<Impairments, SpecError> {
        cursor.feasible(self.mtu_at, self.all.check_mtu())?;
        // The sort is stable: of two that are at odds the later one in the text is to blame.
        self.changes.sort_by_key(|change| (change.time, change.setting.stage()));
        let mut holds = self.all.clone();
        for at_once in self.changes.chunk_by(|one, other| one.time == other.time) {
            let mut blamed = 0;
            for (n, Change { time, setting, at }) in at_once.iter().enumerate() {
                let before = n.checked_sub(1).and_then(|n| at_once.get(n));
                if before.is_some_and(|before| discriminant(&before.setting) == discriminant(setting)) {
                    return cursor.feasible(*at, Err(Infeasible::TwoChangesAtOnce { at: *time }));
                }
                if matches!(setting, Setting::Nothing | Setting::Headers(_) | Setting::Mtu(_)) {
                    blamed = *at;
                }
                holds.apply(setting.clone());
            }
            cursor.feasible(blamed, holds.check_mtu())?;
        }
        let last = self.changes.last().map_or(0, |change| change.at);
        let changes = self.changes.into_iter().map(|Change { time, setting, .. }| (time, setting));
        let all = cursor.feasible(last, self.all.with_changes(changes))?;
        match self.repeat {
            Some((from, every, at)) => cursor.feasible(at, all.repeating(from, every)),
            None => Ok(all),
        }
    }
}

fn change(cursor: &mut Cursor<'_>) -> Result<Change, SpecError> {
    let time = cursor.time()?;
    let word = cursor.next();
    let at = cursor.at();
    let setting = match (word.text, taken_away(word.text)) {
        ("none", _) => Some(Setting::Nothing),
        (_, Some(taken_away)) if cursor.take("none") => Some(taken_away),
        (knob, _) => setting(cursor, knob)?,
    };
    match setting {
        // `none` has no value to point at.
        Some(setting) => Ok(Change { time, at: if word.text == "none" { word.at() } else { at }, setting }),
        None => Err(cursor.unexpected(word, SETTING)),
    }
}

const CLAUSE: &str = "`script`, `outage`, `headers`, `mtu`, `rate`, `loss`, `duplicate`, `truncate`, `corrupt`, `delay`, \
                      `reorder`, `dose`, `at` or `repeat`";
const FIRST_CLAUSE: &str = "`none`, `script`, `outage`, `headers`, `mtu`, `rate`, `loss`, `duplicate`, `truncate`, \
                            `corrupt`, `delay`, `reorder`, `dose`, `at` or `repeat`";
const SETTING: &str = "`none`, `script`, `headers`, `mtu`, `rate`, `loss`, `duplicate`, `truncate`, `corrupt`, `delay`, \
                       `reorder` or `dose`";
