//! Captures: what the files say is what has happened, as tshark reads them, and whatever becomes of the writer disturbs nothing.
//!
//! `tests/install-programs.sh` installs tshark; where it is not, the tests are skipped and say so, and with
//! `UDP_RETRY_REQUIRE_ALL` set that is a failure.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "the proxy forwards over real sockets")]

#[path = "../common/installed.rs"]
mod installed;
mod proxy;
mod reading;
mod simulated;
mod sink;
#[path = "../common/watchdog.rs"]
mod watchdog;
mod writers;
