use alloc::vec::Vec;

use super::SpecError;
use super::cursor::Cursor;
use crate::fault::impairment::infeasible::Infeasible;
use crate::fault::impairment::script::{Rule, Script};

/// Up to the end or a closing brace, which stay.
pub(in crate::fault) fn script(cursor: &mut Cursor<'_>) -> Result<Script, SpecError> {
    if cursor.take("none") {
        return Ok(Script::EMPTY);
    }
    let (mut all, mut expected) = (Rules::default(), FIRST_RULE);
    loop {
        rule(cursor, &mut all, expected)?;
        expected = RULE;
        if !cursor.goes_on()? {
            break;
        }
    }
    let script = Script::new(all.rules.iter().copied());
    let place = match script {
        Err(Infeasible::RulesAtOdds { number }) => all.last_about(number),
        _ => None,
    };
    cursor.feasible(place.unwrap_or_default(), script)
}

#[derive(Default, Debug)]
struct Rules {
    rules: Vec<(u64, Rule)>,
    /// Where in the text each rule names its datagram.
    places: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Target {
    number: u64,
    copy: u8,
    at: usize,
}

impl Rules {
    fn add(&mut self, targets: Vec<Target>, rule: impl Fn(u8) -> Rule) {
        for Target { number, copy, at } in targets {
            self.rules.push((number, rule(copy)));
            self.places.push(at);
        }
    }

    fn last_about(&self, datagram: u64) -> Option<usize> {
        let places = self.rules.iter().zip(&self.places).rev();
        places.filter(|((number, _), _)| *number == datagram).map(|(_, at)| *at).next()
    }
}

fn rule(cursor: &mut Cursor<'_>, all: &mut Rules, expected: &'static str) -> Result<(), SpecError> {
    let word = cursor.next();
    match word.text {
        "drop" => {
            let could = if cursor.is_in_braces() { "`,`, `;` or `}`" } else { "`,`, `;` or the end" };
            let targets = cursor.list(could, datagram)?;
            all.add(targets, |_| Rule::Drop);
        }
        "refuse" => {
            let targets = cursor.list("`,` or `above`", datagram)?;
            cursor.expect("`above`")?;
            let limit = cursor.value(UP_TO_16_BITS)?;
            all.add(targets, |_| Rule::Refuse { limit });
        }
        "delay" => {
            let targets = cursor.list("`,` or `by`", datagram)?;
            cursor.expect("`by`")?;
            let by = cursor.time()?;
            all.add(targets, |_| Rule::Delay { by });
        }
        "duplicate" => {
            let targets = cursor.list("`,` or `after`", datagram)?;
            cursor.expect("`after`")?;
            let after = cursor.time()?;
            all.add(targets, |_| Rule::Duplicate { after });
        }
        "truncate" => {
            let targets = cursor.list("`,` or `to`", copy)?;
            cursor.expect("`to`")?;
            let to = cursor.value(UP_TO_16_BITS)?;
            all.add(targets, |copy| Rule::Truncate { copy, to });
        }
        "corrupt" => {
            let targets = cursor.list("`,` or `bit`", copy)?;
            cursor.expect("`bit`")?;
            let bit = cursor.value("a whole number, 4294967295 at most")?;
            all.add(targets, |copy| Rule::Corrupt { copy, bit });
        }
        _ => return Err(cursor.unexpected(word, expected)),
    }
    Ok(())
}

fn datagram(cursor: &mut Cursor<'_>) -> Result<Target, SpecError> {
    let at = cursor.at();
    let number = cursor.value("the number of a datagram, from 1")?;
    counted(cursor, Target { number, copy: 0, at })
}

fn copy(cursor: &mut Cursor<'_>) -> Result<Target, SpecError> {
    let expected = "the number of a datagram such as 5, or of a copy such as 5.1";
    let at = cursor.at();
    let token = cursor.number(expected)?;
    let (number, copy) = token.text.split_once('.').unwrap_or((token.text, "0"));
    match (number.parse(), copy.parse()) {
        (Ok(number), Ok(copy)) => counted(cursor, Target { number, copy, at }),
        _ => Err(cursor.unexpected(token, expected)),
    }
}

fn counted(cursor: &Cursor<'_>, target: Target) -> Result<Target, SpecError> {
    let counted = if target.number == 0 { Err(Infeasible::NoDatagramZero) } else { Ok(target) };
    cursor.feasible(target.at, counted)
}

const RULE: &str = "`drop`, `refuse`, `delay`, `duplicate`, `truncate` or `corrupt`";
const FIRST_RULE: &str = "`none`, `drop`, `refuse`, `delay`, `duplicate`, `truncate` or `corrupt`";
const UP_TO_16_BITS: &str = "a whole number, 65535 at most";
