//! HTTP as a small real client speaks it: one connection a request, JSON in and out. With the feature
//! `contract` every answer is held against the server's own document: one that is not in it fails the test that asked.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

use crate::deadline::DEADLINE;

#[cfg(feature = "contract")]
mod openapi_check;

/// Speaks to a server's HTTP routes, with a bearer token or without.
#[derive(Debug, Clone)]
pub struct Rest {
    address: SocketAddr,
    token: Option<String>,
    headers: Vec<(String, String)>,
}

/// No answer over HTTP, or with the feature `contract` one that is not in the server's own document.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoReply(String);

/// An answer over HTTP.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as JSON; `null` when it is none.
    pub json: Value,
    /// The body as it came.
    pub body: String,
}

impl Reply {
    /// The `error_code` of a refusal; empty when it is none.
    pub fn error_code(&self) -> &str {
        self.json["error_code"].as_str().unwrap_or_default()
    }

    /// A header's text, if it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Rest {
    /// Requests to an address without credentials.
    pub fn to(address: SocketAddr) -> Self {
        Self { address, token: None, headers: Vec::new() }
    }

    /// The same with a bearer token.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The same with one more header, such as `Origin`; `host` stands in place of the address.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// `GET path`
    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, "").await
    }

    /// `POST path` with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, body.to_string()).await
    }

    /// `PATCH path` with a JSON body.
    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PATCH, path, body.to_string()).await
    }

    /// `DELETE path`
    pub async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, "").await
    }

    /// Any request with any body. Panics when the server gives no answer at all within the deadline.
    pub async fn send(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Reply {
        self.try_send(method, path, body).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same with the failure as an error.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Reply, NoReply> {
        let words = format!("{method} {path}");
        match timeout(DEADLINE, self.exchange(method, path, body.into())).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(NoReply(format!("{words} got no answer: {error}"))),
            Err(_) => Err(NoReply(format!("{words} got no answer within {DEADLINE:?}"))),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Reply, Box<dyn std::error::Error + Send + Sync>> {
        #[cfg(feature = "contract")]
        let asked = (method.clone(), path.split(['?', '#']).next().unwrap_or_default().to_owned());
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::builder().method(method).uri(path);
        if !self.headers.iter().any(|(name, _)| name == "host") {
            request = request.header(header::HOST, self.address.to_string());
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body))?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            let body = String::from_utf8_lossy(&body).into_owned();
            let json = serde_json::from_str(&body).unwrap_or(Value::Null);
            Ok::<_, hyper::Error>(Reply { status: head.status.as_u16(), headers: head.headers, json, body })
        };
        // The connection has to be driven while the answer is awaited, and ends with it.
        let mut connection = std::pin::pin!(connection);
        let mut exchange = std::pin::pin!(exchange);
        let reply = tokio::select! {
            biased;
            reply = &mut exchange => reply?,
            ended = &mut connection => {
                ended?;
                exchange.await?
            }
        };
        #[cfg(feature = "contract")]
        openapi_check::check(&asked, &reply)?;
        Ok(reply)
    }
}
