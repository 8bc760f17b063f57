//! The operating system where it takes root or a program of others: networks of namespaces, with their errors, full
//! buffers and path MTU, and system calls counted by strace. Left out of the package.

mod again;
mod any_user;
#[path = "../common/built.rs"]
mod built;
mod device_kept;
mod fail_fast;
mod forged;
mod full_buffer;
mod host_moves;
mod hosts;
mod inside;
#[cfg(target_os = "linux")]
#[path = "../common/installed.rs"]
mod installed;
mod local_ports;
mod lost_way;
mod netns;
mod no_entropy;
#[path = "../common/offers.rs"]
mod offers;
mod offline;
mod others;
mod own_address;
mod path_mtu;
mod paths;
#[path = "../common/ports.rs"]
mod ports;
#[cfg(target_os = "linux")]
#[path = "../common/processor.rs"]
mod processor;
#[cfg(feature = "proxy")]
mod proxies;
mod proxy_df;
mod proxy_ports;
mod renewal_rules;
mod reserved;
mod served_full;
mod services;
mod settings;
mod settings_survive;
mod small_link;
mod storms;
#[cfg(target_os = "linux")]
#[path = "../pmtu/strategies.rs"]
mod strategies;
mod system_calls;
mod system_errors;
mod tool;
#[path = "../common/waits.rs"]
mod waits;
#[path = "../common/watchdog.rs"]
mod watchdog;
