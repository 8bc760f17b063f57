use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::command::{COMMANDS, Command, Refusal, What};
use crate::proxy::metrics::{self, Metrics};
use crate::proxy::steering::{Done, Handle, Order};

/// One who sends commands, and what it has sent of the next one.
pub(super) struct Connection<'l> {
    stream: TcpStream,
    listeners: &'l [Handle],
    line: Vec<u8>,
}

impl<'l> Connection<'l> {
    pub(super) fn new(stream: TcpStream, listeners: &'l [Handle]) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE))?;
        Ok(Self { stream, listeners, line: Vec::new() })
    }

    /// Answers line by line, until one side ends it.
    pub(super) fn run(&mut self, mut used: impl FnMut()) -> io::Result<()> {
        while let Some(line) = self.next_line()? {
            used();
            let line = line.trim_end_matches('\r');
            // What a browser sends on behalf of some page must not steer anything.
            if line.contains(" HTTP/1.") {
                return self.say(&Refusal::new("this is no HTTP, but a command in each line").to_json());
            }
            if !line.trim().is_empty() {
                self.obey(line)?;
            }
        }
        Ok(())
    }

    /// `None` at the end. A line that was begun must end in time, and within a length.
    fn next_line(&mut self) -> io::Result<Option<String>> {
        let mut begun = (!self.line.is_empty()).then(Instant::now);
        let mut chunk = [0; 4096];
        let mut looked = 0;
        loop {
            if let Some(end) = self.line.iter().skip(looked).position(|&byte| byte == b'\n') {
                let rest = self.line.split_off(looked + end + 1);
                let mut line = core::mem::replace(&mut self.line, rest);
                line.pop();
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            looked = self.line.len();
            if looked > LONGEST_LINE {
                self.say(&Refusal::new(format!("a line has {LONGEST_LINE} bytes at most")).to_json())?;
                return Ok(None);
            }
            let left = begun.map_or(IDLE, |begun| LINE.saturating_sub(begun.elapsed()));
            if left.is_zero() {
                self.say(&Refusal::new(format!("a line must end within {LINE:?}")).to_json())?;
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut chunk) {
                // A last line without its end is none: it may be half of one.
                Ok(0) => return Ok(None),
                Ok(len) => {
                    self.line.extend_from_slice(chunk.get(..len).unwrap_or_default());
                    begun.get_or_insert_with(Instant::now);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_late(&error) && begun.is_some() => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn obey(&mut self, line: &str) -> io::Result<()> {
        let answer = Command::read(line).and_then(|Command { listener, what }| {
            let addressed = self.addressed(line, listener.as_deref())?;
            Ok((addressed, what))
        });
        match answer {
            Err(refusal) => self.say(&refusal.to_json()),
            Ok((_, What::Help)) => self.say(&json!({ "ok": true, "help": COMMANDS.lines().collect::<Vec<_>>() })),
            Ok((addressed, What::Order(order))) => {
                let metrics = order == Order::Metrics;
                match done(&addressed, &order) {
                    Err(refusal) => self.say(&refusal),
                    Ok(done) if metrics => {
                        self.write(&metrics::text(&done.iter().filter_map(counted).collect::<Vec<_>>()))
                    }
                    Ok(done) => {
                        let told: Vec<Value> =
                            done.into_iter().zip(&addressed).map(|(done, it)| told(done, it)).collect();
                        self.say(&json!({ "ok": true, "listeners": told }))
                    }
                }
            }
        }
    }

    fn addressed(&self, line: &str, name: Option<&str>) -> Result<Vec<&'l Handle>, Refusal> {
        let found: Vec<_> = self.listeners.iter().filter(|it| name.is_none_or(|name| name == it.name)).collect();
        match name {
            Some(name) if found.is_empty() => {
                let names: Vec<_> = self.listeners.iter().map(|it| format!("@{}", it.name)).collect();
                let position = line.chars().take_while(|c| c.is_whitespace()).count() + 1;
                Err(Refusal::unexpected(position, &names.join(" or "), &format!("@{name}")))
            }
            _ => Ok(found),
        }
    }

    fn say(&mut self, answer: &Value) -> io::Result<()> {
        self.write(&format!("{answer}\n"))
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes())
    }
}

/// All at the same time; an error names who refused, and those who did not.
fn done(addressed: &[&Handle], order: &Order) -> Result<Vec<Done>, Value> {
    let asked: Vec<_> = addressed.iter().map(|it| it.order(order.clone())).collect();
    let (mut done, mut obeyed, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for (handle, answered) in addressed.iter().zip(&asked) {
        match Handle::answer(answered) {
            Ok(it) => {
                obeyed.push(&handle.name);
                done.push(it);
            }
            Err(error) => refused.push(format!("{}: {error}", handle.name)),
        }
    }
    if refused.is_empty() { Ok(done) } else { Err(json!({ "error": refused.join("; "), "obeyed": obeyed })) }
}

fn told(done: Done, by: &Handle) -> Value {
    match done {
        Done::Told(value) => value,
        Done::Obeyed | Done::Counted(_) => by.name.clone().into(),
    }
}

fn counted(done: &Done) -> Option<&Metrics> {
    match done {
        Done::Counted(metrics) => Some(metrics),
        _ => None,
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// For a script of some thousand rules.
const LONGEST_LINE: usize = 64 * 1024;
/// From its first byte on.
const LINE: Duration = Duration::from_secs(10);
/// Between two lines.
const IDLE: Duration = Duration::from_secs(600);
/// For some more of an answer to be taken.
const WRITE: Duration = Duration::from_secs(5);
