//! A server that runs, asked over HTTP: that of a data folder over the operator's socket, or one elsewhere with a token.

use std::{fmt, path::PathBuf, time::Duration};

use anyhow::{Context, anyhow};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use wireproof_client::{Stream, Trust};
use wireproof_protocol::Address;
use wireproof_server::{Config, server::operator, store::embedded::Embedded};

use crate::exit::Stop;

/// How long a server of this machine may take to answer, in seconds, where no flag says it.
pub(crate) const ANSWER_SECONDS: &str = "60";
/// Largest answer in bytes.
const ANSWER_BYTES: usize = 16 << 20;

/// A server that is asked.
pub(crate) struct LocalAdmin {
    at: At,
    /// How long one answer may take.
    within: Duration,
}

enum At {
    /// The server of a data folder: its socket knows the operator.
    Folder(PathBuf),
    /// Any server, asked with a token.
    Url { address: Address, token: String, trust: Trust },
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Folder(folder) => write!(f, "the server of {}", folder.display()),
            At::Url { address, .. } => write!(f, "the server at {address}"),
        }
    }
}

impl LocalAdmin {
    /// The server of the settings' data folder; none when no process holds the folder.
    pub(crate) async fn find(config: &Config, within: Duration) -> anyhow::Result<Option<Self>> {
        let folder = &config.data_dir;
        let held = Embedded::is_held(folder).with_context(|| format!("looking at {}", folder.display()))?;
        if !held {
            return Ok(None);
        }
        let running = Self { at: At::Folder(folder.clone()), within };
        let connected = timeout(within, operator::connect(folder)).await;
        connected.map_err(|_| running.late())?.map_err(|e| {
            Stop::Unreachable(format!(
                "{} is in use by a process that answers no operator, or by a server that is starting or stopping ({e}); try again",
                folder.display()
            ))
        })?;
        Ok(Some(running))
    }

    /// A server at an address such as `http://10.0.0.7:8787`, asked with this token.
    pub(crate) fn elsewhere(address: Address, token: String, trust: Trust, within: Duration) -> Self {
        Self { at: At::Url { address, token, trust }, within }
    }

    /// Asks the server. What it answers, `null` for nothing; a refusal is an error.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let asked = format!("{method} {path}");
        let answered = timeout(self.within, self.exchange(&method, path, body)).await;
        let (status, answer) = match answered {
            Ok(answered) => answered?,
            // Whoever asks for a change has to look whether it came to be.
            Err(_) if !method.is_safe() => {
                return Err(self.unreachable(&format!("{}, {UNKNOWN}", self.waited())));
            }
            Err(_) => return Err(self.late()),
        };
        let answer: Value = match answer.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&answer)
                .map_err(|_| self.unreachable(&format!("its answer to {asked} ({status}) is no JSON")))?,
        };
        if status.is_success() {
            // Ours answers with nothing only where it says so.
            return match answer.is_null() && status != StatusCode::NO_CONTENT {
                true => Err(self.unreachable(&format!("its answer to {asked} ({status}) is empty"))),
                false => Ok(answer),
            };
        }
        let why = answer["message"].as_str();
        match why {
            Some(why) if status.is_server_error() => Err(anyhow!("{asked}: {status}: {why}")),
            Some(why) => Err(Stop::Refused(why.to_owned()).into()),
            None if matches!(status.as_u16(), 401 | 403 | 421) => {
                Err(Stop::Refused(format!("{status}")).into())
            }
            None => Err(self.unreachable(&format!("it answers {asked} with {status} and no reason"))),
        }
    }

    /// What an answer says under a name. Who does not say it, or says it in another type, is no server of ours, whatever
    /// the status.
    pub(crate) fn said<T: DeserializeOwned>(&self, answer: &Value, name: &str) -> anyhow::Result<T> {
        let missing = |_| self.unreachable(&format!("its answer has no {name:?}: it is no wireproof server"));
        T::deserialize(&answer[name]).map_err(missing)
    }

    /// Holds that an answer is empty, as ours to a deletion is.
    pub(crate) fn said_nothing(&self, answer: &Value) -> anyhow::Result<()> {
        match answer {
            Value::Null => Ok(()),
            _ => Err(self.unreachable(&"its answer is none of a wireproof server")),
        }
    }

    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close");
        let full = Full::new(Bytes::from(body));
        match &self.at {
            At::Folder(folder) => {
                let stream = operator::connect(folder).await.map_err(|e| self.unreachable(&e))?;
                self.ask(stream, request.header(header::HOST, "localhost").body(full)?).await
            }
            At::Url { address, token, trust } => {
                let request = request
                    .header(header::HOST, address.authority())
                    .header(header::AUTHORIZATION, format!("Bearer {token}"))
                    .body(full)?;
                let stream = TcpStream::connect((address.host(), address.port()));
                let stream = stream.await.map_err(|e| self.unreachable(&e))?;
                let stream = match address.scheme().is_encrypted() {
                    true => trust.connect(address.host(), stream).await.map_err(|e| self.unreachable(&e))?,
                    false => Stream::Plain(stream),
                };
                self.ask(stream, request).await
            }
        }
    }

    async fn ask<S>(&self, stream: S, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let safe = request.method().is_safe();
        let broken = |e: &dyn fmt::Display| match safe {
            true => self.unreachable(&format!("it gave no whole answer: {e}")),
            false => self.unreachable(&format!("it gave no whole answer, {UNKNOWN}: {e}")),
        };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| broken(&e))?;
        let exchange = async {
            let (head, body) = sender.send_request(request).await.map_err(|e| broken(&e))?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES).collect().await.map_err(|e| broken(&e))?;
            Ok((head.status, body.to_bytes()))
        };
        // The connection has to be driven while the answer is awaited, and ends with it.
        let mut connection = std::pin::pin!(connection);
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            ended = &mut connection => {
                ended.map_err(|e| broken(&e))?;
                exchange.await
            }
        }
    }

    fn unreachable(&self, why: &dyn fmt::Display) -> anyhow::Error {
        Stop::Unreachable(format!("cannot reach {}: {why}", self.at)).into()
    }

    fn late(&self) -> anyhow::Error {
        self.unreachable(&self.waited())
    }

    fn waited(&self) -> String {
        format!("no answer within {} s (--timeout)", self.within.as_secs_f64())
    }
}

/// What is said when a change was asked for and no answer came.
const UNKNOWN: &str = "and whether it was carried out is not known";
