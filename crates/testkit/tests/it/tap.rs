//! A wire-tap: forwards a client's bytes to the server and back, and keeps every byte that the server sent.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
};

/// One tapped connection.
pub struct Tap {
    pub address: SocketAddr,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    /// A tap in front of a server, for one connection.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tap = Self { address: listener.local_addr().unwrap(), bytes: Arc::default() };
        let bytes = tap.bytes.clone();
        tokio::spawn(async move {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(server).await.unwrap();
            client.set_nodelay(true).unwrap();
            server.set_nodelay(true).unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            // The two ways end with their connection; what was heard is kept.
            tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
            let mut piece = vec![0; 16 << 10];
            while let Ok(length @ 1..) = from_server.read(&mut piece).await {
                bytes.lock().unwrap().extend_from_slice(&piece[..length]);
                if to_client.write_all(&piece[..length]).await.is_err() {
                    return;
                }
            }
        });
        tap
    }

    /// Every byte that the server sent so far.
    pub fn heard(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }
}
