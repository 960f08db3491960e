//! Peers on real sockets that are no server to be judged: closed, mute, refusing, or speaking something else.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// An open port behind which something happens with each connection; closed when it goes.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Peer {
    /// Accepts, reads nothing, says nothing and closes nothing.
    pub(crate) async fn mute() -> Result<Self> {
        Self::open(|connection, kept| {
            kept.push(connection);
        })
        .await
    }

    /// Answers every request with this status line and nothing more.
    pub(crate) async fn answering(status: &'static str) -> Result<Self> {
        Self::open(move |mut connection, _| {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                // Whoever hung up before needs no answer.
                if connection.read(&mut request).await.is_ok() {
                    let _ = connection.write_all(answer.as_bytes()).await;
                }
            });
        })
        .await
    }

    async fn open(mut on: impl FnMut(TcpStream, &mut Vec<TcpStream>) + Send + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                on(connection, &mut kept);
            }
        });
        Ok(Self { address, accepting })
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }
}

/// An address at which nobody listens.
pub(crate) async fn closed() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?)
}
