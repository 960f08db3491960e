//! Why a server does not start, and why it does not take new settings.

use std::{net::SocketAddr, path::PathBuf};

use crate::{
    auth::KeyError,
    config::{ConfigError, Exposed},
    store::{OpenError, StoreError},
    tls::TlsError,
};

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting makes no sense.
    #[error(transparent)]
    Settings(#[from] ConfigError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The store cannot be read or written.
    #[error("the store cannot be used: {0}")]
    Recovery(#[from] StoreError),
    /// There is no key for tokens.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// TLS cannot be spoken.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Several settings cannot be used.
    #[error("{} settings cannot be used:{}", .0.len(), .0.iter().map(|fault| format!("\n  - {fault}")).collect::<String>())]
    Several(Vec<StartError>),
    /// The file that says where the server is cannot be written.
    #[error("cannot write the server's address to {data_dir}/server.json: {source}")]
    ServerFile {
        /// The data folder.
        data_dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The operator's socket cannot be made.
    #[error("cannot make the operator's socket {path}: {source}")]
    Operator {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Without authentication others would get in.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}. Give another --listen address, or stop what has this one."
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

impl StartError {
    /// True when a setting or a flag has to be changed before a start can succeed.
    pub fn is_of_settings(&self) -> bool {
        match self {
            Self::Settings(_) | Self::Tls(_) | Self::Exposed(_) | Self::Several(_) => true,
            Self::Key(key) => key.is_of_settings(),
            Self::Listen { source, .. } => source.kind() == std::io::ErrorKind::AddrNotAvailable,
            Self::Store(_) | Self::Recovery(_) | Self::ServerFile { .. } | Self::Operator { .. } => false,
        }
    }
}

/// Why settings were not taken in by a running server.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The keys cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}
