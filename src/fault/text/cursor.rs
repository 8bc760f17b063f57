use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::str::FromStr;
use core::time::Duration;

use super::SpecError;
use super::quantity::{Quantity, TIME};
use crate::fault::impairment::decimal::Decimal;
use crate::fault::impairment::infeasible::Infeasible;
use crate::fault::impairment::probability::Probability;
use crate::fault::impairment::rate_trace::RateTraceError;

/// A place in a text that is read word by word, once.
#[derive(Debug)]
pub(in crate::fault) struct Cursor<'t> {
    text: &'t str,
    /// Bytes, at a word or the end.
    at: usize,
    in_braces: bool,
    /// What could stand here, besides the end of the clause.
    could: Option<&'static str>,
}

/// A number, a word, a sign, or empty at the end.
#[derive(Clone, Copy, Debug)]
pub(in crate::fault) struct Token<'t> {
    pub(in crate::fault) text: &'t str,
    at: usize,
}

impl Token<'_> {
    /// Bytes into the text.
    pub(in crate::fault) const fn at(&self) -> usize {
        self.at
    }
}

impl<'t> Cursor<'t> {
    pub(in crate::fault) fn new(text: &'t str) -> Self {
        let at = text.len() - text.trim_start().len();
        Self { text, at, in_braces: false, could: None }
    }

    /// Bytes into the text, for [`feasible`](Self::feasible).
    pub(in crate::fault) const fn at(&self) -> usize {
        self.at
    }

