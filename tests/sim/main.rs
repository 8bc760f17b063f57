//! A whole network in virtual time, and what requesters do in it.

mod explore;
mod fleets;
mod loss_table;
mod sim_network;
mod simulation;
mod small_worlds;
mod watchdog;
mod world;
