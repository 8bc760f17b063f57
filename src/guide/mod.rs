//! Pages to read: what the field learnt, measured with the parts of this crate.

pub mod fronts;
pub mod path_mtu;
pub mod servers;
pub mod serving;
pub mod storms;
