//! The server that runs on a data folder, asked over HTTP: for commands that must not touch the store under it.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use wireproof_client::{Stream, Trust};
use wireproof_protocol::{Address, UserId};
use wireproof_server::{
    Config,
    auth::{Keys, Permissions},
    server::presence::Presence,
    store::embedded::Embedded,
};

use crate::exit::Stop;

/// Whom the tokens name that commands make for themselves.
const OPERATOR: &str = "wireproof:operator";
/// A token is made for each request, so it need not live long.
const TOKEN_LIFE: Duration = Duration::from_secs(60);
/// How long the server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(60);
/// Largest answer in bytes.
const ANSWER_BYTES: usize = 16 << 20;

/// A server that is asked with all permissions, or with those of a token.
pub(crate) struct Running {
    address: Address,
    bearer: Bearer,
    trust: Trust,
}

enum Bearer {
    /// Who has the server's own keys.
    Operator(Box<Keys>),
    /// Whoever the token says.
    Given(String),
}

impl Running {
    /// The server of the settings' data folder; none when no process holds the folder.
    pub(crate) async fn find(config: &Config) -> anyhow::Result<Option<Self>> {
        let folder = &config.data_dir;
        let held = Embedded::is_held(folder).with_context(|| format!("looking at {}", folder.display()))?;
        if !held {
            return Ok(None);
        }
        let presence = Presence::read(folder).context("reading where the server is (server.json)")?;
        let Some(presence) = presence else {
            bail!(
                "{} is in use by a process that is no server, or by one that is starting or stopping; try again",
                folder.display()
            );
        };
        let keys = Keys::from_config(&config.jwt, folder).context("opening the key")?;
        // By its own file, and not by name: it is asked at an address that its certificate need not bear.
        let trust = match config.tls.is_set() {
            true => Trust::pinned_to_pem_file(&config.tls.cert_file).context("reading the certificate")?,
            false => Trust::default(),
        };
        let address = Address::base(&presence.url).context("reading where the server is (server.json)")?;
        Ok(Some(Self { address, bearer: Bearer::Operator(Box::new(keys)), trust }))
    }

    /// A server at an address such as `http://10.0.0.7:8787`, asked with this token.
    pub(crate) fn elsewhere(address: Address, token: String) -> Self {
        Self { address, bearer: Bearer::Given(token), trust: Trust::default() }
    }

    /// Asks the server. What it answers, `null` for nothing; a refusal is an error.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let asked = format!("{method} {path}");
        let (status, answer) = timeout(ANSWER, self.exchange(method, path, body))
            .await
            .with_context(|| format!("{asked}: no answer within {} s", ANSWER.as_secs()))??;
        let answer: Value = match answer.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&answer)
                .with_context(|| format!("{asked}: the answer ({status}) is no JSON"))?,
        };
        if status.is_success() {
            return Ok(answer);
        }
        let why = answer["message"].as_str().unwrap_or("it does not say why");
        match status.is_server_error() {
            true => Err(anyhow!("{asked}: {status}: {why}")),
            false => Err(Stop::Refused(why.to_owned()).into()),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let address = &self.address;
        let unreachable =
            |why: String| Stop::Unreachable(format!("cannot reach the server at {address}: {why}"));
        let stream = timeout(CONNECT, TcpStream::connect((address.host(), address.port())))
            .await
            .map_err(|_| unreachable("it does not accept".to_owned()))?
            .map_err(|e| unreachable(e.to_string()))?;
        let stream = match address.scheme().is_encrypted() {
            true => {
                self.trust.connect(address.host(), stream).await.map_err(|e| unreachable(e.to_string()))?
            }
            false => Stream::Plain(stream),
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, address.authority())
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token()?))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let exchange = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES).collect().await.map_err(|e| anyhow!(e))?;
            Ok((head.status, body.to_bytes()))
        };
        // The connection has to be driven while the answer is awaited, and ends with it.
        let mut connection = std::pin::pin!(connection);
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            ended = &mut connection => {
                ended?;
                exchange.await
            }
        }
    }

    fn token(&self) -> anyhow::Result<String> {
        let keys = match &self.bearer {
            Bearer::Operator(keys) => keys,
            Bearer::Given(token) => return Ok(token.clone()),
        };
        let operator = UserId::new(OPERATOR)?;
        let mut claims = keys.claims(&operator, TOKEN_LIFE);
        claims.permissions = Some(Permissions::all().names().into_iter().map(str::to_owned).collect());
        Ok(keys.sign_claims(&claims))
    }
}
