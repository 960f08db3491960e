//! Servers that are not ours as processes: each on a free port, waited for until it accepts, ended with its test.

use std::{ffi::OsStr, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::clients::{SET_UP, tool};

/// Longer than the slowest of them takes to start, also on a busy machine.
const STARTED: Duration = Duration::from_secs(60);
/// How often a free port is tried: another program may take it in between.
const TRIES: usize = 5;

/// A foreign server that accepts connections.
pub(crate) struct Foreign {
    pub(crate) url: String,
    _child: Child,
}

impl Foreign {
    /// A script of `tests/servers`, which finds a port by itself and says `ready URL`.
    pub(crate) async fn script<A: AsRef<OsStr>>(
        name: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers").join(name);
        let mut command = Command::new(tool("WIREPROOF_PYTHON")?);
        // No file is left beside the sources.
        command.arg("-B").arg(script).args(arguments).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context(SET_UP)?;
        let mut stdout = BufReader::new(child.stdout.take().context("a pipe to stdout")?).lines();
        let line = timeout(STARTED, stdout.next_line()).await.context("no ready line came in time")??;
        let line = line.with_context(|| format!("{name} ended before it was ready ({SET_UP})"))?;
        let url = line.strip_prefix("ready ").with_context(|| format!("{line:?} is no ready line"))?;
        Ok(Self { url: url.to_owned(), _child: child })
    }

    /// The echo server that the package `websocket-client` ships for its own tests.
    pub(crate) async fn echo() -> Result<Self> {
        let python = tool("WIREPROOF_PYTHON")?;
        Self::on_a_free_port(|port| {
            let mut command = Command::new(&python);
            command.args(["-c", "import runpy, websocket, os; runpy.run_path(os.path.join(os.path.dirname(websocket.__file__), 'tests', 'echo-server.py'), run_name='__main__')"]);
            command.env("LOCAL_WS_SERVER_PORT", port.to_string());
            command
        })
        .await
    }

    /// `websocketd` around `cat`: an echo line by line.
    pub(crate) async fn websocketd() -> Result<Self> {
        Self::on_a_free_port(|port| {
            let mut command = Command::new("websocketd");
            command.args(["--loglevel=fatal", "--address=127.0.0.1", &format!("--port={port}"), "cat"]);
            command
        })
        .await
    }

    /// A command that listens on the port that it is given, as soon as it accepts.
    pub(crate) async fn on_a_free_port(command: impl Fn(u16) -> Command) -> Result<Self> {
        for _ in 0..TRIES {
            let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
            let mut command = command(port);
            let child = command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn();
            let mut child =
                child.with_context(|| format!("{:?} cannot be started: {SET_UP}", command.as_std()))?;
            if accepts(&mut child, port).await? {
                return Ok(Self { url: format!("ws://127.0.0.1:{port}/"), _child: child });
            }
        }
        bail!("the server ended {TRIES} times before it accepted; its own words are above ({SET_UP})")
    }
}

/// Waits until the port is open; false when the process has ended before.
async fn accepts(child: &mut Child, port: u16) -> Result<bool> {
    let deadline = Instant::now() + STARTED;
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        if child.try_wait()?.is_some() {
            return Ok(false);
        }
        if Instant::now() > deadline {
            bail!("the server does not accept after {STARTED:?}");
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(true)
}
