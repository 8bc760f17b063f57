//! The optional header before requests and replies: its bytes, and what both ends do with it over a bad network.

mod codec;
