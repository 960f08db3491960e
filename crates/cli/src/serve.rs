//! `wireproof serve`: the server as a service. Its only line on stdout says that it accepts, and where; once more after
//! a restart in place.

use std::{
    io::{self, Write},
    net::SocketAddr,
    process,
};

use anyhow::{Context, bail};
use clap::Args;
use wireproof_protocol::listen_address;
use wireproof_server::{
    Config, ConfigError, Overrides, Server, config::unknown_variables, shutdown::ShutdownKind,
};

use crate::{
    address::Read,
    logging, runtime,
    settings::SettingsArgs,
    signals::{Hangups, Signals},
};

/// The arguments of `wireproof serve`; what it does is said where the commands are listed.
#[derive(Args)]
#[command(after_help = "Examples:
  wireproof serve
  wireproof serve --listen 127.0.0.1:8787 --data-dir ./data
  WIREPROOF_LIMITS_QUEUED_RUNS=32 wireproof serve --config /etc/wireproof/wireproof.toml

Environment: each setting of the file is also a variable, limits.queued_runs is WIREPROOF_LIMITS_QUEUED_RUNS. A flag wins
over the variable, and the variable over the file. WIREPROOF_LOG says how much is logged, such as debug.

Signals: SIGTERM and SIGINT drain and stop, a second one ends at once. SIGHUP reads keys and certificates again.

Exit codes: 0 stopped when asked, 1 failed, 2 an argument or a setting cannot be used.")]
pub(crate) struct Serve {
    /// Where to listen; port 0 takes any free one, :8787 is this machine only, `0.0.0.0:8787` or `[::]:8787` all addresses
    /// [env: WIREPROOF_LISTEN] [default: 127.0.0.1:8787].
    #[arg(long, value_name = "ADDR", value_parser = Read(listen_address))]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Accept clients without a token as the user "anonymous"; only on a loopback address, for trying it out.
    #[arg(long)]
    insecure_no_auth: bool,
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let overrides = Overrides {
            listen: self.listen,
            insecure_no_auth: self.insecure_no_auth,
            ..self.settings.overrides()
        };
        let read = move || Config::load(self.settings.file(), overrides.clone());
        let config = read().context("reading the settings")?;
        logging::as_set(&config.log).context("reading the settings")?;
        for unknown in unknown_variables() {
            tracing::warn!("{unknown}");
        }
        runtime::run(serve(config, read))
    }
}

async fn serve(mut config: Config, read: impl Fn() -> Result<Config, ConfigError>) -> anyhow::Result<()> {
    // Before the ready line: who reads it may send a signal at once.
    let mut signals = Signals::listen().context("listening for signals")?;
    let mut hangups = Hangups::listen().context("listening for signals")?;
    loop {
        let server = Server::start(config.clone()).await.context("starting the server")?;
        announce(&server).context("writing the ready line to stdout")?;
        let ending = loop {
            tokio::select! {
                () = signals.next() => break ShutdownKind::Stop,
                ending = server.requested() => break ending,
                () = hangups.next() => {}
            }
            tokio::select! {
                () = signals.next() => break ShutdownKind::Stop,
                () = reload(&server, &read) => {}
            }
        };
        let address = server.address();
        tokio::select! {
            () = server.shutdown() => {}
            () = signals.next() => process::exit(1),
        }
        match ending {
            ShutdownKind::Stop => return Ok(()),
            ShutdownKind::Failed(part) => bail!("the server's {part} died; the log says why"),
            ShutdownKind::Restart => {}
        }
        match read() {
            Ok(read) => config = read,
            Err(error) => tracing::error!("the settings cannot be used, all is as before: {error:#}"),
        }
        // A port that was any free one is now this server's own.
        config.listen = address;
    }
}

/// Reads the settings anew and has the server take in what may change while it runs; what is wrong with them is said
/// in the log, and the server goes on as it was.
async fn reload(server: &Server, read: impl Fn() -> Result<Config, ConfigError>) {
    let reloaded = match read() {
        Ok(config) => server.reload(&config).await.map_err(anyhow::Error::from),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = reloaded {
        tracing::error!("SIGHUP: the settings were not taken in, all is as before: {error:#}");
    }
}

fn announce(server: &Server) -> io::Result<()> {
    let (scheme, address) = (if server.is_encrypted() { "wss" } else { "ws" }, server.address());
    let mut out = io::stdout().lock();
    writeln!(out, "ready {scheme}://{address}/ws")?;
    out.flush()
}
