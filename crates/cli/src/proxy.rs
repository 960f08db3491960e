//! `wireproof proxy`: the fault proxy as a program, in front of any server, told what to do by flags and over HTTP.

mod control;
mod notes;
mod upstream;

use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use wireproof_faultproxy::{
    Cut, Direction, Fault, FaultProxy, Toxic, Trigger,
    mutation::{Mutation, Setup},
};
use wireproof_judge::profile::Profile;
use wireproof_protocol::listen_address;

use crate::{
    address::Read,
    exit::Stop,
    runtime,
    signals::Signals,
    token::{parse_duration, parse_seconds},
};
use upstream::Upstream;

/// The arguments of `wireproof proxy`; what it does is said where the commands are listed.
#[derive(Args)]
#[command(after_help = "Examples:
  wireproof proxy --upstream ws://127.0.0.1:8787/ws --latency 50ms --cut-after-bytes 4000
  wireproof proxy --upstream 127.0.0.1:5432 --control 127.0.0.1:0 --journal faults.jsonl

Exit codes: 0 stopped by a signal, 1 failed, 2 an argument cannot be used, 3 the server's name cannot be resolved.")]
pub(crate) struct Proxy {
    /// The server: ws://HOST:PORT/PATH, wss://…, or HOST:PORT.
    #[arg(long, value_name = "URL", value_parser = Read(Upstream::parse))]
    upstream: Upstream,
    /// Where to listen; port 0 takes any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", value_parser = Read(listen_address))]
    listen: SocketAddr,
    /// The seed of all random choices; the same seed and the same traffic give the same faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Serve the HTTP control interface here; a loopback address, port 0 takes any free one.
    #[arg(long, value_name = "ADDR", value_parser = Read(listen_address))]
    control: Option<SocketAddr>,
    /// Append the journal to this file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// How long the server's name may take to be looked up, and the server to accept a connection.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    timeout: Duration,
    /// The flags below act only on bytes to the server, or to the client; without this one on both.
    #[arg(long, value_name = "WAY")]
    to: Option<Way>,
    /// Delay everything by this time.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    latency: Option<Duration>,
    /// A random extra delay of at most this time.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    jitter: Option<Duration>,
    /// Pass on at most this many bytes a second in each direction.
    #[arg(long, value_name = "BYTES")]
    bandwidth: Option<u64>,
    /// Split writes into pieces of at most this many bytes.
    #[arg(long, value_name = "BYTES")]
    slice: Option<usize>,
    /// End each connection after this many bytes.
    #[arg(long, value_name = "BYTES")]
    cut_after_bytes: Option<u64>,
    /// End each connection after this time.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    cut_after: Option<Duration>,
    /// How --cut-after-bytes and --cut-after end a connection.
    #[arg(long, value_name = "HOW", default_value = "reset")]
    cut: Ends,
    /// Any other fault as JSON, such as {"fault":"drop","when":{"at_text":"tool_completed"}}; may be given again.
    #[arg(long = "toxic", value_name = "JSON", value_parser = parse_json::<Toxic>)]
    toxics: Vec<Toxic>,
    /// A fault of the server that the proxy makes in its place, as JSON, such as {"lose":{"part":"delta"}}; may be given again.
    #[arg(long = "mutation", value_name = "JSON", value_parser = parse_json::<Mutation>)]
    mutations: Vec<Mutation>,
    /// What the server speaks, for mutations: a profile that ships, or a file.
    #[arg(long, value_name = "NAME|FILE", default_value = "wireproof")]
    profile: String,
    /// A file with the secret that signs tokens (HS256), for mutations that exchange tokens.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// A PEM file with more certificates to trust, for mutations before a server that speaks TLS.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Way {
    Server,
    Client,
}

#[derive(Clone, Copy, ValueEnum)]
enum Ends {
    Reset,
    Fin,
}

