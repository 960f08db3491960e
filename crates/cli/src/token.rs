//! `wireproof token`: signs a token with the server's key; makes the key of a data folder that has none.

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use jiff::SignedDuration;
use wireproof_protocol::UserId;
use wireproof_server::{
    Config, Overrides,
    auth::{Permission, Permissions, keys::Signer},
};

/// It is signed with the server's key: that of its settings, or of its data folder.
#[derive(Args)]
pub(crate) struct Token {
    /// Whose token: the `sub` claim, and so whose log.
    #[arg(long, value_name = "ID")]
    user: UserId,
    /// The server's data folder.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The server's settings, if a file holds them.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How long it is good for, such as 90s, 1h or "2h 30m"; from 1s.
    #[arg(long, default_value = "1h", value_parser = parse_ttl)]
    ttl: Duration,
    /// What it grants, such as chat or admin:read; may be given more than once. A user's usual permissions when left out.
    #[arg(long = "permission", value_name = "P", value_parser = parse_permission)]
    permissions: Vec<String>,
}

impl Token {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let overrides = Overrides { data_dir: self.data_dir, ..Overrides::default() };
        let config = Config::load(self.config.as_deref(), overrides).context("reading the settings")?;
        let signer = Signer::open(&config.jwt, &config.data_dir).context("opening the key")?;
        let mut claims = signer.claims(&self.user, self.ttl);
        claims.permissions = (!self.permissions.is_empty()).then_some(self.permissions);
        writeln!(io::stdout(), "{}", signer.sign(&claims)).context("writing to stdout")
    }
}

/// Reads the name of a permission, or `admin:*`.
pub(crate) fn parse_permission(name: &str) -> Result<String, String> {
    if Permissions::named([name]) == Permissions::NONE {
        let names = Permission::ALL.map(Permission::name).join(", ");
        return Err(format!("there are {names} and admin:*"));
    }
    Ok(name.to_owned())
}

/// Reads a duration of at least a second.
pub(crate) fn parse_ttl(text: &str) -> Result<Duration, String> {
    let ttl = parse_duration(text)?;
    if ttl < Duration::from_secs(1) {
        return Err("a token is good for at least 1s".into());
    }
    Ok(ttl)
}

/// Reads a duration such as `1h 30m`, not negative.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    Duration::try_from(duration).map_err(|_| "a duration cannot be negative".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_a_duration_from_a_second_up() {
        assert_eq!(parse_ttl("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse_ttl("2h 30m"), Ok(Duration::from_secs(9000)));
        assert_eq!(parse_ttl("1s"), Ok(Duration::from_secs(1)));
        for bad in ["0s", "999ms", "-1h", "soon", "", "12"] {
            assert!(parse_ttl(bad).is_err(), "{bad}");
        }
    }
}
