//! The rows of accounts, logins and revocations.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, types::Type};
use wireproof_protocol::{Timestamp, UserId};

use super::{Embedded, writer::Tx};
use crate::{
    permissions::Permissions,
    store::{
        Account, AccountChange, AccountStore, Login, Refresh, Refreshed, Revocation, Revoked, StoreError,
        Window,
    },
};

type Result<T> = std::result::Result<T, StoreError>;

const ACCOUNT: &str = "user_id, password, permissions, disabled, created_at";
const LOGIN: &str = "session_id, user_id, refresh, created_at, expires_at";

fn user_id(row: &Row<'_>, column: usize) -> rusqlite::Result<UserId> {
    let text: String = row.get(column)?;
    UserId::new(text).map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(e)))
}

fn account_row(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        user_id: user_id(row, 0)?,
        password_hash: row.get(1)?,
        permissions: Permissions::named(row.get::<_, String>(2)?.split(' ')),
        disabled: row.get(3)?,
        created_at: row.get(4)?,
    })
}

fn login_row(row: &Row<'_>) -> rusqlite::Result<Login> {
    Ok(Login {
        session_id: row.get(0)?,
        user_id: user_id(row, 1)?,
        refresh: row.get(2)?,
        created_at: row.get(3)?,
        expires_at: row.get(4)?,
    })
}

