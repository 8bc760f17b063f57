//! What came of one of many requests, in a line.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use udp_retry::requester::Completion;

use super::hex;
use super::report::{execution, kind, ms};

pub(crate) struct Ended<'r> {
    pub(crate) number: u64,
    pub(crate) latency: Duration,
    pub(crate) done: Completion<'r>,
    /// Who answered, or was asked last, where there are several.
    pub(crate) server: Option<SocketAddr>,
    /// Whether the reply is not what was expected, if anything was.
    pub(crate) is_wrong: Option<bool>,
}

impl Ended<'_> {
    pub(crate) fn story(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "request {}", self.number)?;
        if let Some(server) = self.server {
            write!(out, " to {server}")?;
        }
        match self.done.reply() {
            Ok(reply) => {
                let (wrong, transmissions) = (self.is_wrong == Some(true), self.done.transmissions());
                let wrong = if wrong { ", a wrong one" } else { "" };
                let latency = ms(self.latency);
                writeln!(
                    out,
                    ": reply after {latency} ms, transmissions: {transmissions}{wrong}: {}",
                    hex::Plain(reply)
                )
            }
            Err(error) => writeln!(out, ": no reply: {error}; execution: {}", execution(error.execution())),
        }
    }

    pub(crate) fn json(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "{{\"request\":{},", self.number)?;
        match self.done.reply() {
            Ok(reply) => {
                let round_trip = self.done.round_trip().map_or_else(|| "null".to_owned(), ms);
                write!(out, "\"reply_hex\":\"{}\",\"round_trip_ms\":{round_trip}", hex::Plain(reply))?;
                self.is_wrong.map_or(Ok(()), |wrong| write!(out, ",\"wrong\":{wrong}"))?;
            }
            Err(error) => {
                let (error, execution) = (kind(error.failure()), execution(error.execution()));
                write!(out, "\"error\":\"{error}\",\"execution\":\"{execution}\"")?;
            }
        }
        write!(out, ",\"transmissions\":{},\"elapsed_ms\":{}", self.done.transmissions(), ms(self.latency))?;
        self.server.map_or(Ok(()), |server| write!(out, ",\"server\":\"{server}\""))?;
        writeln!(out, "}}")
    }
}
