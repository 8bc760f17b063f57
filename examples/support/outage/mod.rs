//! The outage study: fleets of clients and a server on a simulated network, and the figures that come of it.

pub(crate) mod client;
pub(crate) mod guard;
pub(crate) mod ledger;
pub(crate) mod message;
pub(crate) mod picture;
pub(crate) mod rows;
pub(crate) mod server;
pub(crate) mod study;
pub(crate) mod table;
pub(crate) mod work;