fn account(connection: &Connection, user_id: &UserId) -> Result<Option<Account>> {
    let sql = format!("SELECT {ACCOUNT} FROM accounts WHERE user_id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([user_id.as_str()], account_row).optional()?)
}

fn accounts(connection: &Connection, window: Window) -> Result<(Vec<Account>, u64)> {
    let total: i64 =
        connection.prepare_cached("SELECT count(*) FROM accounts")?.query_row([], |row| row.get(0))?;
    let sql = format!("SELECT {ACCOUNT} FROM accounts ORDER BY user_id LIMIT ?1 OFFSET ?2");
    let clamped = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map((clamped(window.limit), clamped(window.offset)), account_row)?;
    Ok((rows.collect::<rusqlite::Result<_>>()?, total as u64))
}

fn disabled_users(connection: &Connection) -> Result<Vec<UserId>> {
    let mut statement = connection.prepare_cached("SELECT user_id FROM accounts WHERE disabled")?;
    let rows = statement.query_map([], |row| user_id(row, 0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// True when anything is kept of the user: a log, a thread, a login, a revocation.
fn is_known(connection: &Connection, user_id: &UserId) -> Result<bool> {
    let (kind, name) = (columns(&Revoked::User(user_id.clone())).0, user_id.as_str());
    Ok(connection
        .prepare_cached(
            "SELECT 1 FROM users WHERE user_id = ?2 UNION ALL SELECT 1 FROM logins WHERE user_id = ?2
             UNION ALL SELECT 1 FROM revocations WHERE kind = ?1 AND name = ?2",
        )?
        .exists((kind, name))?)
}

fn create_account(tx: &Tx<'_>, account: &Account, fresh: bool) -> Result<bool> {
    if fresh && is_known(tx.connection, &account.user_id)? {
        return Ok(false);
    }
    let made = tx
        .connection
        .prepare_cached(
            "INSERT INTO accounts (user_id, password, permissions, disabled, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        )?
        .execute((
            account.user_id.as_str(),
            &account.password_hash,
            account.permissions.names().join(" "),
            account.disabled,
            account.created_at,
        ))?;
    Ok(made == 1)
}

fn change_account(
    tx: &Tx<'_>,
    user_id: &UserId,
    change: &AccountChange,
    revocation: Option<&Revocation>,
) -> Result<Account> {
    let sql = format!(
        "UPDATE accounts SET password = coalesce(?2, password), permissions = coalesce(?3, permissions),
         disabled = coalesce(?4, disabled) WHERE user_id = ?1 AND permissions = coalesce(?5, permissions)
         RETURNING {ACCOUNT}"
    );
    let names = |granted: Option<Permissions>| granted.map(|granted| granted.names().join(" "));
    let (permissions, expected) = (names(change.permissions), names(change.expected));
    let values = (user_id.as_str(), &change.password_hash, permissions, change.disabled, expected);
    let changed = tx.connection.prepare_cached(&sql)?.query_row(values, account_row)?;
    if let Some(revocation) = revocation {
        revoke(tx, revocation)?;
    }
    Ok(changed)
}

fn login(connection: &Connection, session_id: &str, now: Timestamp) -> Result<Option<Login>> {
    let sql = format!("SELECT {LOGIN} FROM logins WHERE session_id = ?1 AND expires_at > ?2");
    Ok(connection.prepare_cached(&sql)?.query_row((session_id, now), login_row).optional()?)
}

fn open_login(tx: &Tx<'_>, login: &Login, password_hash: &str, most: u64) -> Result<Option<Account>> {
    let account = account(tx.connection, &login.user_id)?;
    let good = |account: &Account| !account.disabled && account.password_hash == password_hash;
    let Some(account) = account.filter(good) else { return Ok(None) };
    let user = Revoked::User(login.user_id.clone());
    let (kind, name) = columns(&user);
    let revoked = tx
        .connection
        .prepare_cached("SELECT 1 FROM revocations WHERE kind = ?1 AND name = ?2 AND at >= ?3")?
        .exists((kind, name, login.created_at))?;
    if revoked {
        return Ok(None);
    }
    tx.connection
        .prepare_cached(
            "INSERT INTO logins (session_id, user_id, refresh, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((
            &login.session_id,
            login.user_id.as_str(),
            login.refresh,
            login.created_at,
            login.expires_at,
        ))?;
    tx.connection
        .prepare_cached(
            "DELETE FROM logins WHERE session_id IN (SELECT session_id FROM logins WHERE user_id = ?1
             ORDER BY created_at DESC LIMIT -1 OFFSET ?2)",
        )?
        .execute((login.user_id.as_str(), i64::try_from(most).unwrap_or(i64::MAX)))?;
    Ok(Some(account))
}

fn refresh_login(tx: &Tx<'_>, refresh: &Refresh) -> Result<Refreshed> {
    let Some(login) = login(tx.connection, &refresh.session_id, refresh.now)? else {
        return Ok(Refreshed::Unknown);
    };
    if login.refresh != refresh.shown {
        let what = Revoked::Session(login.session_id);
        revoke(tx, &Revocation { what, at: refresh.now, until: refresh.until })?;
        return Ok(Refreshed::Reused(login.user_id));
    }
    match account(tx.connection, &login.user_id)? {
        Some(account) if !account.disabled => {
            tx.connection
                .prepare_cached("UPDATE logins SET refresh = ?2, expires_at = ?3 WHERE session_id = ?1")?
                .execute((&refresh.session_id, refresh.next, refresh.expires_at))?;
            Ok(Refreshed::Done(account))
        }
        _ => Ok(Refreshed::Unknown),
    }
}

fn columns(what: &Revoked) -> (i64, &str) {
    match what {
        Revoked::Token(id) => (0, id),
        Revoked::Session(id) => (1, id),
        Revoked::User(user_id) => (2, user_id.as_str()),
    }
}

/// One row for each thing: a later revocation of it takes the place of the earlier, and never shortens it.
fn revoke(tx: &Tx<'_>, revocation: &Revocation) -> Result<()> {
    let (kind, name) = columns(&revocation.what);
    tx.connection
        .prepare_cached(
            "INSERT INTO revocations (kind, name, at, until) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET at = max(at, excluded.at), until = max(until, excluded.until)",
        )?
        .execute((kind, name, revocation.at, revocation.until))?;
    match &revocation.what {
        Revoked::Token(_) => {}
        Revoked::Session(session_id) => {
            tx.connection
                .prepare_cached("DELETE FROM logins WHERE session_id = ?1")?
                .execute([session_id])?;
        }
        Revoked::User(user_id) => {
            tx.connection
                .prepare_cached("DELETE FROM logins WHERE user_id = ?1 AND created_at <= ?2")?
                .execute((user_id.as_str(), revocation.at))?;
        }
    }
    Ok(())
}

fn revocation_row(row: &Row<'_>) -> rusqlite::Result<Revocation> {
    let name: String = row.get(1)?;
    let what = match row.get::<_, i64>(0)? {
        0 => Revoked::Token(name),
        1 => Revoked::Session(name),
        _ => Revoked::User(user_id(row, 1)?),
    };
    Ok(Revocation { what, at: row.get(2)?, until: row.get(3)? })
}

fn revocations(connection: &Connection, now: Timestamp) -> Result<Vec<Revocation>> {
    let mut statement =
        connection.prepare_cached("SELECT kind, name, at, until FROM revocations WHERE until > ?1")?;
    let rows = statement.query_map([now], revocation_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

#[async_trait]
impl AccountStore for Embedded {
    async fn create_account(&self, account: Account, fresh: bool) -> Result<bool> {
        self.write(move |tx| create_account(tx, &account, fresh)).await
    }

    async fn account(&self, user_id: &UserId) -> Result<Option<Account>> {
        let user = user_id.clone();
        self.query(move |connection| account(connection, &user)).await
    }

    async fn accounts(&self, window: Window) -> Result<(Vec<Account>, u64)> {
        self.query(move |connection| accounts(connection, window)).await
    }

    async fn disabled_users(&self) -> Result<Vec<UserId>> {
        self.query(disabled_users).await
    }

    async fn change_account(
        &self,
        user_id: &UserId,
        change: AccountChange,
        revocation: Option<Revocation>,
    ) -> Result<Account> {
        let user = user_id.clone();
        self.write(move |tx| change_account(tx, &user, &change, revocation.as_ref())).await
    }

    async fn open_login(&self, login: Login, password_hash: &str, most: u64) -> Result<Option<Account>> {
        let password_hash = password_hash.to_owned();
        self.write(move |tx| open_login(tx, &login, &password_hash, most)).await
    }

    async fn login(&self, session_id: &str, now: Timestamp) -> Result<Option<Login>> {
        let session_id = session_id.to_owned();
        self.query(move |connection| login(connection, &session_id, now)).await
    }

    async fn refresh_login(&self, refresh: Refresh) -> Result<Refreshed> {
        self.write(move |tx| refresh_login(tx, &refresh)).await
    }

    async fn revoke(&self, revocation: Revocation) -> Result<()> {
        self.write(move |tx| revoke(tx, &revocation)).await
    }

    async fn bound_revocations(&self, longest: f64) -> Result<()> {
        let sql = "UPDATE revocations SET until = at + ?1 WHERE until > at + ?1";
        self.write(move |tx| Ok(tx.connection.prepare_cached(sql)?.execute([longest]).map(drop)?)).await
    }

    async fn revocations(&self, now: Timestamp) -> Result<Vec<Revocation>> {
        self.query(move |connection| revocations(connection, now)).await
    }
}
