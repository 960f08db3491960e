//! The operator's requests: the same routes over a Unix socket, whose peer is the operator.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use axum::Router;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tower::ServiceExt;

use super::{HEADER_BYTES, guard};
use crate::{app::Context, auth::reserved, files, limits::ClientAddress};

/// Connections at once; more wait until one has ended.
const CONNECTIONS: usize = 16;
/// The pause after an accept that failed for lack of resources.
const AGAIN: Duration = Duration::from_millis(50);

/// Takes connections of this process's user and of root until the server stops; those of others are closed.
pub async fn accept(listener: UnixListener, router: Router, context: Arc<Context>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let taking = async {
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) if is_operator(&stream) => {
                    context.shutdown.spawn(serve(stream, place, router.clone(), context.clone()));
                }
                Ok(_) => {
                    tracing::warn!("another user of this machine was turned away at the operator's socket")
                }
                Err(_) => sleep(AGAIN).await,
            }
        }
    };
    tokio::select! {
        () = taking => {}
        () = context.shutdown.stopped.cancelled() => {}
    }
}

/// The socket's mode keeps other users out; a wider mode does not let them in.
fn is_operator(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == files::own_user())
}

/// Answers one request.
async fn serve(stream: UnixStream, place: OwnedSemaphorePermit, router: Router, context: Arc<Context>) {
    let Ok(operator) = reserved::operator() else { return };
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        let (router, operator) = (router.clone(), operator.clone());
        async move {
            let extensions = request.extensions_mut();
            extensions.insert(ClientAddress::of(Ipv4Addr::LOCALHOST.into()));
            extensions.insert(guard::Scheme("http"));
            extensions.insert(guard::Operator(operator));
            router.oneshot(request).await
        }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs_f64(context.limits.header_seconds))
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let longest = Duration::from_secs_f64(context.limits.http_seconds);
    let served = timeout(longest, connection).await.unwrap_or(Ok(()));
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of the operator ended badly");
    }
    drop(place);
}
