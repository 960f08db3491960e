//! The in-memory transport between an MCP client and server of one process: typed messages through bounded channels.
//! A byte pipe does the same work and writes and parses every message as JSON besides, at twice the cost of a run.

use std::io;

use rmcp::{
    RoleClient, RoleServer,
    service::{RxJsonRpcMessage, ServiceRole, TxJsonRpcMessage},
    transport::Transport,
};
use tokio::sync::mpsc;

/// Messages one end may be ahead of the other before it waits.
const CAPACITY: usize = 64;

/// One end of the pipe: what it sends, and what it receives.
pub(super) struct Pipe<Out, In> {
    out: mpsc::Sender<Out>,
    inbound: mpsc::Receiver<In>,
}

/// The end for an MCP client.
pub(super) type ClientEnd = Pipe<TxJsonRpcMessage<RoleClient>, RxJsonRpcMessage<RoleClient>>;

/// The end for an MCP server.
pub(super) type ServerEnd = Pipe<TxJsonRpcMessage<RoleServer>, RxJsonRpcMessage<RoleServer>>;

/// Both ends of a new pipe.
pub(super) fn pipe() -> (ClientEnd, ServerEnd) {
    let (to_server, from_client) = mpsc::channel(CAPACITY);
    let (to_client, from_server) = mpsc::channel(CAPACITY);
    (Pipe { out: to_server, inbound: from_server }, Pipe { out: to_client, inbound: from_client })
}

impl<R: ServiceRole> Transport<R> for Pipe<TxJsonRpcMessage<R>, RxJsonRpcMessage<R>> {
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<R>,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        let out = self.out.clone();
        async move { out.send(message).await.map_err(|_| io::ErrorKind::BrokenPipe.into()) }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<R>> {
        self.inbound.recv().await
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        self.inbound.close();
        Ok(())
    }
}
