//! The wireproof command. Each command has a file of its own; this one is their table of contents.
#![forbid(unsafe_code)]

mod address;
mod admin;
mod backup;
mod chat;
mod check;
mod compact;
mod completions;
mod demo;
mod doctor;
mod exit;
mod load;
mod local_admin;
mod logging;
mod man;
mod output;
mod proxy;
mod restore;
mod runtime;
mod serve;
mod settings;
mod signals;
mod terminal;
mod token;
mod transcript;
mod user;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A WebSocket server for AI agents, and the kit that proves it.
#[derive(Parser)]
#[command(version, long_version = env!("WIREPROOF_VERSION"), max_term_width = 110, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server until it is told to stop.
    ///
    /// The data folder holds the store and the key and is made when absent.
    Serve(serve::Serve),
    /// Print a token for a user.
    ///
    /// It is signed with the server's key: that of its settings, or of its data folder.
    Token(token::Token),
    /// Talk to an agent from the terminal.
    ///
    /// Without TEXT each line of stdin is a message, until the end of the input (Ctrl-D).
    Chat(chat::Chat),
    /// Watch the five events of a real run, then a run that survives the loss of its connection.
    ///
    /// Everything it starts lives in a temporary folder and ends with it.
    Demo(demo::Demo),
    /// Make and change the accounts of those who log in with a password.
    ///
    /// Accounts are those who log in with a password (POST /auth/login). Users with tokens from elsewhere need none.
    /// A running server is asked to do it, and ends the connections of who is disabled, gets a new password or loses
    /// a permission.
    User(user::User),
    /// Write a backup of a store while its server goes on.
    ///
    /// The server need not stop, and is not slowed down. The file is checked before it gets its name. It holds no
    /// key.
    Backup(backup::Backup),
    /// Write a store anew without its free space, while its server is stopped.
    ///
    /// The server must be stopped. The folder needs room for the new file beside the old one, which stays until the
    /// new one is whole. A store made by an earlier version gives space back by itself from then on.
    Compact(compact::Compact),
    /// Look at settings, keys, store and machine, and say what to do about what is wrong.
    ///
    /// The settings are those that `wireproof serve` would take.
    Doctor(doctor::Doctor),
    /// Put a backup in the place of a store.
    ///
    /// The old store is moved aside and not deleted. Clients get a snapshot and a new epoch. Tokens and logins from
    /// before are refused, so that none comes back that was revoked after the backup; passwords and disabled accounts
    /// stay as they are in the old store.
    Restore(restore::Restore),
    /// See who is connected to a server, and send them away.
    ///
    /// It asks the server that runs on the data folder over the operator's socket there; or another one, with a token
    /// that may.
    Admin(admin::Admin),
    /// Judge a server by its promises, one check each.
    ///
    /// Every check has an id, a promise and a verdict; a promise that cannot be tested counts as not done.
    Check(check::Check),
    /// Put a faulty network between clients and a server.
    ///
    /// The flags choose what it does to connections, and the HTTP interface of --control changes it.
    /// Without flags every byte passes unchanged.
    Proxy(proxy::Proxy),
    /// Judge a history that was written before.
    ///
    /// It tells which events reached another user, which are missing, double or out of order, and which resumes lost some.
    Verify(verify::Verify),
    /// Put a server under load and measure it.
    ///
    /// Without --url it starts a server of its own, as a second process with a temporary folder and no limits.
    Load(load::Load),
    /// Print a script by which a shell completes commands and flags.
    ///
    /// It goes to stdout.
    Completions(completions::Completions),
    /// Print the help as manual pages.
    ///
    /// One page goes to stdout; with --to the pages of all commands go to a folder.
    Man(man::Man),
}

/// The command line as clap knows it.
fn command() -> clap::Command {
    Cli::command()
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    if let Err(error) = signals::outlive_file_limit() {
        return exit::code(Err(anyhow::Error::new(error).context("catching SIGXFSZ")));
    }
    let done = match command {
        Command::Serve(serve) => serve.run(),
        Command::Token(token) => token.run(),
        Command::Chat(chat) => chat.run(),
        Command::Demo(demo) => demo.run(),
        Command::User(user) => user.run(),
        Command::Backup(backup) => backup.run(),
        Command::Compact(compact) => compact.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Restore(restore) => restore.run(),
        Command::Admin(admin) => admin.run(),
        Command::Check(check) => check.run(),
        Command::Proxy(proxy) => proxy.run(),
        Command::Verify(verify) => verify.run(),
        Command::Load(load) => load.run(),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
    };
    exit::code(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_that_it_takes_and_says_how_it_ends() {
        for shown in command().get_subcommands() {
            let name = shown.get_name();
            let help = shown.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Exit codes: 0 "), "{name} does not say how it ends");
            let of_this = format!("wireproof {name}");
            let examples: Vec<&str> = help.lines().filter(|line| line.contains(&of_this)).collect();
            assert!(!examples.is_empty(), "{name} has no example");
            for example in examples {
                for words in calls(example) {
                    let taken = Cli::try_parse_from(&words);
                    assert!(
                        taken.is_ok(),
                        "{example}\n{}",
                        taken.err().map(|e| e.to_string()).unwrap_or_default()
                    );
                }
            }
        }
    }

    /// The calls of this program in a line of a shell: one, and those in `$(…)`.
    fn calls(line: &str) -> Vec<Vec<String>> {
        let mut calls: Vec<Vec<String>> = Vec::new();
        for part in line.replace("$TOKEN", "token").split("wireproof ").skip(1) {
            let (mut words, mut word, mut quoted) = (vec!["wireproof".to_owned()], String::new(), false);
            for sign in part.chars() {
                match sign {
                    '"' => quoted = !quoted,
                    ')' | '<' | '>' | '|' if !quoted => break,
                    ' ' if !quoted => {
                        words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()))
                    }
                    sign => word.push(sign),
                }
            }
            words.extend(Some(word).filter(|word| !word.is_empty()));
            calls.push(words);
        }
        calls
    }
}
