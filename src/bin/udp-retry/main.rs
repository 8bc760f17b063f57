//! `udp-retry`: one tool to ask a UDP service, to be one, to see what a retry policy will do, and to put a bad network in front
//! of any program.
//!
//! A folder holds a command; beside them stands what several commands share. Without arguments each command shows what
//! it can do. It ends with 0 when done, with 1 when the thing failed, and with 2 for wrong usage.

mod audit;
mod faults;
mod grammar;
mod histogram;
mod interrupt;
mod json;
mod outage;
mod output;
mod path_mtu;
mod proxy;
mod request;
mod schedule;
mod seeds;
mod serve;
mod svg;
mod terminal;
mod values;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use terminal::{Misuse, Outcome, exit_code, say};

/// Reliable request/reply over UDP, and the bad network to try it on
#[derive(Parser)]
#[command(name = "udp-retry", version, propagate_version = true)]
#[command(after_help = "Each command shows itself when it gets no arguments; `udp-retry COMMAND --help` explains it.")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Request(request::Arguments),
    Schedule(schedule::Arguments),
    Proxy(Box<proxy::Arguments>),
    Faults(faults::Arguments),
    Outage(outage::Arguments),
    PathMtu(path_mtu::Arguments),
    Serve(serve::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|mut error| {
        proxy::hint(&mut error);
        error.exit()
    });
    let (name, outcome) = match arguments.command {
        Some(Command::Request(arguments)) => ("request", request::run(&arguments)),
        Some(Command::Schedule(arguments)) => ("schedule", schedule::run(&arguments)),
        Some(Command::Proxy(arguments)) => ("proxy", proxy::run(&arguments)),
        Some(Command::Faults(arguments)) => ("faults", faults::run(arguments)),
        Some(Command::Outage(arguments)) => ("outage", outage::run(&arguments)),
        Some(Command::PathMtu(arguments)) => ("path-mtu", path_mtu::run(&arguments)),
        Some(Command::Serve(arguments)) => ("serve", serve::run(&arguments)),
        None => ("", help()),
    };
    match outcome {
        Err(error) if error.is::<Misuse>() => refuse(name, &error.to_string()),
        outcome => exit_code(outcome),
    }
}

fn help() -> Outcome {
    Ok(say(Arguments::command().render_help().to_string().trim_end())?)
}

/// As `clap` refuses what it sees itself: with the usage of the command, and exit code 2.
fn refuse(name: &str, misuse: &str) -> ! {
    let mut tool = Arguments::command();
    // Only a command that was built knows that it is one of this tool's.
    tool.build();
    let mut command = tool.find_subcommand(name).unwrap_or(&tool).clone();
    command.error(ErrorKind::ValueValidation, misuse).exit()
}
