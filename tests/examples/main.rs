//! The examples as people run them.

#[path = "../common/built.rs"]
mod built;
mod listings;
mod program;
mod protocols;
