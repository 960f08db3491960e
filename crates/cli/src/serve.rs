//! `wireproof serve`: the server as a service. Its only line on stdout says that it accepts, and where.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process,
};

use anyhow::Context;
use clap::Args;
use wireproof_server::{Config, Overrides, Server};

use crate::{logging, runtime, signals::Signals};

/// Settings come from flags, then from WIREPROOF_* in the environment, then from the file.
#[derive(Args)]
pub(crate) struct Serve {
    /// Where to listen; port 0 takes any free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where the store and the key live; made when absent.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A TOML file with settings.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        logging::to_stderr("info,rmcp=warn");
        let overrides = Overrides { listen: self.listen, data_dir: self.data_dir };
        let config = Config::load(self.config.as_deref(), overrides).context("reading the settings")?;
        runtime::run(serve(config))
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    // Before the ready line: who reads it may send a signal at once.
    let mut signals = Signals::listen().context("listening for signals")?;
    let server = Server::start(config).await.context("starting the server")?;
    announce(server.address()).context("writing the ready line to stdout")?;
    signals.next().await;
    tokio::select! {
        () = server.shutdown() => Ok(()),
        () = signals.next() => process::exit(1),
    }
}

fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "ready ws://{address}/ws")?;
    out.flush()
}
