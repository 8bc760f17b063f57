//! What one direction of a path does to datagrams, as checked values: one file a stage, in the order of the stages.
//!
//! [`Impairments`](impairments::Impairments) holds them all; [`Profile`](profile::Profile) is a pair, for both
//! directions. A [`Timeline`](timeline::Timeline) has what changes later, a [`Plan`](pace::Plan) the rates in it.

pub(super) mod bottleneck;
pub(super) mod damage;
pub(super) mod decimal;
pub(super) mod delay;
pub(super) mod dose;
pub(super) mod duplicate;
pub(super) mod gilbert;
pub(super) mod impairments;
pub(super) mod infeasible;
pub(super) mod loss;
pub(super) mod mtu;
pub(super) mod outage;
pub(super) mod pace;
pub(super) mod probability;
pub(super) mod profile;
pub(super) mod rate;
pub(super) mod rate_trace;
pub(super) mod reorder;
pub(super) mod script;
pub(super) mod timeline;
