//! The server under measurement: a process of its own on a core of its own, and what it costs.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use wireproof_protocol::UserId;
use wireproof_server::{Config, Server, auth::Keys};

use crate::{
    agents::Probe,
    dialect::{Dialect, Position},
    login::Login,
    wire::Wire,
};

/// Ticks of the kernel's CPU accounts in a second.
const TICKS: f64 = 100.0;

/// A server process.
pub struct Process {
    child: Child,
    folder: TempDir,
    /// Which server it is.
    pub kind: Kind,
    /// Where it listens.
    pub address: String,
    keys: Option<Keys>,
}

/// Which server is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The shipped program, whose agent is the builtin one.
    Shipped,
    /// The same server with the probe agents first.
    Probe,
    /// FastAPI with uvicorn.
    FastApi,
    /// Node with `ws`.
    Ws,
    /// Socket.IO, which keeps nothing for those who come back, as it does by default.
    SocketIo,
    /// Socket.IO with its recovery of connections from memory.
    SocketIoRecovering,
    /// Bare axum.
    Axum,
}

impl Kind {
    /// The server of this name; all but `probe` are columns of the tables.
    pub fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "wireproof" => Kind::Shipped,
            "probe" => Kind::Probe,
            "fastapi" => Kind::FastApi,
            "ws" => Kind::Ws,
            "socket.io" => Kind::SocketIo,
            "axum" => Kind::Axum,
            _ => bail!("there is no server `{name}`: wireproof, probe, fastapi, ws, socket.io, axum"),
        })
    }

    /// What it speaks.
    pub fn dialect(self) -> Dialect {
        match self {
            Kind::SocketIo | Kind::SocketIoRecovering => Dialect::SocketIo,
            Kind::Shipped | Kind::Probe | Kind::FastApi | Kind::Ws | Kind::Axum => Dialect::Plain,
        }
    }

    /// Whether a client that shows its position gets what it missed.
    pub fn resumes(self) -> bool {
        matches!(self, Kind::Shipped | Kind::Probe | Kind::SocketIoRecovering)
    }

    /// Whether a question with an id may be asked again.
    pub fn asks_again(self) -> bool {
        self.is_ours()
    }

    fn is_ours(self) -> bool {
        matches!(self, Kind::Shipped | Kind::Probe)
    }
}

/// Settings that lift the limits of a user where a benchmark needs many of one.
pub const LIFTED: &str = "[limits]\nconnections_per_user = 0\nconcurrent_runs = 0\nmessages_per_minute = 0\n\
    other_frames_per_minute = 0\nbytes_per_minute = 0\nhandshakes_per_second = 0\nhandshakes_in_progress = 0\n\
    run_bytes = 0\nrun_events = 0\nrun_tools = 0\n";

/// `wireproof-bench serve CONFIG DATA_DIR ADDRESS`: the server with the probe agents, until it is killed.
pub async fn serve(arguments: &[String]) -> Result<()> {
    let [config, data_dir, listen] = arguments else {
        bail!("serve takes a configuration, a data directory, an address")
    };
    let mut config = Config::load(Some(Path::new(config)), Default::default())?;
    config.data_dir = data_dir.into();
    config.listen = listen.parse()?;
    let server = Server::start_with(config, vec![Arc::new(Probe)]).await?;
    println!("ready ws://{}/ws", server.address());
    std::future::pending().await
}

impl Process {
    /// Starts a server on the core that `WIREPROOF_SERVER_CORE` names and waits until it accepts.
    pub async fn start(kind: Kind) -> Result<Self> {
        Self::start_with(kind, LIFTED).await
    }

