//! `wireproof token`: signs a token with the server's key; makes the key of a data folder that has none.

use std::{io::Write, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Args;
use jiff::SignedDuration;
use wireproof_protocol::UserId;
use wireproof_server::{
    Config,
    auth::{
        Permission, Permissions,
        keys::{KEY_FILE, Signer},
        reserved::{RESERVED, is_reserved},
    },
};

use crate::{
    exit::{Stop, say},
    output::exact,
    settings::SettingsArgs,
};

/// The arguments of `wireproof token`; what it does is said where the commands are listed.
#[derive(Args)]
#[command(after_help = "Examples:
  TOKEN=$(wireproof token --user ada --data-dir ./data)
  wireproof token --user ops --data-dir ./data --ttl 10m --permission admin:read

Exit codes: 0 printed, 1 failed, 2 an argument or a setting cannot be used.")]
pub(crate) struct Token {
    /// Whose token: the `sub` claim, and so whose log.
    #[arg(long, value_name = "ID")]
    user: UserId,
    #[command(flatten)]
    settings: SettingsArgs,
    /// How long it is valid, such as 90s, 1h or "2h 30m"; from 1s.
    #[arg(long, default_value = "1h", value_parser = parse_ttl)]
    ttl: Duration,
    /// What it grants, such as chat or admin:read; may be given more than once. A user's usual permissions when left out.
    #[arg(long = "permission", value_name = "P", value_parser = parse_permission)]
    permissions: Vec<String>,
}

impl Token {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let config = self.settings.load()?;
        if is_reserved(self.user.as_str()) {
            let why = format!(
                "--user: names that begin with {RESERVED:?} are the server's own; no token of one is taken"
            );
            return Err(Stop::Usage(why).into());
        }
        let longest = config.jwt.max_life_seconds;
        if self.ttl.as_secs_f64() > longest {
            let why = format!(
                "--ttl is longer than jwt.max_life_seconds ({longest} s): the server would end the token before; give a \
                 shorter one"
            );
            return Err(Stop::Usage(why).into());
        }
        let key = NewKey::look(&config);
        let signer = Signer::open(&config.jwt, &config.data_dir).context("opening the key")?;
        key.tell();
        let mut claims = signer.claims(&self.user, self.ttl);
        claims.permissions = (!self.permissions.is_empty()).then_some(self.permissions);
        writeln!(exact(), "{}", signer.sign(&claims)).context("writing to stdout")
    }
}

/// A key that is about to be made, where a token of an older one may have been meant.
pub(crate) struct NewKey(Option<PathBuf>);

impl NewKey {
    /// Looks whether the settings lead to a key.
    pub(crate) fn look(config: &Config) -> Self {
        let path = config.data_dir.join(KEY_FILE);
        Self((config.jwt.secret.is_empty() && !path.exists()).then_some(path))
    }

    /// Says on stderr that there is a new one.
    pub(crate) fn tell(self) {
        if let Some(path) = self.0 {
            let path = path.display();
            say(&format!(
                "note: made a new key, {path}. A server with another --data-dir does not take this key's tokens"
            ));
        }
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

/// Reads a number of seconds above 0, up to a day.
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds, such as 2.5".to_owned())?;
    match seconds > 0.0 && seconds <= 86400.0 {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err("more than 0 seconds, and at most 86400".to_owned()),
    }
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
    fn seconds_are_a_number_above_none() {
        assert_eq!(parse_seconds("2.5"), Ok(Duration::from_millis(2500)));
        for bad in ["0", "-1", "inf", "NaN", "1e9", "", "10s"] {
            assert!(parse_seconds(bad).is_err(), "{bad}");
        }
    }

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
