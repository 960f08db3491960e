//! How a server comes to life: with a port of its own, on the test's runtime or on a thread of its own.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::TcpSocket;
use wireproof_agents::{Agent, Builtin};
use wireproof_server::{Config, Server, StartError};

use crate::apart::Apart;

pub(super) fn reserve() -> std::io::Result<(TcpSocket, SocketAddr)> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

pub(super) async fn launch(config: &Config, agents: &[Arc<dyn Agent>]) -> Server {
    try_launch(config, agents).await.unwrap_or_else(|error| panic!("the server did not start: {error}"))
}

async fn try_launch(config: &Config, agents: &[Arc<dyn Agent>]) -> Result<Server, StartError> {
    let tool_time = Duration::from_secs_f64(config.limits.tool_seconds);
    let builtin: Arc<dyn Agent> = Arc::new(Builtin::new().with_tool_deadline(tool_time));
    let agents = std::iter::once(builtin).chain(agents.iter().cloned()).collect();
    Server::start_with(config.clone(), agents).await
}

pub(super) async fn launch_apart(config: &Config, agents: &[Arc<dyn Agent>]) -> (Apart, Server) {
    let launched = try_launch_apart(config, agents).await;
    launched.unwrap_or_else(|error| panic!("the server did not start: {error}"))
}

pub(super) async fn try_launch_apart(
    config: &Config,
    agents: &[Arc<dyn Agent>],
) -> Result<(Apart, Server), StartError> {
    let apart = Apart::begin().unwrap_or_else(|e| panic!("no thread for the server: {e}"));
    let (config, agents) = (config.clone(), agents.to_vec());
    let server = apart.run(async move { try_launch(&config, &agents).await }).await?;
    Ok((apart, server))
}
