//! From an address and credentials to an open WebSocket.

use std::{net::IpAddr, time::Duration};

use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as WsError,
        client::IntoClientRequest,
        handshake::client::{Request, Response},
        http::{HeaderName, HeaderValue},
        protocol::WebSocketConfig,
    },
};
use wireproof_protocol::{Address, ClientFrame, ErrorBody, Position, SUBPROTOCOL};

use crate::{
    connection::Connection,
    error::{Ended, OpenError, SendError},
    stream::Stream,
    token::token_fault,
    upgrade::{Failure, upgrade},
};

/// How a client says who it is.
#[derive(Clone)]
pub enum Credentials {
    /// A JWT in the `Authorization` header.
    Header(String),
    /// A JWT among the offered subprotocols, as browsers must.
    Subprotocol(String),
    /// A JWT in the first frame.
    FirstFrame(String),
    /// A one-time ticket in the query.
    Ticket(String),
    /// Nothing.
    None,
}

/// What a connection is opened with.
#[derive(Clone)]
pub struct Connect {
    url: String,
    credentials: Credentials,
    headers: Vec<(String, String)>,
    position: Option<Position>,
    from: Option<IpAddr>,
    pub(crate) within: Duration,
    max_message: usize,
    any_subprotocol: bool,
    #[cfg(feature = "tls")]
    trust: crate::trust::Trust,
}

