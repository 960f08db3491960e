//! The program under test as processes: a command that runs to its end, and a server that runs until it is ended.

use std::{
    env,
    ffi::OsStr,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};
use wireproof_client::Connect;

/// Longer than any single step of a test takes, also on a busy machine.
pub(crate) const WITHIN: Duration = Duration::from_secs(30);

/// The program, with nothing of the caller's own settings; it ends with the test.
pub(crate) fn wireproof<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wireproof"));
    for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"WIREPROOF_")) {
        command.env_remove(name);
    }
    command.args(arguments).env("WIREPROOF_LOG", "warn").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// How a command ended, and what it said.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end.
pub(crate) async fn finish(command: Command) -> Result<Ended> {
    finish_within(command, WITHIN).await
}

/// Runs a command to its end, which has to come in this time.
pub(crate) async fn finish_within(mut command: Command, time: Duration) -> Result<Ended> {
    let output = timeout(time, command.output()).await;
    let output = output.with_context(|| format!("did not end within {time:?}: {:?}", command.as_std()))??;
    let text = |bytes| String::from_utf8(bytes).context("the program writes UTF-8");
    Ok(Ended { code: output.status.code(), stdout: text(output.stdout)?, stderr: text(output.stderr)? })
}

/// Runs the program with these arguments to its end.
pub(crate) async fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Result<Ended> {
    finish(wireproof(arguments)).await
}

/// The user `nobody`.
const STRANGER: &str = "65534";

/// A shell command as another user of this machine, with a folder as `$1`.
pub(crate) async fn as_a_stranger(script: &str, folder: &Path) -> Result<Ended> {
    let is_root = rustix::process::geteuid().is_root();
    let mut command = Command::new(if is_root { "setpriv" } else { "sudo" });
    if !is_root {
        command.args(["-n", "setpriv"]);
    }
    command.args(["--reuid", STRANGER, "--regid", STRANGER, "--clear-groups", "sh", "-c", script, "sh"]);
    command.arg(folder).kill_on_drop(true);
    let ended = finish(command)
        .await
        .context("becoming another user takes root, or sudo that asks for no password, and setpriv")?;
    ensure!(
        ended.stderr.is_empty() || !ended.stderr.contains("setpriv:") && !ended.stderr.contains("sudo:"),
        "becoming another user takes root, or sudo that asks for no password, and setpriv: {}",
        ended.stderr
    );
    Ok(ended)
}

/// A token for a user of the server that has this data folder.
pub(crate) async fn token(data_dir: &Path, user: &str) -> Result<String> {
    let mut command = wireproof(["token", "--user", user, "--data-dir"]);
    command.arg(data_dir);
    let ended = finish(command).await?;
    ensure!(ended.code == Some(0), "no token for {user}: {}", ended.stderr);
    Ok(ended.stdout.trim_end().to_owned())
}

/// A token for a user that grants these.
pub(crate) async fn token_granting(data_dir: &Path, user: &str, permissions: &[&str]) -> Result<String> {
    let mut command = wireproof(["token", "--user", user]);
    command.args(permissions.iter().flat_map(|name| ["--permission", name])).arg("--data-dir").arg(data_dir);
    let ended = finish(command).await?;
    ensure!(ended.code == Some(0), "no token for {user}: {}", ended.stderr);
    Ok(ended.stdout.trim_end().to_owned())
}

/// `wireproof serve` on a free port with this data folder; its log goes to the test's own output.
pub(crate) fn serve(data_dir: &Path) -> Command {
    let mut command = wireproof(["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(data_dir);
    command
}

/// A server that has said that it is ready.
pub(crate) struct Server {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    pub(crate) url: String,
}

impl Server {
    /// Starts a server on a free port.
    pub(crate) async fn start(data_dir: &Path) -> Result<Self> {
        Self::launch(serve(data_dir)).await
    }

    /// Starts the server that the command says, and waits for its ready line.
    pub(crate) async fn launch(mut command: Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn().context("starting the server")?;
        let mut stdout = BufReader::new(child.stdout.take().context("a pipe to stdout")?).lines();
        let line = timeout(WITHIN, stdout.next_line()).await.context("no ready line came in time")??;
        let line = line.context("the server ended before it was ready; its log says why")?;
        let url = line.strip_prefix("ready ").with_context(|| format!("{line:?} is no ready line"))?;
        Ok(Self { url: url.to_owned(), child, stdout })
    }

    /// Waits for another ready line, as a restart in place says it; returns its address.
    pub(crate) async fn next_ready(&mut self) -> Result<String> {
        let line = timeout(WITHIN, self.stdout.next_line()).await.context("no second ready line came")??;
        let line = line.context("the server ended in place of a restart; its log says why")?;
        Ok(line.strip_prefix("ready ").with_context(|| format!("{line:?} is no ready line"))?.to_owned())
    }

    /// A connection to it, yet to be opened.
    pub(crate) fn connect(&self, token: &str) -> Connect {
        Connect::to(&self.url).token(token)
    }

    /// Host and port, to listen there again.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("ws://").trim_end_matches("/ws")
    }

    /// `kill -9`; the process is gone when this returns.
    pub(crate) async fn kill(mut self) -> Result<()> {
        timeout(WITHIN, self.child.kill()).await.context("the killed process is still there")??;
        Ok(())
    }

    /// The number of its process, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// `kill`: asks it to end.
    /// The log, where the command that started the server has a pipe for it.
    pub(crate) fn take_stderr(&mut self) -> Option<tokio::process::ChildStderr> {
        self.child.stderr.take()
    }

    pub(crate) fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// `kill -HUP`: asks it to read its settings anew.
    pub(crate) fn hang_up(&self) -> Result<()> {
        self.signal(Signal::HUP)
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(kill_process(id.context("the server has ended already")?, signal)?)
    }

    /// Waits for its end by itself; gives how it ended and what it wrote to stdout after the ready line.
    pub(crate) async fn ended(mut self) -> Result<(ExitStatus, Vec<String>)> {
        let (mut lines, status) = (Vec::new(), timeout(WITHIN, self.child.wait()).await);
        let status = status.context("the server did not end in time")??;
        while let Some(line) = self.stdout.next_line().await? {
            lines.push(line);
        }
        Ok((status, lines))
    }
}
