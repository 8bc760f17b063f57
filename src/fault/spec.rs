//! Impairments and scripts as text, both ways.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use super::{Impairments, Infeasible, Script};

/// Why a text is no specification, and where.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// Something else should stand here.
    #[error("at {position}: expected {expected}, found {}", Found(found))]
    Unexpected {
        /// Characters into the text, from 1.
        position: usize,
        /// What could stand here.
        expected: &'static str,
        /// What does; empty at the end.
        found: String,
    },
    /// Every word is in its place, but no network can do this.
    #[error("at {position}: {reason}")]
    Infeasible {
        /// Characters into the text, from 1: where the clause begins.
        position: usize,
        /// Why, and what is feasible.
        reason: Infeasible,
    },
}

struct Found<'a>(&'a str);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => f.write_str("the end"),
            found => write!(f, "{found:?}"),
        }
    }
}

impl FromStr for Impairments {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        todo!("{text}")
    }
}

impl fmt::Display for Impairments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("none")
    }
}

impl FromStr for Script {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        todo!("{text}")
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("none")
    }
}
