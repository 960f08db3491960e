//! The opening handshake of RFC 6455 (4.1) from the client's side, over a stream that is open.
//! A server may select no subprotocol; the handshake of `tungstenite` takes that for an error.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as WsError,
        error::ProtocolError,
        handshake::{
            client::{Request, Response, generate_request},
            derive_accept_key,
            machine::TryParse,
        },
        http::{HeaderMap, StatusCode},
        protocol::{Role, WebSocketConfig},
    },
};

/// The most bytes of an answer's head, and of the body of a refusal.
const LARGEST: usize = 64 << 10;

/// Why there is no WebSocket.
pub(crate) enum Failure {
    /// The connection broke, the answer is no HTTP, or its status is not 101.
    Socket(WsError),
    /// The status is 101 and a header is not what RFC 6455 asks for.
    Header(String),
}

impl<E: Into<WsError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Socket(error.into())
    }
}

/// Asks for a WebSocket and reads the answer. With `any_subprotocol` a selection that was not offered is taken as well.
pub(crate) async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    request: Request,
    mut stream: S,
    config: WebSocketConfig,
    any_subprotocol: bool,
) -> Result<WebSocketStream<S>, Failure> {
    let offered = words(request.headers(), "sec-websocket-protocol");
    let (bytes, key) = generate_request(request)?;
    stream.write_all(&bytes).await.map_err(WsError::Io)?;
    stream.flush().await.map_err(WsError::Io)?;
    let (mut response, mut behind) = answer(&mut stream).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        body(&mut stream, response.headers(), &mut behind).await;
        *response.body_mut() = Some(behind);
        return Err(WsError::Http(Box::new(response)).into());
    }
    verify(response.headers(), &derive_accept_key(key.as_bytes()))?;
    if !any_subprotocol {
        was_offered(response.headers(), &offered)?;
    }
    Ok(WebSocketStream::from_partially_read(stream, behind, Role::Client, Some(config)).await)
}

/// The head of the answer, and what was read behind it.
async fn answer<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(Response, Vec<u8>), Failure> {
    let mut read = Vec::with_capacity(1 << 10);
    loop {
        if let Some((length, response)) = Response::try_parse(&read)? {
            return Ok((response, read.split_off(length)));
        }
        if read.len() > LARGEST || stream.read_buf(&mut read).await.map_err(WsError::Io)? == 0 {
            return Err(WsError::Protocol(ProtocolError::HandshakeIncomplete).into());
        }
    }
}

/// Reads the rest of a body that announces its length; what does not come is done without.
async fn body<S: AsyncRead + Unpin>(stream: &mut S, headers: &HeaderMap, read: &mut Vec<u8>) {
    let announced = headers.get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    let length = announced.unwrap_or(0).min(LARGEST);
    while read.len() < length && matches!(stream.read_buf(read).await, Ok(1..)) {}
}

fn verify(headers: &HeaderMap, accept: &str) -> Result<(), Failure> {
    for (name, word) in [("upgrade", "websocket"), ("connection", "upgrade")] {
        let named = words(headers, name);
        if !named.iter().any(|given| given.eq_ignore_ascii_case(word)) {
            return header(format!(
                "the header {name} of its answer is {:?} and not {word}",
                named.join(", ")
            ));
        }
    }
    let proof = words(headers, "sec-websocket-accept").join(", ");
    if proof != accept {
        return header(format!(
            "the header sec-websocket-accept of its answer is {proof:?} and not {accept:?}"
        ));
    }
    match words(headers, "sec-websocket-extensions").first() {
        Some(extension) => header(format!("it uses the extension {extension:?}, which was not offered")),
        None => Ok(()),
    }
}

fn was_offered(headers: &HeaderMap, offered: &[String]) -> Result<(), Failure> {
    match words(headers, "sec-websocket-protocol").into_iter().find(|name| !offered.contains(name)) {
        // A token is offered as a subprotocol as well: what was offered is not repeated.
        Some(name) => header(format!("it selected the subprotocol {name:?}, which was not offered")),
        None => Ok(()),
    }
}

fn header(why: String) -> Result<(), Failure> {
    Err(Failure::Header(why))
}

/// The entries of a header that is a list, over all its lines; what is no text is left out.
fn words(headers: &HeaderMap, name: &str) -> Vec<String> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    let words = lines.flat_map(|line| line.split(',')).map(str::trim).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}
