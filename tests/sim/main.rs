//! A whole network in virtual time, and what requesters do in it.

mod concurrent;
mod entropy;
mod explore;
mod failures;
mod fleets;
mod loss_table;
#[path = "../common/offers.rs"]
mod offers;
mod one_source;
mod server_groups;
mod sim_network;
mod simulation;
mod small_worlds;
mod tasks;
mod two_fronts;
#[path = "../common/waits.rs"]
mod waits;
#[path = "../common/watchdog.rs"]
mod watchdog;
mod world;
