//! How a server comes to life: with a port of its own, on the test's runtime, on another, or on a thread of its own.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpSocket, runtime::Handle};
use wireproof_agents::{Agent, Builtin};
use wireproof_server::{Config, Server, StartError};

use crate::{seams::Seams, server_thread::ServerThread};

/// Why a server of the kit does not run.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// There is no folder, port or thread for it.
    #[error("there is no {what} for the server: {cause}")]
    Machine {
        /// What is missing.
        what: &'static str,
        /// Why.
        cause: io::Error,
    },
    /// It does not start.
    #[error("the server did not start: {0}")]
    Start(#[from] StartError),
    /// It is to be killed, and has no thread of its own.
    #[error("a server that is to be killed is started with `apart`")]
    NotApart,
}

impl LaunchError {
    pub(super) fn machine(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Machine { what, cause }
    }
}

/// Where a server runs.
#[derive(Debug, Clone, Default)]
pub(super) enum Place {
    /// On the runtime that starts it.
    #[default]
    Here,
    /// On this runtime.
    On(Handle),
    /// On a thread of its own.
    ServerThread,
}

/// A server that runs.
pub(super) struct Running {
    pub(super) server: Server,
    /// Its thread, when it has one of its own.
    pub(super) server_thread: Option<ServerThread>,
}

pub(super) fn reserve() -> io::Result<(TcpSocket, SocketAddr)> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

impl Place {
    /// Starts a server; it accepts connections when this returns.
    pub(super) async fn launch(
        &self,
        config: &Config,
        agents: &[Arc<dyn Agent>],
        seams: &Seams,
    ) -> Result<Running, LaunchError> {
        // On the heap: it is most of what a test holds while its server starts.
        let starting = Box::pin(start(config.clone(), agents.to_vec(), seams.clone()));
        let (server, server_thread) = match self {
            Place::Here => (starting.await?, None),
            Place::On(runtime) => match runtime.spawn(starting).await {
                Ok(server) => (server?, None),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            },
            Place::ServerThread => {
                let server_thread = ServerThread::begin().map_err(LaunchError::machine("thread"))?;
                (server_thread.run(starting).await?, Some(server_thread))
            }
        };
        Ok(Running { server, server_thread })
    }
}

async fn start(config: Config, agents: Vec<Arc<dyn Agent>>, seams: Seams) -> Result<Server, StartError> {
    let tool_time = Duration::from_secs_f64(config.limits.tool_seconds);
    let builtin: Arc<dyn Agent> = Arc::new(Builtin::new().with_tool_deadline(tool_time));
    let layered = |agent| seams.agent_layers.iter().fold(agent, |agent, layer| layer(agent));
    let agents = std::iter::once(builtin).chain(agents).map(layered).collect();
    let mut server = Server::builder(config).agents(agents);
    if let Some(store) = seams.store {
        server = server.store(store);
    }
    if let Some(broker) = seams.broker {
        server = server.broker(broker());
    }
    seams.layers.into_iter().fold(server, wireproof_server::server::Builder::layer_store).start().await
}
