//! The tool `udp-retry` as people run it: what each command prints, draws and writes, and how it ends.

mod capture;
#[path = "../common/closed.rs"]
mod closed;
mod faults;
mod files;
#[cfg(unix)]
#[path = "../common/installed.rs"]
mod installed;
mod load;
mod outage;
mod outage_servers;
mod output;
mod path_mtu;
#[cfg(unix)]
#[path = "../common/ports.rs"]
mod ports;
mod program;
mod prometheus;
mod proxy;
mod proxy_config;
mod proxy_control;
mod proxy_ctl;
mod proxy_files;
mod proxy_hangups;
mod proxy_report;
mod proxy_scale;
mod proxy_signals;
mod proxy_upstreams;
mod real_programs;
mod real_servers;
mod request;
mod schedule;
mod serve;
mod several;
mod steered;
mod tool;
mod unanswered;
