//! The program from outside: real processes, real sockets, real signals, and clients that are not ours.

mod admin;
mod backup;
mod check;
mod check_targets;
mod clients;
mod commands;
mod doctor;
mod foreign_servers;
mod history;
mod http;
mod keys;
mod kill;
mod load;
mod logs;
mod metrics;
mod packaging;
mod process;
mod proxy;
mod schemathesis;
mod serve;
mod settings;
mod store_files;
mod tls;
mod torn_log;
mod user;
mod verify;
