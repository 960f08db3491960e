//! What a peer that is no server does with a connection: over TCP, under TLS, or at a Unix socket.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Result;
use rcgen::{CertificateParams, CertifiedKey, KeyPair};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Manner {
    /// Takes the connection and closes it.
    Closes,
    /// Takes the connection and resets it.
    Resets,
    /// Takes all and says nothing.
    Silent,
    /// Answers with bytes of no protocol.
    Garbage,
    /// Answers every request with a page.
    Page,
    /// Answers with a page and 500.
    Broken,
    /// Answers with JSON that says nothing.
    Object,
    /// Answers, and does not come to an end.
    Endless,
    /// Begins an answer and closes.
    Half,
    /// Answers with texts where ours has numbers and lists, and control characters in them.
    Texts,
    /// Answers with 200 and nothing.
    Empty,
    /// Answers with 204.
    Nods,
    /// Becomes a WebSocket and closes without a word.
    UpgradesAndCloses,
    /// Becomes a WebSocket and says nothing.
    UpgradesAndIsSilent,
    /// Becomes a WebSocket and sends what is no frame of ours.
    UpgradesAndRambles,
}

use Manner::*;

/// Those that matter to a WebSocket's client.
pub(super) const SOCKET: &[Manner] = &[
    Closes,
    Resets,
    Silent,
    Garbage,
    Page,
    Broken,
    Half,
    UpgradesAndCloses,
    UpgradesAndIsSilent,
    UpgradesAndRambles,
];
/// Those that matter to a client of HTTP.
pub(super) const HTTP: &[Manner] =
    &[Closes, Resets, Silent, Garbage, Page, Broken, Object, Endless, Half, Texts, Empty, Nods];

/// An answer of texts.
const TEXTS: &str = concat!(
    "{\"total\":\"\u{9b}31m\",\"disconnected\":\"\u{202e}7\",\"connections\":[],\"draining\":\"yes\",",
    "\"restarting\":\"yes\",\"user_id\":7,\"permissions\":\"chat\",\"users\":[]}"
);

/// A peer; it ends when dropped.
pub(super) struct Peer {
    address: Option<SocketAddr>,
    encrypted: bool,
    accepting: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A certificate for 127.0.0.1.
pub(super) fn certify() -> Result<CertifiedKey<KeyPair>> {
    let signing_key = KeyPair::generate()?;
    let cert = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.self_signed(&signing_key)?;
    Ok(CertifiedKey { cert, signing_key })
}

impl Peer {
    /// One at a free port, under TLS if there is a certificate.
    pub(super) async fn at_an_address(manner: Manner, pair: Option<&CertifiedKey<KeyPair>>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = Some(listener.local_addr()?);
        let tls = pair.map(acceptor).transpose()?;
        let encrypted = tls.is_some();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(meet(stream, manner, tls.clone()));
            }
        });
        Ok(Self { address, encrypted, accepting })
    }

    /// One that welcomes whoever comes, and then talks without end of other things.
    pub(super) async fn babbling(welcome: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = Some(listener.local_addr()?);
        let accepting = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let welcome = welcome.clone();
                tokio::spawn(async move {
                    let head = head(&mut stream).await.unwrap_or_default();
                    let mut next = [switching(&head).into_bytes(), frame(&welcome)].concat();
                    // A length in two bytes is for 126 and more.
                    let other =
                        frame(&format!("{{\"type\":\"weather\",\"text\":\"{}\"}}", "rain ".repeat(30)));
                    while stream.write_all(&next).await.is_ok() {
                        next.clone_from(&other);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                });
            }
        });
        Ok(Self { address, encrypted: false, accepting })
    }

    /// One at a Unix socket.
    pub(super) fn local(path: &Path, manner: Manner) -> Result<Self> {
        let listener = UnixListener::bind(path)?;
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A Unix socket that is closed with bytes unread is reset.
                tokio::spawn(async move {
                    if manner != Resets {
                        act(stream, manner).await;
                    }
                });
            }
        });
        Ok(Self { address: None, encrypted: false, accepting })
    }

    pub(super) fn address(&self) -> String {
        self.address.map(|address| address.to_string()).unwrap_or_default()
    }

    /// Its address under a scheme, or the scheme's encrypted one.
    pub(super) fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}{}://{}{path}", if self.encrypted { "s" } else { "" }, self.address())
    }
}

fn acceptor(pair: &CertifiedKey<KeyPair>) -> Result<TlsAcceptor> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn meet(stream: TcpStream, manner: Manner, tls: Option<TlsAcceptor>) {
    if manner == Resets {
        let _ = stream.set_zero_linger();
    }
    match tls {
        None if manner == Resets => {}
        None => act(stream, manner).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await
                && manner != Resets
            {
                act(stream, manner).await;
            }
        }
    }
}

/// Does it to a connection; whoever has gone by then misses it.
async fn act<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, manner: Manner) {
    let page = "<html>It works!</html>";
    let length = page.len();
    let answer = match manner {
        Closes | Resets | Silent => String::new(),
        Garbage => "\u{0}\u{1}SSH-2.0-Babble\r\n\r\n".to_owned(),
        Page => format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{page}"),
        Broken => format!("HTTP/1.1 500 Oh\r\ncontent-length: {length}\r\n\r\n{page}"),
        Texts => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{TEXTS}", TEXTS.len()),
        Empty => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
        Nods => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        Object => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
        Endless | Half => "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n{\"total\": 1".to_owned(),
        UpgradesAndCloses | UpgradesAndIsSilent | UpgradesAndRambles => String::new(),
    };
    let upgrades = matches!(manner, UpgradesAndCloses | UpgradesAndIsSilent | UpgradesAndRambles);
    let said = async {
        if !matches!(manner, Closes | Silent) {
            let head = head(&mut stream).await?;
            if upgrades {
                stream.write_all(switching(&head).as_bytes()).await?;
            }
            stream.write_all(answer.as_bytes()).await?;
        }
        if manner == UpgradesAndRambles {
            stream.write_all(b"\x81\x05hello").await?;
        }
        if manner == Endless {
            loop {
                stream.write_all(&[b'x'; 4096]).await?;
            }
        }
        if !matches!(manner, Silent | UpgradesAndIsSilent) {
            stream.shutdown().await?;
        }
        // Closed with bytes unread it would be reset.
        while stream.read(&mut [0; 4096]).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = said.await;
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 1 << 16 {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// A text of 126 bytes to 64 KiB in a WebSocket frame of a server.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 126];
    frame.extend((text.len() as u16).to_be_bytes());
    frame.extend(text.as_bytes());
    frame
}

fn switching(head: &str) -> String {
    let key = head.lines().filter_map(|line| line.split_once(':'));
    let key = key.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let accept = derive_accept_key(key.map_or("", |(_, key)| key.trim()).as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    )
}