impl Proxy {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        if let Some(control) = self.control.filter(|control| !control.ip().to_canonical().is_loopback()) {
            let why = format!(
                "--control {control}: whoever reaches it can cut connections; give 127.0.0.1 or [::1]"
            );
            return Err(Stop::Usage(why).into());
        }
        for toxic in self.asked() {
            toxic.check().map_err(|invalid| Stop::Usage(format!("no such fault can be: {invalid}")))?;
        }
        runtime::run(self.serve())
    }

    async fn serve(self) -> anyhow::Result<()> {
        // Before the ready line: who reads it may send a signal at once.
        let mut signals = Signals::listen().context("listening for signals")?;
        let upstream = self.upstream.resolve(self.timeout).await?;
        let proxy = FaultProxy::start_at(self.listen, upstream, self.seed, self.timeout).await;
        let proxy = Arc::new(proxy.with_context(|| format!("listening on {}", self.listen))?);
        proxy.set(self.asked());
        let setup = self.setup()?;
        proxy.mutate(setup.clone());
        let journal = self.journal.as_deref().map(notes::open).transpose()?;
        let control_socket = match self.control {
            Some(address) => {
                let listener = TcpListener::bind(address).await;
                Some(listener.with_context(|| format!("listening on {address} for --control"))?)
            }
            None => None,
        };
        self.announce(&proxy, control_socket.as_ref()).context("writing the ready line to stdout")?;
        let orders = async {
            match control_socket {
                Some(listener) => control::serve(listener, proxy.clone(), setup).await,
                None => std::future::pending().await,
            }
        };
        let mut writer = notes::Notes::new(journal);
        tokio::select! {
            () = signals.next() => {}
            written = writer.follow(&proxy) => written?,
            () = orders => {}
        }
        // What was done since the last look.
        writer.write(&proxy)
    }

    /// The faults that the flags ask for.
    fn asked(&self) -> Vec<Toxic> {
        let ms = |time: Duration| time.as_millis() as u64;
        let mut faults = Vec::new();
        if self.latency.is_some() || self.jitter.is_some() {
            let (latency, jitter) = (self.latency.unwrap_or_default(), self.jitter.unwrap_or_default());
            faults.push((Fault::Latency { ms: ms(latency), jitter_ms: ms(jitter) }, Trigger::Now));
        }
        if let Some(bytes_per_second) = self.bandwidth {
            faults.push((Fault::Bandwidth { bytes_per_second }, Trigger::Now));
        }
        if let Some(bytes) = self.slice {
            faults.push((Fault::Slice { bytes, pause_ms: 0 }, Trigger::Now));
        }
        let cut = match self.cut {
            Ends::Reset => Cut::Reset,
            Ends::Fin => Cut::Fin,
        };
        faults.extend(self.cut_after_bytes.map(|bytes| (Fault::Cut(cut), Trigger::AfterBytes(bytes))));
        faults.extend(self.cut_after.map(|time| (Fault::Cut(cut), Trigger::AfterMs(ms(time)))));
        let direction = self.to.map(|to| match to {
            Way::Server => Direction::ToServer,
            Way::Client => Direction::ToClient,
        });
        let by_flags =
            faults.into_iter().map(|(fault, when)| Toxic { direction, ..Toxic::new(fault).when(when) });
        by_flags.chain(self.toxics.iter().cloned()).collect()
    }

    /// The mutations that the flags ask for, and what they have to know.
    fn setup(&self) -> anyhow::Result<Setup> {
        let profile = Profile::find(&self.profile).map_err(|error| Stop::Usage(error.to_string()))?;
        let secret = match &self.secret_file {
            Some(path) => {
                let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
                Some(text.trim_end_matches(['\n', '\r']).as_bytes().to_vec())
            }
            None => None,
        };
        // Where there are none, and none can come, nobody needs certificates.
        let mutates = !self.mutations.is_empty() || self.control.is_some();
        Ok(Setup {
            roles: profile.roles(),
            key: secret.and_then(|secret| profile.token_key(&secret)),
            mutations: self.mutations.clone(),
            tls: if mutates { self.upstream.tls(self.ca.as_deref())? } else { None },
        })
    }

    fn announce(&self, proxy: &FaultProxy, control: Option<&TcpListener>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "ready {}", self.upstream.at(proxy.address(), self.mutations.is_empty()))?;
        if let Some(control) = control {
            writeln!(out, "control http://{}", control.local_addr()?)?;
        }
        out.flush()
    }
}

fn parse_json<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}