    pub(in crate::fault) fn peek(&self) -> Token<'t> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = match rest.chars().next() {
            Some(first) if kind(first) == Kind::Sign => first.len_utf8(),
            Some(first) => rest.find(|next| kind(next) != kind(first)).unwrap_or(rest.len()),
            None => 0,
        };
        Token { text: rest.get(..end).unwrap_or_default(), at: self.at }
    }

    pub(in crate::fault) fn next(&mut self) -> Token<'t> {
        let token = self.peek();
        let behind = self.text.get(token.at + token.text.len()..).unwrap_or_default();
        self.at = self.text.len() - behind.trim_start().len();
        self.could = None;
        token
    }

    /// Goes on if this word stands here.
    pub(in crate::fault) fn take(&mut self, word: &str) -> bool {
        let here = self.peek().text == word;
        if here {
            self.next();
        }
        here
    }

    /// As [`take`](Self::take); what could stand here is said if nothing of it does.
    pub(in crate::fault) fn may(&mut self, word: &str, could: &'static str) -> bool {
        self.could.get_or_insert(could);
        self.take(word)
    }

    /// Goes on, if the word within the backticks stands here.
    pub(in crate::fault) fn expect(&mut self, quoted: &'static str) -> Result<(), SpecError> {
        let expected = self.could.unwrap_or(quoted);
        if self.take(quoted.trim_matches('`')) { Ok(()) } else { Err(self.unexpected(self.peek(), expected)) }
    }

    pub(in crate::fault) fn end(&mut self) -> Result<(), SpecError> {
        match self.peek() {
            Token { text: "", .. } => Ok(()),
            more => Err(self.unexpected(more, "the end")),
        }
    }

    /// Behind a clause: whether another one follows.
    pub(in crate::fault) fn goes_on(&mut self) -> Result<bool, SpecError> {
        let (closing, expected) = if self.in_braces { ("}", "`;` or `}`") } else { ("", "`;` or the end") };
        let expected = self.could.unwrap_or(expected);
        let ended = |cursor: &Self| cursor.peek().text == closing;
        if ended(self) {
            return Ok(false);
        }
        if self.take(";") { Ok(!ended(self)) } else { Err(self.unexpected(self.peek(), expected)) }
    }

    /// What stands between braces.
    pub(in crate::fault) fn braced<T>(
        &mut self,
        inside: impl FnOnce(&mut Self) -> Result<T, SpecError>,
    ) -> Result<T, SpecError> {
        self.expect("`{`")?;
        self.in_braces = true;
        let value = inside(self)?;
        self.in_braces = false;
        self.expect("`}`")?;
        Ok(value)
    }

    pub(in crate::fault) const fn is_in_braces(&self) -> bool {
        self.in_braces
    }

    /// The name of a file: up to a blank, `;` or `}`, or between quotes, where two of them mean one.
    pub(in crate::fault) fn file(&mut self) -> Result<String, SpecError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let (name, len) = match rest.strip_prefix('"') {
            None => {
                let ends = |c: char| c.is_whitespace() || matches!(c, ';' | '}');
                let len = rest.find(ends).unwrap_or(rest.len());
                (rest.get(..len).unwrap_or_default().to_owned(), len)
            }
            Some(quoted) => self.unquoted(quoted)?,
        };
        if name.is_empty() {
            return Err(self.unexpected(self.peek(), "the name of a file, or `{`"));
        }
        let behind = rest.get(len..).unwrap_or_default();
        self.at = self.text.len() - behind.trim_start().len();
        self.could = None;
        Ok(name)
    }

    /// What stands before the closing quote, and how far that is with both quotes.
    fn unquoted(&self, quoted: &str) -> Result<(String, usize), SpecError> {
        let (mut name, mut chars) = (String::new(), quoted.char_indices().peekable());
        while let Some((at, c)) = chars.next() {
            match c {
                '"' if chars.next_if(|&(_, next)| next == '"').is_none() => return Ok((name, at + 2)),
                _ => name.push(c),
            }
        }
        Err(self.unexpected(Token { text: "", at: self.text.len() }, "a closing quote"))
    }

    /// Digits, perhaps with a point among them.
    pub(in crate::fault) fn number(&mut self, expected: &'static str) -> Result<Token<'t>, SpecError> {
        let token = self.peek();
        let (whole, fraction) = token.text.split_once('.').unwrap_or((token.text, "0"));
        if [whole, fraction].iter().any(|part| part.is_empty() || !part.bytes().all(|it| it.is_ascii_digit())) {
            return Err(self.unexpected(token, expected));
        }
        Ok(self.next())
    }

    pub(in crate::fault) fn value<N: FromStr>(&mut self, expected: &'static str) -> Result<N, SpecError> {
        let number = self.number(expected)?;
        self.value_of(number, expected)
    }

    /// A number that was read already, as one of this type.
    pub(in crate::fault) fn value_of<N: FromStr>(
        &self,
        number: Token<'t>,
        expected: &'static str,
    ) -> Result<N, SpecError> {
        number.text.parse().map_err(|_| self.unexpected(number, expected))
    }

    pub(in crate::fault) fn percentage(&mut self) -> Result<Probability, SpecError> {
        self.percentage_or(PERCENTAGE)
    }

    pub(in crate::fault) fn percentage_or(&mut self, expected: &'static str) -> Result<Probability, SpecError> {
        let number = self.number(expected)?;
        self.expect("`%`")?;
        let percentage = Probability::percentage(self.decimal(number)?);
        percentage.ok_or_else(|| self.unexpected(self.since(number), "100% at most"))
    }

    pub(in crate::fault) fn time(&mut self) -> Result<Duration, SpecError> {
        self.time_or(TIME.value)
    }

    pub(in crate::fault) fn time_or(&mut self, expected: &'static str) -> Result<Duration, SpecError> {
        let number = self.number(expected)?;
        self.in_units(number, &TIME).map(Duration::from_nanos)
    }

    pub(in crate::fault) fn quantity(&mut self, quantity: &Quantity) -> Result<u64, SpecError> {
        let number = self.number(quantity.value)?;
        self.in_units(number, quantity)
    }

    /// The steps of a number whose unit stands here.
    pub(in crate::fault) fn in_units(&mut self, number: Token<'t>, quantity: &Quantity) -> Result<u64, SpecError> {
        let unit = self.peek();
        let scale = quantity.scale(unit.text).ok_or_else(|| self.unexpected(unit, quantity.unit))?;
        self.next();
        let steps = self.decimal(number)?.times(scale);
        steps.ok_or_else(|| self.unexpected(self.since(number), quantity.whole))
    }

    /// One or more of the same, between commas.
    pub(in crate::fault) fn list<T>(
        &mut self,
        could: &'static str,
        mut item: impl FnMut(&mut Self) -> Result<T, SpecError>,
    ) -> Result<Vec<T>, SpecError> {
        let mut items = Vec::new();
        loop {
            items.push(item(self)?);
            if !self.may(",", could) {
                break;
            }
        }
        // A missing comma is reported as such, before what follows reports a list that is too short.
        match self.peek() {
            more if more.text.starts_with(|first| kind(first) == Kind::Number) => Err(self.unexpected(more, could)),
            _ => Ok(items),
        }
    }

    /// What a network can do, or why this clause cannot be, whose value began at this byte.
    pub(in crate::fault) fn feasible<T>(&self, at: usize, value: Result<T, Infeasible>) -> Result<T, SpecError> {
        value.map_err(|reason| SpecError::Infeasible { position: self.position(at), reason })
    }

    pub(in crate::fault) fn trace_error(&self, at: usize, file: Option<String>, reason: RateTraceError) -> SpecError {
        SpecError::NotATrace { position: self.position(at), file, reason }
    }

    pub(in crate::fault) fn unreadable(&self, at: usize, file: String, reason: String) -> SpecError {
        SpecError::Unreadable { position: self.position(at), file, reason }
    }

    pub(in crate::fault) fn unexpected(&self, token: Token<'_>, expected: &'static str) -> SpecError {
        let found = token.text.chars().take(MOST_FOUND).collect();
        SpecError::Unexpected { position: self.position(token.at), expected, found }
    }

    /// What an earlier token begins, up to here.
    fn since(&self, token: Token<'_>) -> Token<'t> {
        let read = self.text.get(token.at..self.at).unwrap_or_default();
        Token { text: read.trim_end(), at: token.at }
    }

    fn decimal(&self, number: Token<'t>) -> Result<Decimal, SpecError> {
        self.value_of(number, "at most 20 digits and 19 decimals")
    }

    fn position(&self, at: usize) -> usize {
        self.text.get(..at).unwrap_or_default().chars().count() + 1
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Number,
    Word,
    Sign,
}

fn kind(c: char) -> Kind {
    match c {
        '0'..='9' | '.' => Kind::Number,
        _ if c.is_alphabetic() => Kind::Word,
        _ => Kind::Sign,
    }
}

const PERCENTAGE: &str = "a percentage such as 5%";
const MOST_FOUND: usize = 40;
