//! The signals that ask a program to stop, SIGINT as Ctrl-C sends it and SIGTERM, and SIGHUP, which asks a service to
//! read its settings anew.

use std::{future::Future, io};

use anyhow::{Context, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Has a write past the limit on the size of files (`ulimit -f`) fail as on a full disk, where SIGXFSZ would end the
/// program.
pub(crate) fn outlive_file_limit() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    // What catches the signal stays for the life of the process.
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

/// Listens from its making on: a signal is not lost while nobody waits.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Listens for SIGHUP from its making on; only a service does, as a hangup ends other programs.
pub(crate) struct Hangups(Signal);

impl Hangups {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the next one; several that came meanwhile are one.
    pub(crate) async fn next(&mut self) {
        self.0.recv().await;
    }
}

/// Runs the future, and drops it with all it started when a signal comes first.
pub(crate) async fn or_stop<F>(future: F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let mut signals = Signals::listen().context("listening for signals")?;
    tokio::select! {
        done = future => done,
        () = signals.next() => bail!("stopped by a signal"),
    }
}
