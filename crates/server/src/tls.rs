//! TLS of the listener: the certificate that is shown now, another one without a restart, and the stream under a
//! connection, encrypted or not.

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::{clock::within, config::TlsConfig};

mod timed;

pub use timed::Timed;

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One of the two is missing.
    #[error("tls.cert_file and tls.key_file go together, and one of them is not set")]
    Half,
    /// A file cannot be read, or holds no PEM of its kind.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The two cannot be used together.
    #[error("the certificate {cert} and the key {key} cannot be used: {reason}")]
    Pair {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// The TLS of a listener.
pub struct Tls {
    files: Files,
    current: Mutex<Arc<ServerConfig>>,
    handshake: Duration,
    poll: Duration,
    /// When the files were last changed and how long they were, as far as that is known.
    seen: Mutex<[Option<(SystemTime, u64)>; 2]>,
}

#[derive(Clone)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl Tls {
    /// Reads what the settings name; none when they name nothing.
    pub fn from_config(config: &TlsConfig) -> Result<Option<Arc<Self>>, TlsError> {
        let files = match (&config.cert_file, &config.key_file) {
            (cert, key) if is_empty(cert) && is_empty(key) => return Ok(None),
            (cert, key) if is_empty(cert) || is_empty(key) => return Err(TlsError::Half),
            (cert, key) => Files { cert: cert.clone(), key: key.clone() },
        };
        let seen = Mutex::new(files.changed_at());
        let current = Mutex::new(Arc::new(files.read()?));
        let handshake = Duration::from_secs_f64(config.handshake_seconds);
        let poll = Duration::from_secs_f64(config.poll_seconds);
        Ok(Some(Arc::new(Self { files, current, handshake, poll, seen })))
    }

    /// Reads the files anew, for connections that come from now on. A pair that cannot be used leaves the old one.
    pub fn reload(&self) -> Result<(), TlsError> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = self.files.changed_at();
        let read = Arc::new(self.files.read()?);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    /// Looks every so often whether the files changed, and reads them anew when they did.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.poll) => {}
            }
            let tls = self.clone();
            let reloaded = tokio::task::spawn_blocking(move || tls.reload_if_changed()).await;
            match reloaded {
                Ok(Some(Ok(()))) => tracing::info!("the TLS certificate was read anew"),
                Ok(Some(Err(e))) => {
                    tracing::error!(error = %e, "the new TLS certificate cannot be used; the old one is kept");
                }
                Ok(None) | Err(_) => {}
            }
        }
    }

    fn reload_if_changed(&self) -> Option<Result<(), TlsError>> {
        let changed = *self.seen.lock().unwrap_or_else(PoisonError::into_inner) != self.files.changed_at();
        changed.then(|| self.reload())
    }

    /// Shakes hands with a client, within the time that is set.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Stream> {
        let config = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let accepting = TlsAcceptor::from(config).accept(stream);
        let accepted = within(self.handshake, accepting).await;
        Ok(Stream::Tls(Box::new(accepted.ok_or(io::ErrorKind::TimedOut)??)))
    }
}

fn is_empty(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

impl Files {
    fn read(&self) -> Result<ServerConfig, TlsError> {
        let pair = |e: rustls::Error| TlsError::Pair {
            cert: self.cert.clone(),
            key: self.key.clone(),
            reason: e.to_string(),
        };
        let (chain, key) = (certificates(&self.cert)?, private_key(&self.key)?);
        let provider = Arc::new(aws_lc_rs::default_provider());
        // What the certificate says and what the key can do must fit.
        CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider).map_err(pair)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(pair)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// With their lengths: what is read while it is written can bear the time of what it becomes.
    fn changed_at(&self) -> [Option<(SystemTime, u64)>; 2] {
        [&self.cert, &self.key].map(|path| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.modified().ok()?, found.len()))
        })
    }
}

/// The certificates of a PEM file, the server's own first.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refuse = |reason: String| TlsError::File { path: path.to_owned(), reason };
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|e| refuse(e.to_string()))?;
    if found.is_empty() { Err(refuse("it holds no certificate".to_owned())) } else { Ok(found) }
}

/// The private key of a PEM file.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path)
        .map_err(|e| TlsError::File { path: path.to_owned(), reason: format!("no private key: {e}") })
}

/// What is under a connection: TCP, with TLS on it or without. What TLS keeps is boxed, so that the bare one stays small.
pub enum Stream {
    /// TCP alone.
    Plain(TcpStream),
    /// TLS on TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

macro_rules! on_either {
    ($stream:expr, $name:ident => $then:expr) => {
        match $stream.get_mut() {
            Stream::Plain($name) => $then,
            Stream::Tls($name) => $then,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on_either!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on_either!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_either!(self, stream => Pin::new(stream).poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
