//! Which server is loaded, as whom, and which process it is.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, anyhow, ensure};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};
use wireproof_client::{Connect, Trust};
use wireproof_protocol::{Address, UserId};
use wireproof_server::{Config, Overrides, auth::Keys};

use super::{Load, process};
use crate::{exit::Stop, token::NewKey};

/// Longer than a measurement may take.
const TOKEN_TTL: Duration = Duration::from_secs(24 * 3600);

/// Connections from one local address: below the 28,000 ports that Linux hands out.
const PER_ADDRESS: usize = 20_000;

/// The limits that would be measured in place of the server.
const UNLIMITED: [&str; 8] = [
    "CONNECTIONS_PER_USER",
    "CONCURRENT_RUNS",
    "QUEUED_RUNS",
    "MESSAGES_PER_MINUTE",
    "OTHER_FRAMES_PER_MINUTE",
    "BYTES_PER_MINUTE",
    "HANDSHAKES_PER_SECOND",
    "HANDSHAKES_IN_PROGRESS",
];

/// The server and the ways in.
pub(super) struct Target {
    pub(super) url: Address,
    pub(super) pid: Option<u32>,
    tokens: Tokens,
    trust: Trust,
    within: Duration,
    own: Option<(Child, TempDir)>,
}

enum Tokens {
    One(String),
    Each { keys: Box<Keys>, prefix: String },
}

impl Target {
    pub(super) async fn find(load: &Load) -> anyhow::Result<Self> {
        let Some(url) = &load.url else { return Self::start(load).await };
        let tokens = match (&load.token, &load.data_dir) {
            (_, Some(folder)) => Tokens::of(folder, load)?,
            (Some(token), None) => Tokens::One(token.clone()),
            (None, None) => {
                let why = "with --url, say who the users are: --data-dir of the server, or --token";
                return Err(Stop::Usage(why.into()).into());
            }
        };
        let pid = load.server_pid.or_else(|| process::listening_on(local_port(url)?));
        let trust = match &load.ca {
            Some(ca) => Trust::with_pem_file(ca).context("reading --ca")?,
            None => Trust::default(),
        };
        Ok(Self { url: url.clone(), pid, tokens, trust, within: load.timeout, own: None })
    }

    /// Starts a server as a process of its own: its memory and its core are not the generator's.
    async fn start(load: &Load) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a temporary folder")?;
        let mut command = Command::new(std::env::current_exe().context("finding this program")?);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.path());
        command.envs(UNLIMITED.map(|name| (format!("WIREPROOF_LIMITS_{name}"), "0")));
        command.env_remove("WIREPROOF_JWT_SECRET").env("WIREPROOF_LOG", "warn");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("starting a server")?;
        let stdout = child.stdout.take().ok_or_else(|| anyhow!("the server has no stdout"))?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = timeout(Duration::from_secs(20), lines.next_line());
        let line = ready.await.context("waiting for the server")??.unwrap_or_default();
        ensure!(line.starts_with("ready "), "the server did not start; its log says why");
        let url = Address::socket(line.trim_start_matches("ready "))?;
        let (pid, tokens) = (child.id(), Tokens::of(folder.path(), load)?);
        Ok(Self {
            url,
            pid,
            tokens,
            trust: Trust::default(),
            within: load.timeout,
            own: Some((child, folder)),
        })
    }

    /// How connection number `index` connects, as user number `user`.
    pub(super) fn connect(&self, index: usize, user: usize) -> anyhow::Result<Connect> {
        let token = match &self.tokens {
            Tokens::One(token) => token.clone(),
            Tokens::Each { keys, prefix } => keys.sign(&UserId::new(format!("{prefix}{user}"))?, TOKEN_TTL),
        };
        let connect =
            Connect::to(self.url.to_string()).token(token).trust(self.trust.clone()).within(self.within);
        // The whole of 127.0.0.0/8 is this machine: further addresses have further ports.
        let last =
            u8::try_from(1 + index / PER_ADDRESS).context("that many connections need more addresses")?;
        Ok(match local_port(&self.url) {
            Some(_) if last > 1 => connect.from_address(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))),
            _ => connect,
        })
    }

    /// Ends the server if it was started here.
    pub(super) async fn close(self) {
        if let Some((mut child, folder)) = self.own {
            // Its folder goes with it, so there is nothing to end in order.
            let _ = child.kill().await;
            drop(folder);
        }
    }
}

impl Tokens {
    fn of(folder: &Path, load: &Load) -> anyhow::Result<Self> {
        let overrides = Overrides { data_dir: Some(folder.to_owned()), ..Overrides::default() };
        let config = Config::load(None, overrides).context("reading the settings")?;
        let key = load.url.is_some().then(|| NewKey::look(&config));
        let keys = match load.url {
            Some(_) => Keys::from_config(&config.jwt, folder),
            None => Keys::load_or_create(folder),
        };
        let keys = Box::new(keys.context("opening the key")?);
        if let Some(key) = key {
            key.tell();
        }
        Ok(Self::Each { keys, prefix: load.token_user_prefix.clone() })
    }
}

/// The port, if the address is one of this machine's own.
fn local_port(url: &Address) -> Option<u16> {
    url.is_loopback().then(|| url.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_port_is_that_of_this_machine_only() {
        let local_port = |url| local_port(&Address::socket(url).unwrap());
        assert_eq!(local_port("ws://127.0.0.1:8787/ws"), Some(8787));
        assert_eq!(local_port("ws://[::1]:9/ws"), Some(9));
        assert_eq!(local_port("ws://localhost/ws"), Some(80));
        assert_eq!(local_port("ws://example.org:80/ws"), None);
    }
}
