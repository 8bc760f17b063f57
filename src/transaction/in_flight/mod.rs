//! Many requests in flight.

#![cfg_attr(not(test), expect(dead_code, reason = "what has many requests in flight will keep them here"))]

mod chunks;
mod payloads;
