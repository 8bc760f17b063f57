//! The operating system, for real: sockets, cancellation, errors, path MTU and system calls, in part in network
//! namespaces.

mod again;
mod apart;
mod built;
mod cancel;
mod cancel_settings;
mod full_buffer;
mod inside;
mod loopback;
mod lost_way;
mod netns;
mod socket_options;
mod system_calls;
mod system_errors;
mod waits;
