//! What users and clients need of a server: where it is, and what signs its tokens.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
    time::Duration,
};

use wireproof_protocol::UserId;
use wireproof_server::{
    Config, ReloadError,
    auth::{Keys, Permissions, keys::KEY_FILE},
    config::JwtConfig,
};

use crate::{issuer::Issuer, rest::Rest};

/// What users and clients need of a server; outlives its restarts.
pub(crate) struct ServerInfo {
    pub(crate) address: SocketAddr,
    pub(crate) keys: Keys,
    secret: RwLock<Vec<u8>>,
}

impl ServerInfo {
    /// What is needed of a server with these settings, whose key exists. Panics when it cannot be used.
    pub(crate) fn open(config: &Config) -> Self {
        let keys = Keys::from_config(&signing(config), &config.data_dir)
            .unwrap_or_else(|e| panic!("no keys for the server: {e}"));
        let secret = RwLock::new(secret(&config.jwt, &config.data_dir));
        Self { address: config.listen, keys, secret }
    }

    /// Signs with the key of these settings from now on.
    pub(crate) async fn reload(&self, config: &Config) -> Result<(), ReloadError> {
        self.keys.reload(&signing(config), &config.data_dir).await?;
        *self.secret.write().unwrap_or_else(PoisonError::into_inner) = secret(&config.jwt, &config.data_dir);
        Ok(())
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// HTTP of an administrator with all permissions.
    pub(crate) fn admin(&self) -> Rest {
        let root = UserId::new("root").unwrap_or_else(|e| panic!("root is a user: {e}"));
        let mut claims = self.keys.claims(&root, Duration::from_secs(3600));
        claims.permissions = Some(Permissions::all().names().into_iter().map(str::to_owned).collect());
        Rest::to(self.address).token(self.keys.sign_claims(&claims))
    }

    /// The server's own key, which signs whatever it is given.
    pub(crate) fn issuer(&self) -> Issuer {
        let kid = self.keys.report().local.unwrap_or_default();
        Issuer::hs256(&kid, self.secret.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// The secret of the settings, or that of the data directory.
fn secret(jwt: &JwtConfig, data_dir: &Path) -> Vec<u8> {
    if !jwt.secret.is_empty() {
        return jwt.secret.clone().into_bytes();
    }
    let hex = std::fs::read_to_string(data_dir.join(KEY_FILE));
    let hex = hex.unwrap_or_else(|e| panic!("the server's key cannot be read: {e}"));
    let pairs = hex.trim().as_bytes().chunks(2);
    let bytes = pairs.map(|pair| u8::from_str_radix(&String::from_utf8_lossy(pair), 16));
    bytes.collect::<Result<_, _>>().unwrap_or_else(|e| panic!("the server's key is not hex: {e}"))
}

/// The settings of what signs, without the keys of others.
fn signing(config: &Config) -> JwtConfig {
    JwtConfig { jwks_url: String::new(), public_key_file: PathBuf::new(), ..config.jwt.clone() }
}
