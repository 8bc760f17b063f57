//! That a request is executed once: the cache against a plain list of all requests ever, and a server in bad networks.

#[path = "../transaction/in_flight/dice.rs"]
mod dice;
mod distinct;
mod enveloped;
mod floods;
mod oracle;
mod responder;
mod restarts;
mod wire;
mod worlds;