    /// The same with settings of its own; the peers have none.
    pub async fn start_with(kind: Kind, settings: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("wireproof.toml"), settings)?;
        let (child, address) = launch(kind, folder.path(), "127.0.0.1:0").await?;
        let data = folder.path().join("data");
        let keys = kind.is_ours().then(|| Keys::load_or_create(&data)).transpose()?;
        Ok(Self { child, folder, kind, address, keys })
    }

    /// Kills the process, as a crash would.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Starts it again, on the same folder and address; returns when it accepts.
    pub async fn again(&mut self) -> Result<()> {
        (self.child, _) = launch(self.kind, self.folder.path(), &self.address).await?;
        Ok(())
    }

    /// A token of a user; the peers look at none.
    pub fn token(&self, user: &str) -> Result<String> {
        let sign = |keys: &Keys| Ok(keys.sign(&UserId::new(user)?, Duration::from_secs(3600)));
        self.keys.as_ref().map_or_else(|| Ok(user.to_owned()), sign)
    }

    /// How a user reaches it; users of different numbers may come from different addresses.
    pub fn login(&self, user: &str, index: usize) -> Result<Login> {
        let (dialect, address) = (self.kind.dialect(), self.address.clone());
        Ok(Login { dialect, address, token: self.token(user)?, index })
    }

    /// A connection of a user that has had its welcome.
    pub async fn connect(&self, user: &str, index: usize) -> Result<Wire> {
        self.login(user, index)?.connect(Position::default()).await
    }

    /// Connections of so many users.
    pub async fn connect_many(&self, count: usize) -> Result<Vec<Wire>> {
        let mut wires = Vec::with_capacity(count);
        for index in 0..count {
            wires.push(self.connect(&format!("user{index}"), index).await?);
        }
        Ok(wires)
    }

    /// Memory that the server occupies now, in KiB.
    pub fn rss_kib(&self) -> Result<f64> {
        let status = self.proc_file("status")?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).context("VmRSS is not a number")
    }

    /// CPU time that the server used so far, in seconds.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = self.proc_file("stat")?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
        Ok((ticks(11).context("no utime")? + ticks(12).context("no stime")?) / TICKS)
    }

    fn proc_file(&self, name: &str) -> Result<String> {
        let pid = self.child.id().context("the server has ended")?;
        Ok(std::fs::read_to_string(format!("/proc/{pid}/{name}"))?)
    }

    /// Where its store is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

async fn launch(kind: Kind, folder: &Path, listen: &str) -> Result<(Child, String)> {
    let (config, data) = (folder.join("wireproof.toml"), folder.join("data"));
    let core = std::env::var("WIREPROOF_SERVER_CORE").unwrap_or_else(|_| "0".to_owned());
    let mut command = Command::new("taskset");
    command.args(["-c", &core]).stdout(Stdio::piped()).kill_on_drop(true);
    match kind {
        Kind::Shipped => {
            command.arg(named_by("WIREPROOF_SERVER")?).args(["serve", "--listen", listen, "--config"]);
            command.arg(config).arg("--data-dir").arg(data).stderr(Stdio::null());
        }
        Kind::Probe => {
            command.arg(std::env::current_exe()?).arg("serve").arg(config).arg(data).arg(listen);
            command.stderr(Stdio::null());
        }
        Kind::FastApi => {
            command.arg(named_by("WIREPROOF_PYTHON")?).arg(peer("fastapi_server.py")).arg(listen);
        }
        Kind::Ws => node(&mut command, "ws_server.cjs", &[listen])?,
        Kind::SocketIo => node(&mut command, "socket_io_server.cjs", &[listen])?,
        Kind::SocketIoRecovering => node(&mut command, "socket_io_server.cjs", &[listen, "--recover"])?,
        Kind::Axum => {
            command.arg(std::env::current_exe()?.with_file_name("wireproof-bench-axum")).arg(listen);
        }
    }
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().context("the server's output is piped")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await??;
    let line = line.context("the server ended before it was ready")?;
    let address = line.trim_start_matches("ready ws://").trim_end_matches("/ws").to_owned();
    Ok((child, address))
}

fn node(command: &mut Command, program: &str, arguments: &[&str]) -> Result<()> {
    command.arg("node").arg(peer(program)).args(arguments);
    command.env("NODE_PATH", named_by("WIREPROOF_NODE_MODULES")?);
    Ok(())
}

/// A program of a peer, in the sources.
fn peer(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name)
}

/// What a variable names, which `cargo xtask` sets.
fn named_by(variable: &str) -> Result<String> {
    std::env::var(variable).with_context(|| format!("{variable} is not set; `cargo xtask bench` sets it"))
}
