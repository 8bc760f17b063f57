//! At the server.
