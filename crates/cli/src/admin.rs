//! `wireproof admin`: what an administrator asks of a running server: who is connected, and sending them away.

use std::{io::Write, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{Args, Subcommand};
use http::Method;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use wireproof_client::Trust;
use wireproof_protocol::{Address, printable_line};

use crate::{
    address::{self, Read},
    exit::Stop,
    local_admin::{ANSWER_SECONDS, LocalAdmin},
    logging,
    output::exact,
    runtime,
    settings::SettingsArgs,
    token::parse_seconds,
};

/// The arguments of `wireproof admin`; what it does is said where the commands are listed.
#[derive(Args)]
#[command(after_help = "Examples:
  wireproof admin connections --data-dir ./data
  wireproof admin disconnect --user eve --data-dir ./data
  WIREPROOF_TOKEN=$(wireproof token --user ops --permission admin:read) wireproof admin connections --url http://10.0.0.7:8787

Environment: WIREPROOF_TOKEN is the token for --url.

Exit codes: 0 done, 1 failed, 2 an argument cannot be used, 3 no server can be reached, 4 it refused.")]
pub(crate) struct Admin {
    #[command(subcommand)]
    act: Act,
    #[command(flatten)]
    settings: SettingsArgs,
    /// A server elsewhere, such as http://10.0.0.7:8787; its token comes from WIREPROOF_TOKEN.
    #[arg(long, value_name = "URL", global = true, conflicts_with_all = ["data_dir", "config"], value_parser = Read(Address::base))]
    url: Option<Address>,
    /// A PEM file with more certificates to trust, for --url.
    #[arg(long, value_name = "FILE", global = true, requires = "url")]
    ca: Option<PathBuf>,
    /// How long the server may take to answer.
    #[arg(long, value_name = "SECONDS", global = true, default_value = ANSWER_SECONDS, value_parser = parse_seconds)]
    timeout: Duration,
}

#[derive(Subcommand)]
enum Act {
    /// List who is connected, the oldest connection first.
    Connections {
        /// Only those of this user.
        #[arg(long, value_name = "ID")]
        user: Option<String>,
        /// How many at most.
        #[arg(long, default_value_t = 1000)]
        limit: u32,
        /// How many of the oldest to pass over.
        #[arg(long, default_value_t = 0)]
        offset: u64,
        /// Print the server's answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// End one connection, or all of a user; they may come back.
    Disconnect(Whom),
    /// Revoke tokens for good and end their connections.
    Revoke(What),
    /// Drain and stop the server, as SIGTERM does.
    Drain {
        /// How long runs may go on, in seconds; as the settings say when absent.
        #[arg(long)]
        seconds: Option<f64>,
        /// Over how many seconds connections are closed; as the settings say when absent.
        #[arg(long)]
        spread_seconds: Option<f64>,
    },
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Whom {
    /// All connections of this user.
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// This connection.
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct What {
    /// All tokens of this user that were made up to now.
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// All tokens of this login (`sid`).
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// This token (`jti`).
    #[arg(long, value_name = "ID")]
    token_id: Option<String>,
}

impl Admin {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        logging::to_stderr("warn");
        runtime::run(async move {
            let server = self.server().await?;
            self.act.carry_out(&server).await
        })
    }

    async fn server(&self) -> anyhow::Result<LocalAdmin> {
        if let Some(url) = &self.url {
            let token = address::token_of_environment()?;
            let trust = match &self.ca {
                Some(ca) => Trust::with_pem_file(ca).context("reading --ca")?,
                None => Trust::default(),
            };
            return Ok(LocalAdmin::elsewhere(url.clone(), token, trust, self.timeout));
        }
        let config = self.settings.load()?;
        let found = LocalAdmin::find(&config, self.timeout).await?;
        let nobody = || Stop::Unreachable(format!("no server runs on {}", config.data_dir.display()));
        Ok(found.ok_or_else(nobody)?)
    }
}

impl Act {
    async fn carry_out(self, server: &LocalAdmin) -> anyhow::Result<()> {
        let (method, path, body) = match &self {
            Act::Connections { user, limit, offset, .. } => {
                let user = user.as_ref().map(|user| format!("&user_id={}", escaped(user)));
                let path = format!(
                    "/api/admin/connections?limit={limit}&offset={offset}{}",
                    user.unwrap_or_default()
                );
                (Method::GET, path, None)
            }
            Act::Disconnect(Whom { connection: Some(id), .. }) => {
                (Method::DELETE, format!("/api/admin/connections/{}", escaped(id)), None)
            }
            Act::Disconnect(Whom { user, .. }) => {
                let user = escaped(user.as_deref().unwrap_or_default());
                (Method::POST, format!("/api/admin/users/{user}/disconnect"), None)
            }
            Act::Revoke(What { user, session, token_id }) => {
                let body = object([
                    ("user_id", json!(user)),
                    ("session_id", json!(session)),
                    ("token_id", json!(token_id)),
                ]);
                (Method::POST, "/api/admin/revoke".to_owned(), Some(body))
            }
            Act::Drain { seconds, spread_seconds } => {
                let body = object([("seconds", json!(seconds)), ("spread_seconds", json!(spread_seconds))]);
                (Method::POST, "/api/admin/drain".to_owned(), Some(body))
            }
        };
        if matches!(self, Act::Disconnect(Whom { connection: Some(_), .. })) {
            // Anybody can answer with nothing: whether it is a server of ours is asked before.
            listed(server, &server.call(Method::GET, "/api/admin/connections?limit=1", None).await?)?;
        }
        let answer = server.call(method, &path, body).await?;
        self.tell(server, &answer)
    }

    /// Says what was done, as the server says it.
    fn tell(&self, server: &LocalAdmin, answer: &Value) -> anyhow::Result<()> {
        let mut out = exact().even_unread();
        match self {
            Act::Connections { json, .. } => {
                let (connections, total) = listed(server, answer)?;
                if *json {
                    writeln!(out, "{answer}")?;
                    return Ok(());
                }
                for connection in &connections {
                    writeln!(out, "{}", printable_line(&line(connection)))?;
                }
                writeln!(out, "{total} connections")?;
            }
            Act::Disconnect(Whom { connection: Some(_), .. }) => {
                server.said_nothing(answer)?;
                writeln!(out, "ended 1 connections")?;
            }
            Act::Disconnect(_) => {
                writeln!(out, "ended {} connections", server.said::<u64>(answer, "disconnected")?)?
            }
            Act::Revoke(_) => {
                writeln!(out, "revoked; ended {} connections", server.said::<u64>(answer, "disconnected")?)?;
            }
            Act::Drain { .. } => {
                server.said::<bool>(answer, "draining")?;
                writeln!(out, "the server goes away")?;
            }
        }
        Ok(())
    }
}

/// The connections of a list, and how many there are in all.
fn listed(server: &LocalAdmin, answer: &Value) -> anyhow::Result<(Vec<Value>, u64)> {
    Ok((server.said(answer, "connections")?, server.said(answer, "total")?))
}

/// A connection on one line.
fn line(connection: &Value) -> String {
    let text = |name: &str| connection[name].as_str().unwrap_or("-").to_owned();
    let since = connection["since"].as_f64().unwrap_or_default();
    let since = Timestamp::from_microsecond((since * 1e6) as i64).unwrap_or_default();
    format!(
        "{}  {}  {}  since {since:.0}  {} bytes queued  token {}  session {}",
        text("connection_id"),
        text("user_id"),
        text("address"),
        connection["queued_bytes"],
        text("token_id"),
        text("session_id"),
    )
}

/// An object of what is there.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let there = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(there.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

/// An id as it stands in an address.
fn escaped(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~".contains(&byte);
    id.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stays_one_piece_of_an_address() {
        assert_eq!(escaped("ada-7"), "ada-7");
        assert_eq!(escaped("../a b&c?é"), "%2E%2E%2Fa%20b%26c%3F%C3%A9");
    }
}
