//! An echo on the server's own handshake, socket and codec settings: what Autobahn's cases want to talk to.

use std::{future::poll_fn, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::{Error, Message};
use wireproof_server::{
    metrics::{Metrics, Names},
    tls::{Stream, Timed},
    ws::{
        socket::{Received, Socket, close_for},
        upgrade::{handshake_key, switching, upgraded},
    },
};

use super::Answer;

/// The largest of Autobahn's messages has 16 MiB.
const LARGEST: usize = 16 << 20;

/// How long the judge may take to read an answer.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// Serves echoes until the test ends.
pub async fn start(answer: Answer) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = Metrics::new(Names::default());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let metrics = metrics.clone();
            let service = service_fn(move |request: http::Request<Incoming>| {
                let metrics = metrics.clone();
                async move { Ok::<_, std::convert::Infallible>(respond(request, metrics, answer)) }
            });
            let stream = Stream::Plain(stream);
            let serving = http1::Builder::new()
                .serve_connection(TokioIo::new(Timed::new(stream, ANSWER_TIME)), service);
            // A case that breaks the connection off is none of the accept loop's business.
            tokio::spawn(serving.with_upgrades());
        }
    });
    address
}

fn respond(
    request: http::Request<Incoming>,
    metrics: Arc<Metrics>,
    answer: Answer,
) -> axum::response::Response {
    let mut request = request.map(axum::body::Body::new);
    match handshake_key(&request) {
        Ok(key) => {
            let on_upgrade: OnUpgrade = request.extensions_mut().remove().unwrap();
            tokio::spawn(async move {
                if let Some(socket) = upgraded(on_upgrade, LARGEST, metrics).await {
                    echo(socket, answer).await;
                }
            });
            switching(&key)
        }
        Err(refusal) => *refusal,
    }
}

async fn echo(mut socket: Socket, answer: Answer) {
    loop {
        match poll_fn(|cx| socket.poll_receive(cx)).await {
            None => return,
            Some(Err(error)) => {
                if let Some((code, reason)) = close_for(&error) {
                    socket.close(code, reason).await;
                }
                return;
            }
            Some(Ok(received)) => {
                if say(&mut socket, received, answer).await.is_err() || socket.has_left() {
                    return;
                }
            }
        }
    }
}

/// Sends the answer; what the codec has to say to a ping or a close goes with the flush.
async fn say(socket: &mut Socket, received: Received, answer: Answer) -> Result<(), Error> {
    if let Received::Text(message) | Received::Binary(message) = received {
        poll_fn(|cx| socket.poll_ready(cx)).await?;
        match answer(message) {
            Message::Text(text) => socket.send(text.into())?,
            message => socket.put(message)?,
        }
    }
    poll_fn(|cx| socket.poll_flush(cx)).await
}
