//! The program from outside: real processes, real sockets, real signals, and clients that are not ours.

mod clients;
mod commands;
mod history;
mod kill;
mod load;
mod process;
mod serve;
mod settings;
mod store_files;
mod torn_log;
