//! `udp-retry proxy ctl`: sends commands to a proxy that runs, and prints its answers.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::terminal::{Misuse, Outcome, say};
use crate::values::address;

/// Sends a command to a proxy that runs with --control, or each line of standard input, and prints the answers
#[derive(Args)]
pub(super) struct Arguments {
    /// Where it takes commands: the address behind "control on"
    #[arg(value_name = "ADDR", value_parser = address)]
    address: SocketAddr,
    /// Such as: set to_client loss 30% [default: the lines of standard input]
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Fails if the proxy refuses a command.
pub(super) fn run(arguments: &Arguments) -> Outcome {
    let command = arguments.command.join(" ");
    if command.contains(['\n', '\r']) {
        return Err(Misuse("a command is one line".to_owned()).into());
    }
    if !arguments.command.is_empty() && command.trim().is_empty() {
        return Err(Misuse("the command is empty".to_owned()).into());
    }
    let mut proxy = Proxy::connect(arguments.address)?;
    if !command.is_empty() {
        return match proxy.ask(&command)? {
            true => Ok(()),
            false => Err("the proxy has refused the command".into()),
        };
    }
    let (mut sent, mut refused) = (0_u64, 0_u64);
    for line in io::stdin().lock().lines() {
        let line = line?;
        // As in a file of listeners.
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        sent += 1;
        refused += u64::from(!proxy.ask(&line)?);
    }
    if refused == 0 { Ok(()) } else { Err(format!("the proxy has refused {refused} of {sent} commands").into()) }
}

struct Proxy {
    answers: BufReader<TcpStream>,
}

impl Proxy {
    fn connect(address: SocketAddr) -> Outcome<Self> {
        let failed = |error: io::Error| {
            format!("no proxy takes commands at {address}, as one with '--control {address}' would: {error}")
        };
        let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(failed)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { answers: BufReader::new(stream) })
    }

    /// Prints the answer, and returns whether it was obeyed.
    fn ask(&mut self, command: &str) -> Outcome<bool> {
        self.answers.get_mut().write_all(format!("{command}\n").as_bytes()).map_err(broken)?;
        let first = self.line()?;
        say(&first)?;
        if first.starts_with('{') {
            let answer: Value = serde_json::from_str(&first)?;
            return Ok(answer.get("error").is_none());
        }
        // Text for Prometheus, of several lines.
        loop {
            let line = self.line()?;
            say(&line)?;
            if line == END_OF_TEXT {
                return Ok(true);
            }
        }
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(broken)?;
        match line.strip_suffix('\n') {
            Some(whole) => Ok(whole.to_owned()),
            None => Err("the proxy has ended the connection".into()),
        }
    }
}

fn broken(error: io::Error) -> String {
    format!("the proxy does not answer: {error}")
}

const END_OF_TEXT: &str = "# EOF";
/// Longer than the proxy takes for any answer.
const PATIENCE: Duration = Duration::from_secs(10);
