//! Carries out changes of accounts: by the server that runs on the folder, or else in its store.

use std::{io::Write, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use http::Method;
use serde_json::{Value, json};
use wireproof_protocol::UserId;
use wireproof_server::{
    Config,
    auth::{
        Permissions,
        accounts::{AccountError, Accounts, Alteration},
        rules::Rules,
    },
    error::Refusal,
    server::server_file,
    store::{Store, Window, embedded::Embedded},
};

use crate::{exit::Stop, local_admin::LocalAdmin};

/// Accounts in a page.
const PAGE: u64 = 500;

/// The accounts of a folder.
pub(crate) enum AccountBackend {
    /// A server has the folder.
    LocalAdmin(LocalAdmin),
    /// Nobody has; this process holds it until it is closed.
    Stopped {
        /// The store.
        store: Arc<dyn Store>,
        /// The accounts in it.
        accounts: Accounts,
    },
}

/// What was refused here reads as if a server had refused it.
fn refused(error: AccountError) -> anyhow::Error {
    match error {
        AccountError::Store(error) => error.into(),
        AccountError::Password(error) => error.into(),
        error => Stop::Refused(Refusal::from(error).body.message).into(),
    }
}

impl AccountBackend {
    /// The accounts of the settings' folder; with `make` a new store when there is none.
    pub(crate) async fn open(config: &Config, make: bool, within: Duration) -> anyhow::Result<Self> {
        if let Some(running) = LocalAdmin::find(config, within).await? {
            return Ok(Self::LocalAdmin(running));
        }
        let folder = &config.data_dir;
        let there = folder.join("wireproof.db").exists();
        ensure!(make || there, "there is no store in {}; give the server's --data-dir", folder.display());
        let store = Embedded::open(folder).context("opening the store")?;
        // A script would take this process for the server that was killed.
        server_file::forget(folder).context("taking away server.json")?;
        let store: Arc<dyn Store> = Arc::new(store);
        let accounts = Accounts::new(store.clone());
        let accounts = accounts.with_longest_concern(Rules::longest_concern(&config.jwt));
        Ok(Self::Stopped { accounts, store })
    }

    /// Lets go of the store.
    pub(crate) async fn close(self) {
        if let Self::Stopped { store, .. } = self {
            store.close().await;
        }
    }

    pub(crate) async fn add(
        &self,
        name: &UserId,
        password: &str,
        granted: Permissions,
    ) -> anyhow::Result<()> {
        match self {
            Self::LocalAdmin(server) => {
                let body = json!({ "user_id": name, "password": password, "permissions": granted.names() });
                let account = server.call(Method::POST, "/api/admin/users", Some(body)).await?;
                server.said::<String>(&account, "user_id")?;
            }
            Self::Stopped { accounts, .. } => {
                accounts.create(name.clone(), password.to_owned(), granted, false).await.map_err(refused)?;
            }
        }
        Ok(())
    }

    /// Changes an account as `PATCH /api/admin/users/{id}` does.
    pub(crate) async fn alter(&self, name: &UserId, change: Value) -> anyhow::Result<()> {
        match self {
            Self::LocalAdmin(server) => {
                let account = server.call(Method::PATCH, &path(name), Some(change)).await?;
                server.said::<String>(&account, "user_id")?;
            }
            Self::Stopped { accounts, .. } => {
                let names = change["permissions"].as_array();
                let alteration = Alteration {
                    password: change["password"].as_str().map(str::to_owned),
                    disabled: change["disabled"].as_bool(),
                    permissions: names
                        .map(|names| Permissions::named(names.iter().filter_map(Value::as_str))),
                };
                accounts.alter(name, alteration, Permissions::all()).await.map_err(refused)?;
            }
        }
        Ok(())
    }

    /// Makes these the permissions of an account, and says so.
    pub(crate) async fn grant_just(
        &self,
        name: &UserId,
        granted: Permissions,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        self.alter(name, json!({ "permissions": granted.names() })).await?;
        Ok(writeln!(out, "{name}: {}", granted.names().join(" "))?)
    }

    /// What an account grants.
    pub(crate) async fn permissions(&self, name: &UserId) -> anyhow::Result<Permissions> {
        Ok(match self {
            Self::LocalAdmin(server) => {
                let account = server.call(Method::GET, &path(name), None).await?;
                let names = server.said::<Vec<String>>(&account, "permissions")?;
                Permissions::named(names.iter().map(String::as_str))
            }
            Self::Stopped { accounts, .. } => {
                Permissions::named(accounts.get(name).await.map_err(refused)?.permissions)
            }
        })
    }

    /// A page of the list, as `GET /api/admin/users` gives it.
    pub(crate) async fn page(&self, offset: u64) -> anyhow::Result<Value> {
        match self {
            Self::LocalAdmin(server) => {
                let path = format!("/api/admin/users?limit={PAGE}&offset={offset}");
                let page = server.call(Method::GET, &path, None).await?;
                server.said::<u64>(&page, "total")?;
                server.said::<Vec<Value>>(&page, "users")?;
                Ok(page)
            }
            Self::Stopped { accounts, .. } => {
                let (users, total) = accounts.list(Window { limit: PAGE, offset }).await.map_err(refused)?;
                Ok(json!({ "users": users, "total": total }))
            }
        }
    }
}

/// The address of an account, whatever signs its name has.
fn path(name: &UserId) -> String {
    let mut path = String::from("/api/admin/users/");
    for byte in name.as_str().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => path.push(byte.into()),
            // A dot too: a name of dots alone would be a step up.
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bug: while this process held the store, another command took the address that a killed server had left for that of a
    /// running one, and sent an operator's token to whoever listened there by now.
    #[tokio::test]
    async fn what_a_killed_server_left_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { data_dir: folder.path().to_owned(), ..Config::default() };
        let left = folder.path().join("server.json");
        std::fs::write(&left, r#"{"url":"http://127.0.0.1:1","pid":1}"#).unwrap();
        let within = Duration::from_secs(10);
        let desk = AccountBackend::open(&config, true, within).await.unwrap();
        assert!(!left.exists());
        assert!(LocalAdmin::find(&config, within).await.is_err());
        desk.close().await;
    }

    #[test]
    fn any_name_has_an_address_of_its_own() {
        for (name, expected) in [
            ("ada", "ada"),
            ("..", "%2E%2E"),
            ("a/b?c", "a%2Fb%3Fc"),
            ("é", "%C3%A9"),
            ("auth0|7", "auth0%7C7"),
        ] {
            assert_eq!(path(&UserId::new(name).unwrap()), format!("/api/admin/users/{expected}"));
        }
    }
}
