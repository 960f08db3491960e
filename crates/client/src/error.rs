//! What can go wrong, in words that say what was tried and why it failed.

use std::{fmt, io, time::Duration};

use wireproof_protocol::{ErrorBody, IncomingError};

use crate::{reconnect::GiveUp, resume::Break};

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address or a header cannot be put into a request.
    #[error("{url:?} cannot be asked for a WebSocket: {why}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The token cannot be put into a request.
    #[error("the token cannot be sent: {why}")]
    Token {
        /// What is wrong with it, without the token.
        why: String,
    },
    /// Nothing listens there, or no packet gets there.
    #[error("cannot reach {address}: {cause}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the operating system says.
        #[source]
        cause: io::Error,
    },
    /// The server answered the handshake with something else than 101.
    #[error("{address} refused the handshake with HTTP {status}{}", sentence(.error.as_deref()))]
    Refused {
        /// Host and port.
        address: String,
        /// The HTTP status.
        status: u16,
        /// The refusal, if the answer had one in the protocol's shape.
        error: Option<Box<ErrorBody>>,
        /// When to try again, if the server says so.
        retry_after: Option<Duration>,
    },
    /// What answers is no WebSocket server, or one of another protocol.
    #[error("{address} does not speak this protocol: {why}")]
    NotUnderstood {
        /// Host and port.
        address: String,
        /// What it did instead.
        why: String,
    },
    /// No answer came in time.
    #[error("{address} did not finish the handshake within {within:?}")]
    Timeout {
        /// Host and port.
        address: String,
        /// How long was waited.
        within: Duration,
    },
    /// The connection ended before the welcome.
    #[error("{address} opened the connection and ended it before the welcome: {ended}")]
    Ended {
        /// Host and port.
        address: String,
        /// How it ended.
        #[source]
        ended: Box<Ended>,
    },
}

impl OpenError {
    /// True when the server was reached and said no to this client: its credentials, origin or request, or the name by
    /// which it was asked.
    pub fn is_refusal(&self) -> bool {
        match self {
            OpenError::Refused { status, .. } => matches!(status, 401 | 403 | 421),
            OpenError::Ended { ended, .. } => ended.code == Some(1008),
            _ => false,
        }
    }

    /// True when the server does not answer to the name of the host in the address.
    pub fn is_of_host(&self) -> bool {
        matches!(self, OpenError::Refused { status: 421, .. })
    }
}

fn sentence(error: Option<&ErrorBody>) -> String {
    error.map(|error| format!(": {}", error.message)).unwrap_or_default()
}

/// How a connection ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ended {
    /// The close code, if a close frame came.
    pub code: Option<u16>,
    /// The reason beside the code; often empty.
    pub reason: String,
    /// The error frame that came right before the close.
    pub error: Option<ErrorBody>,
    /// What broke, when no close frame came.
    pub cause: Option<String>,
}

impl Ended {
    /// An end without a close frame.
    pub(crate) fn broken(cause: impl ToString) -> Self {
        Self { cause: Some(cause.to_string()), ..Self::default() }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, &self.cause) {
            (Some(code), _) => write!(f, "closed with {code}")?,
            (None, Some(cause)) => write!(f, "the connection broke: {cause}")?,
            (None, None) => write!(f, "the connection ended without a close frame")?,
        }
        if !self.reason.is_empty() {
            write!(f, " ({})", self.reason)?;
        }
        match &self.error {
            Some(error) => write!(f, ": {} [{}]", error.message, error.error_code.as_str()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Ended {}

/// Why nothing was received.
#[derive(Debug, thiserror::Error)]
pub enum RecvError {
    /// Nothing came in time; the connection still stands.
    #[error("nothing arrived within {0:?}")]
    Timeout(Duration),
    /// The connection ended.
    #[error(transparent)]
    Ended(Box<Ended>),
    /// A frame came that is not of the protocol; the connection still stands.
    #[error("{cause}; it begins {:?}", wireproof_protocol::cut_chars(.text, 120))]
    Unreadable {
        /// The frame.
        text: String,
        /// What is wrong with it.
        #[source]
        cause: IncomingError,
    },
}

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The connection ended.
    #[error(transparent)]
    Ended(Box<Ended>),
    /// The server did not take the frame in time; part of it may be on its way, so the connection is of no more use.
    #[error("the server did not take the frame within {0:?}")]
    Timeout(Duration),
}

/// Why a reconnecting client has nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing happened in time; the client goes on.
    #[error("nothing happened within {0:?}")]
    Timeout(Duration),
    /// The connection is down and the frame has no id under which it could safely be sent again; the client goes on.
    #[error("not connected: {0}")]
    NotConnected(Box<Ended>),
    /// The frame is larger than the server's welcome allows, and was not sent; the client goes on.
    #[error("the message has {bytes} bytes on the wire, and the server takes at most {limit}")]
    TooLarge {
        /// Its size on the wire, in bytes.
        bytes: usize,
        /// The server's limit, in bytes.
        limit: usize,
    },
    /// As many requests wait for their answer as the client keeps; the client goes on.
    #[error("{0} requests wait for their answer: no further one is taken")]
    TooManyRequests(usize),
    /// A frame came that is not of the protocol; the client goes on.
    #[error(transparent)]
    Unreadable(Box<RecvError>),
    /// The client is over: the connection ended and no other one follows.
    #[error("{ended}; {why}")]
    Over {
        /// How the last connection or attempt ended.
        #[source]
        ended: Box<Ended>,
        /// Why there is no other.
        why: GiveUp,
    },
    /// The client is over: the log has a hole that a resume did not fill.
    #[error("the server's log is not whole: {0}")]
    Broken(#[from] Break),
}
