//! The examples as people run them.

mod built;
mod listings;
mod program;
mod protocols;
