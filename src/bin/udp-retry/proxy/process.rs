//! What holds for the whole process, however many listeners it has.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::output::{OutputFile, output_file};
use crate::values::{address, duration};

#[derive(Args)]
pub(super) struct Process {
    /// Ends after this time, such as 90s or 5min [default: when it is told to]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub(super) lasting: Option<Duration>,
    /// Writes the report there too, as JSON; with "-" it stands alone on standard output
    #[arg(long, value_name = "FILE", value_parser = output_file())]
    pub(super) report: Option<OutputFile>,
    /// Reports as JSON on a terminal, too, one line for each listener
    #[arg(long)]
    pub(super) json: bool,
    /// Takes commands there while it runs, a line each (see below); an address of loopback, such as 127.0.0.1:0
    #[arg(long, value_name = "ADDR", value_parser = loopback)]
    pub(super) control: Option<SocketAddr>,
    /// Several listeners, a line each: NAME: and the options of one, such as "dns: --listen ADDR --upstream ADDR --loss 5%"
    #[arg(long, value_name = "FILE", conflicts_with_all = OF_LISTENERS)]
    pub(super) config: Option<PathBuf>,
}

/// Whoever reaches the control port may set anything.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = address(text)?;
    match address.ip().to_canonical().is_loopback() {
        true => Ok(address),
        false => Err("only this host may steer: an address of loopback, such as 127.0.0.1:0 or [::1]:0".to_owned()),
    }
}

/// What a listener has of its own, which then stands in the file.
pub(super) const OF_LISTENERS: [&str; 18] = [
    "listen",
    "upstream",
    "any_port",
    "profile",
    "to_server",
    "to_client",
    "both",
    "loss",
    "replay",
    "seed",
    "shared",
    "df",
    "record",
    "pcap",
    "idle",
    "max_sessions",
    "capacity",
    "capacity_bytes",
];
