//! `wireproof user`: the accounts of a data folder, whether a server runs on it or not.

use std::{io::Write, time::Duration};

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use wireproof_protocol::{UserId, printable_line};
use wireproof_server::auth::{Permission, Permissions};

use crate::{
    local_admin::ANSWER_SECONDS,
    output::{Output, exact},
    runtime,
    settings::SettingsArgs,
    token::{parse_permission, parse_seconds},
};

mod account_backend;
mod password;

use account_backend::AccountBackend;
use password::Password;

/// The arguments of `wireproof user`; what it does is said where the commands are listed.
#[derive(Args)]
#[command(after_help = "Examples:
  wireproof user add ada --data-dir ./data
  wireproof user add root --admin --password-stdin --data-dir ./data < password
  wireproof user list --json --data-dir ./data

Exit codes: 0 done, 1 failed, 2 an argument cannot be used, 3 the running server does not answer, 4 refused.")]
pub(crate) struct User {
    #[command(flatten)]
    settings: SettingsArgs,
    /// How long a running server may take to answer.
    #[arg(long, value_name = "SECONDS", global = true, default_value = ANSWER_SECONDS, value_parser = parse_seconds)]
    timeout: Duration,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make an account; asks for its password, and generates one when there is no terminal.
    Add {
        /// Its name: the user's id.
        name: UserId,
        /// Read the password from the first line of stdin.
        #[arg(long)]
        password_stdin: bool,
        /// Grant everything, also to administer the server.
        #[arg(long, conflicts_with = "permissions")]
        admin: bool,
        /// What it grants, such as chat or admin:read; may be given more than once. A user's usual permissions when left out.
        #[arg(long = "permission", value_name = "P", value_parser = parse_permission)]
        permissions: Vec<String>,
    },
    /// List the accounts.
    List {
        /// As JSON: an object a line.
        #[arg(long)]
        json: bool,
    },
    /// Disable an account and end its connections.
    Disable {
        /// Its name.
        name: UserId,
    },
    /// Enable an account again.
    Enable {
        /// Its name.
        name: UserId,
    },
    /// Set a new password and end the account's connections.
    Password {
        /// Its name.
        name: UserId,
        /// Read the password from the first line of stdin.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Grant permissions; they come with the next token.
    Grant {
        /// Its name.
        name: UserId,
        /// Such as admin:read.
        #[arg(required = true, value_name = "P", value_parser = parse_permission)]
        permissions: Vec<String>,
    },
    /// Take permissions away and end the account's connections.
    Revoke {
        /// Its name.
        name: UserId,
        /// Such as admin:read.
        #[arg(required = true, value_name = "P", value_parser = parse_permission)]
        permissions: Vec<String>,
    },
}

impl User {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let config = self.settings.load()?;
        // Before anything is opened: somebody may take his time to type.
        let password = match &self.action {
            Action::Add { password_stdin, .. } | Action::Password { password_stdin, .. } => {
                Some(Password::ask(*password_stdin)?)
            }
            _ => None,
        };
        runtime::run_single(async move {
            let desk = AccountBackend::open(&config, matches!(self.action, Action::Add { .. }), self.timeout)
                .await?;
            let done = self.action.carry_out(&desk, password).await;
            desk.close().await;
            done
        })
    }
}

impl Action {
    async fn carry_out(self, desk: &AccountBackend, password: Option<Password>) -> anyhow::Result<()> {
        let mut out = exact().even_unread();
        match self {
            Self::List { json } => return list(desk, json, &mut out).await,
            Self::Add { name, admin, permissions, .. } => {
                let granted = match (admin, permissions.as_slice()) {
                    (true, _) => Permissions::all(),
                    (false, []) => Permissions::of_a_user(),
                    (false, named) => Permissions::named(named.iter().map(String::as_str)),
                };
                let password = password.context("a password")?;
                desk.add(&name, &password.text, granted).await?;
                writeln!(out, "added {name}: {}", granted.names().join(" "))?;
                password.tell()?;
            }
            Self::Disable { name } => {
                desk.alter(&name, json!({ "disabled": true })).await?;
                writeln!(out, "disabled {name}")?;
            }
            Self::Enable { name } => {
                desk.alter(&name, json!({ "disabled": false })).await?;
                writeln!(out, "enabled {name}")?;
            }
            Self::Password { name, .. } => {
                let password = password.context("a password")?;
                desk.alter(&name, json!({ "password": password.text })).await?;
                writeln!(out, "changed the password of {name}")?;
                password.tell()?;
            }
            Self::Grant { name, permissions } => {
                let before = desk.permissions(&name).await?;
                let more = Permissions::named(permissions.iter().map(String::as_str));
                let all = of(|permission| before.has(permission) || more.has(permission));
                desk.grant_just(&name, all, &mut out).await?;
            }
            Self::Revoke { name, permissions } => {
                let before = desk.permissions(&name).await?;
                let fewer = Permissions::named(permissions.iter().map(String::as_str));
                let rest = of(|permission| before.has(permission) && !fewer.has(permission));
                desk.grant_just(&name, rest, &mut out).await?;
            }
        }
        Ok(())
    }
}

fn of(granted: impl Fn(Permission) -> bool) -> Permissions {
    Permission::ALL.into_iter().filter(|permission| granted(*permission)).collect()
}

async fn list(desk: &AccountBackend, json: bool, out: &mut Output) -> anyhow::Result<()> {
    let mut shown = 0;
    loop {
        let page = desk.page(shown).await?;
        let users = page["users"].as_array().context("the list has no users")?;
        for user in users {
            let line = if json { user.to_string() } else { row(user) };
            writeln!(out, "{line}")?;
        }
        shown += users.len() as u64;
        if users.is_empty() || page["total"].as_u64().is_none_or(|total| shown >= total) {
            ensure!(shown > 0 || json, "there are no accounts; make one with `wireproof user add NAME`");
            return Ok(());
        }
    }
}

fn row(user: &Value) -> String {
    let permissions: Vec<_> =
        user["permissions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let (name, permissions) = (user["user_id"].as_str().unwrap_or_default(), permissions.join(" "));
    let state = if user["disabled"] == true { "disabled" } else { "enabled" };
    format!("{}\t{state}\t{}", printable_line(name), printable_line(&permissions))
}
