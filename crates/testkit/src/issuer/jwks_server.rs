//! An issuer's HTTP server on a port of its own, which can fail in the ways that such servers do.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::{JoinHandle, JoinSet},
};

use super::Issuer;

/// Publishes keys at [`JwksServer::url`] until it is stopped or dropped.
pub struct JwksServer {
    address: SocketAddr,
    answer: Arc<Mutex<JwksAnswer>>,
    fetches: Arc<AtomicUsize>,
    serving: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct JwksAnswer {
    status: StatusCode,
    location: Option<String>,
    body: Bytes,
    after: Duration,
}

impl JwksServer {
    /// Starts a server that publishes these keys. Panics when there is no port.
    pub async fn start(keys: &[&Issuer]) -> Self {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = listener.local_addr().unwrap_or_else(|e| panic!("no address for the issuer: {e}"));
        let answer =
            JwksAnswer { status: StatusCode::OK, location: None, body: set_of(keys), after: Duration::ZERO };
        let mut server =
            Self { address, answer: Arc::new(Mutex::new(answer)), fetches: Arc::default(), serving: None };
        server.serve(listener);
        server
    }

    fn serve(&mut self, listener: TcpListener) {
        let (answer, fetches) = (self.answer.clone(), self.fetches.clone());
        self.serving = Some(tokio::spawn(accept(listener, answer, fetches)));
    }

    fn answer(&self) -> MutexGuard<'_, JwksAnswer> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the keys are, for `jwt.jwks_url`.
    pub fn url(&self) -> String {
        format!("http://{}/.well-known/jwks.json", self.address)
    }

    /// Publishes these keys and no others from now on.
    pub fn set_keys(&self, keys: &[&Issuer]) {
        self.answer_with(200, set_of(keys));
    }

    /// Answers with this status and body from now on.
    pub fn answer_with(&self, status: u16, body: impl Into<Bytes>) {
        let mut answer = self.answer();
        answer.status = StatusCode::from_u16(status).unwrap_or_else(|e| panic!("{status}: {e}"));
        answer.location = None;
        answer.body = body.into();
    }

    /// Answers with a redirect to somewhere else from now on.
    pub fn redirect_to(&self, location: &str) {
        self.answer_with(302, "");
        self.answer().location = Some(location.to_owned());
    }

    /// Lets everybody wait so long for an answer from now on.
    pub fn slow_down(&self, after: Duration) {
        self.answer().after = after;
    }

    /// How often the keys were asked for.
    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// Is gone from now on: its port refuses connections, and those that are open are cut.
    pub async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            // Cancelled, which is what was asked for; the listener is closed when this returns.
            let _ = serving.await;
        }
    }

    /// Is there again, at the same address.
    pub async fn resume(&mut self) {
        self.stop().await;
        self.serve(listen(self.address));
    }
}

impl Drop for JwksServer {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

fn set_of(keys: &[&Issuer]) -> Bytes {
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    json!({ "keys": keys }).to_string().into()
}

fn listen(address: SocketAddr) -> TcpListener {
    let bound = TcpSocket::new_v4().and_then(|socket| {
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(64)
    });
    bound.unwrap_or_else(|e| panic!("no port for the issuer: {e}"))
}

async fn accept(listener: TcpListener, answer: Arc<Mutex<JwksAnswer>>, fetches: Arc<AtomicUsize>) {
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (answer, fetches) = (answer.clone(), fetches.clone());
        let service = service_fn(move |_: Request<Incoming>| {
            fetches.fetch_add(1, Ordering::SeqCst);
            let answer = answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
            async move {
                tokio::time::sleep(answer.after).await;
                let mut response = Response::new(Full::new(answer.body));
                *response.status_mut() = answer.status;
                if let Some(location) = answer.location.and_then(|location| location.parse().ok()) {
                    response.headers_mut().insert(header::LOCATION, location);
                }
                Ok::<_, Infallible>(response)
            }
        });
        // One request a connection, so that a stop is a stop.
        let connection =
            http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move {
            // A client that went away is no concern of a test's.
            let _ = connection.await;
        });
    }
}