impl Connect {
    /// A connection to a `ws://` or, with the feature `tls`, a `wss://` address without credentials, with 10 s for each step.
    pub fn to(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            credentials: Credentials::None,
            headers: Vec::new(),
            position: None,
            from: None,
            within: Duration::from_secs(10),
            max_message: 16 << 20,
            any_subprotocol: false,
            #[cfg(feature = "tls")]
            trust: crate::trust::Trust::default(),
        }
    }

    /// With a JWT in the `Authorization` header.
    pub fn token(self, token: impl Into<String>) -> Self {
        self.credentials(Credentials::Header(token.into()))
    }

    /// With these credentials.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Asking for all that came after a position.
    pub fn resume(mut self, position: impl Into<Option<Position>>) -> Self {
        self.position = position.into();
        self
    }

    /// With one more header in the handshake, such as `Origin`.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// From a local address: one address has ports for some 28,000 connections to one server.
    pub fn from_address(mut self, address: IpAddr) -> Self {
        self.from = Some(address);
        self
    }

    /// With another deadline for the whole handshake, and for each frame that is sent later.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// With another limit, in bytes, for what the server may send in one frame (16 MiB).
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// Taking whatever subprotocol the server selects, also one that was not offered: for who judges that by itself.
    pub fn any_subprotocol(mut self) -> Self {
        self.any_subprotocol = true;
        self
    }

    /// With other certificates trusted than those of the system alone.
    #[cfg(feature = "tls")]
    pub fn trust(mut self, trust: crate::trust::Trust) -> Self {
        self.trust = trust;
        self
    }

    /// The position that is asked for.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// The credentials that are shown.
    pub fn shown(&self) -> &Credentials {
        &self.credentials
    }

    /// Opens the connection; the server's welcome is the first frame to receive.
    pub async fn open(&self) -> Result<Connection, OpenError> {
        let to = self.parse()?;
        let request = self.request(&to)?;
        let address = to.host_and_port();
        let opening = timeout(self.within, self.upgrade(request, &to));
        let socket = opening
            .await
            .map_err(|_| OpenError::Timeout { address: address.clone(), within: self.within })??;
        let mut connection = Connection::new(socket, self.within);
        if let Credentials::FirstFrame(token) = &self.credentials {
            let frame = ClientFrame::Authenticate { token: token.clone() };
            connection.send(&frame, None).await.map_err(|error| match error {
                SendError::Ended(ended) => OpenError::Ended { address: address.clone(), ended },
                SendError::Timeout(within) => OpenError::Timeout { address: address.clone(), within },
            })?;
        }
        Ok(connection)
    }

    /// Host and port of the server, or the URL when it has none.
    pub(crate) fn address(&self) -> String {
        Address::socket(&self.url).map_or_else(|error| error.shown().to_owned(), |to| to.host_and_port())
    }

    fn parse(&self) -> Result<Address, OpenError> {
        let to = Address::socket(&self.url)
            .map_err(|error| OpenError::Url { url: error.shown().to_owned(), why: error.reason() })?;
        if cfg!(not(feature = "tls")) && to.scheme().is_encrypted() {
            let why = "this program was built without TLS".to_owned();
            return Err(OpenError::Url { url: to.host_and_port(), why });
        }
        Ok(to)
    }

    fn request(&self, to: &Address) -> Result<Request, OpenError> {
        let unusable = |why: String| OpenError::Url { url: to.host_and_port(), why };
        let mut url = to.url();
        let mut ask = |name: &str, value: &str| {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.extend([name, "=", value]);
        };
        if let Some(Position { epoch, seq }) = self.position {
            ask("epoch", &epoch.to_string());
            ask("after", &seq.to_string());
        }
        if let Credentials::Ticket(ticket) = &self.credentials {
            ask("ticket", ticket);
        }
        let mut request = url.into_client_request().map_err(|error| unusable(error.to_string()))?;
        for (name, value) in self.credential_headers()?.iter().chain(&self.headers) {
            let name =
                name.parse::<HeaderName>().map_err(|_| unusable(format!("{name:?} is no header's name")))?;
            let value = HeaderValue::from_str(value)
                .map_err(|_| unusable(format!("the header {name} cannot hold such a value")))?;
            request.headers_mut().append(name, value);
        }
        Ok(request)
    }

    fn credential_headers(&self) -> Result<Vec<(String, String)>, OpenError> {
        let (token, header) = match &self.credentials {
            Credentials::Header(token) => (token, ("authorization".into(), format!("Bearer {token}"))),
            Credentials::Subprotocol(token) => {
                (token, ("sec-websocket-protocol".into(), format!("{SUBPROTOCOL}, jwt.{token}")))
            }
            Credentials::FirstFrame(_) | Credentials::Ticket(_) | Credentials::None => return Ok(Vec::new()),
        };
        if HeaderValue::from_str(&header.1).is_err() {
            let why = token_fault(token).unwrap_or_else(|| "no header can hold it".to_owned());
            return Err(OpenError::Token { why });
        }
        Ok(vec![header])
    }

    async fn upgrade(&self, request: Request, to: &Address) -> Result<WebSocketStream<Stream>, OpenError> {
        let address = &to.host_and_port();
        let unreachable = |cause| OpenError::Unreachable { address: address.to_owned(), cause };
        let stream = self.dial(to).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let stream = self.encrypt(to, stream).await.map_err(|cause| OpenError::NotUnderstood {
            address: address.to_owned(),
            why: format!("no TLS connection: {cause}"),
        })?;
        // The library's default buffers cost 128 KiB a connection and save nothing with frames of this size.
        let config = WebSocketConfig::default()
            .read_buffer_size(4 << 10)
            .write_buffer_size(4 << 10)
            .max_message_size(Some(self.max_message))
            .max_frame_size(Some(self.max_message));
        upgrade(request, stream, config, self.any_subprotocol).await.map_err(|failure| match failure {
            Failure::Socket(error) => refused(address, error),
            Failure::Header(why) => OpenError::NotUnderstood { address: address.to_owned(), why },
        })
    }

    #[cfg(feature = "tls")]
    async fn encrypt(&self, to: &Address, stream: TcpStream) -> std::io::Result<Stream> {
        match to.scheme().is_encrypted() {
            true => self.trust.connect(to.host(), stream).await,
            false => Ok(Stream::Plain(stream)),
        }
    }

    #[cfg(not(feature = "tls"))]
    async fn encrypt(&self, _: &Address, stream: TcpStream) -> std::io::Result<Stream> {
        Ok(Stream::Plain(stream))
    }

    async fn dial(&self, to: &Address) -> std::io::Result<TcpStream> {
        let address = (to.host(), to.port());
        let Some(from) = self.from else { return TcpStream::connect(address).await };
        let mut found = lookup_host(address).await?.filter(|to| to.is_ipv4() == from.is_ipv4());
        let to = found.next().ok_or(std::io::ErrorKind::AddrNotAvailable)?;
        let socket = if from.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind((from, 0).into())?;
        socket.connect(to).await
    }
}

fn refused(address: &str, error: WsError) -> OpenError {
    let address = address.to_owned();
    match error {
        WsError::Http(response) => OpenError::Refused {
            address,
            status: response.status().as_u16(),
            retry_after: retry_after(&response),
            error: response.body().as_ref().and_then(|body| parse_refusal(body)),
        },
        WsError::Io(cause) => OpenError::Ended { address, ended: Box::new(Ended::broken(cause)) },
        other => OpenError::NotUnderstood { address, why: other.to_string() },
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The protocol's error, if the answer's body is one.
fn parse_refusal(body: &[u8]) -> Option<Box<ErrorBody>> {
    serde_json::from_slice(body).ok()
}
