//! The accept loop, and the bounds of a connection before it is a WebSocket: a place, time, and an answer when there is
//! no room. The loop never waits for one connection while others queue.

use std::{fs::File, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use http::StatusCode;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};
use tower::ServiceExt;
use wireproof_protocol::{ControlBody, ErrorBody, ErrorCode};

use super::{HEADER_BYTES, HEADER_LINES, answers::Clock, guard};
use crate::{
    app::Context,
    clock::Deadline,
    limits::permits::{Permit, PermitPool},
    tls::{Stream, Timed},
};

/// Header lines that are parsed: up to here, too many are refused with a reason.
const PARSED_LINES: usize = 2 * HEADER_LINES;
/// Connections that may at once be sent the answer that there is no room; others are closed without one.
const TOLD: usize = 64;
/// How long one of them may take to receive it.
const TELLING: Duration = Duration::from_secs(1);
/// Between two lines in the log about the same shortage.
const LOG_PAUSE: Duration = Duration::from_secs(1);
/// How long answers in progress may take after everything else has stopped.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// How long an idle connection has then: its last answer is ready, and needs only to be written.
const LAST_WORDS: Duration = Duration::from_millis(50);
/// The pause when not even the spare file descriptor helps.
const NO_FILES_PAUSE: Duration = Duration::from_millis(5);

/// Accepts connections until the server stops: while it drains, its health can still be read.
pub async fn accept(listener: TcpListener, router: Router, context: Arc<Context>) {
    let stopped = context.shutdown.stopped.clone();
    let (mut spare, told, mut logged) = (spare_file(), PermitPool::default(), None);
    loop {
        let accepted = tokio::select! {
            () = stopped.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let shortage = match accepted {
            Ok((stream, peer)) => match context.admission.connection() {
                Some(place) => {
                    context.shutdown.spawn(serve(stream, peer, place, router.clone(), context.clone()));
                    continue;
                }
                None => {
                    context.metrics.limit_hit("connections");
                    context.admission.idle.make_room();
                    // Only without TLS: a TLS client cannot read anything sent before its handshake.
                    if context.tls.is_none()
                        && let Some(place) = told.take(TOLD)
                    {
                        context.shutdown.spawn(turn_away(stream, place));
                    }
                    "as many connections are open as limits.connections allows"
                }
            },
            Err(e) if is_out_of_files(&e) => {
                context.metrics.limit_hit("connections");
                // The spare descriptor is enough to take one connection off the queue and close it, so that none waits
                // there in vain.
                drop(spare.take());
                match timeout(NO_FILES_PAUSE, listener.accept()).await {
                    Ok(Ok((stream, _))) => drop(stream),
                    Ok(Err(_)) => tokio::time::sleep(NO_FILES_PAUSE).await,
                    Err(_) => {}
                }
                spare = spare_file();
                "the process has no file descriptors left; raise its limit (ulimit -n)"
            }
            // The client was gone before it was accepted, or a similar error of one connection.
            Err(_) => continue,
        };
        if logged.is_none_or(|last: Instant| last.elapsed() >= LOG_PAUSE) {
            logged = Some(Instant::now());
            tracing::warn!(shortage, "connections are turned away");
        }
    }
}

fn spare_file() -> Option<File> {
    File::open("/dev/null").ok()
}

fn is_out_of_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Answers that there is no room, if the client takes the answer quickly.
async fn turn_away(mut stream: TcpStream, place: Permit) {
    let body = ErrorBody::new(ErrorCode::TooManyConnections, "The server has no room now; try again later.");
    let body = serde_json::to_string(&ControlBody::Error(body)).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: {}\r\nconnection: close\r\n\r\n{body}",
        body.len(),
        rand::random_range(1..=5),
    );
    let telling = timeout(TELLING, async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // What is closed with bytes unread is reset, and the answer lost.
        let mut left = HEADER_BYTES;
        let mut scratch = [0; 2048];
        while left > 0 {
            match stream.read(&mut scratch).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        io::Result::Ok(())
    });
    // A client that does not take it in time is closed as well.
    let _ = telling.await;
    drop(place);
}

/// The stream as the settings require it: plain, or with TLS.
async fn encrypted(stream: TcpStream, peer: SocketAddr, context: &Context) -> Option<Stream> {
    let Some(tls) = &context.tls else { return Some(Stream::Plain(stream)) };
    let accepted = tokio::select! {
        accepted = tls.accept(stream) => accepted,
        () = context.shutdown.stopped.cancelled() => return None,
    };
    if let Err(e) = &accepted {
        context.metrics.handshake("bad_request");
        tracing::debug!(%peer, error = %e, "a TLS handshake failed");
    }
    accepted.ok()
}

async fn serve(stream: TcpStream, peer: SocketAddr, place: Permit, router: Router, context: Arc<Context>) {
    if let Err(e) = stream.set_nodelay(true) {
        tracing::debug!(%peer, error = %e, "a connection was gone before it was served");
        return;
    }
    let idle = Arc::new(context.admission.idle.add(std::time::Instant::now()));
    let encrypted = tokio::select! {
        encrypted = encrypted(stream, peer, &context) => encrypted,
        () = idle.evicted.cancelled() => None,
    };
    let Some(stream) = encrypted else { return };
    let scheme = if matches!(stream, Stream::Tls(_)) { "https" } else { "http" };
    let (place, shared, connection) = (Arc::new(place), context.clone(), idle.clone());
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        connection.request_began();
        let proxies = &shared.proxies;
        let address = proxies.client(peer.ip(), request.headers());
        let scheme = proxies.scheme(peer.ip(), request.headers(), scheme);
        let hosts = proxies.hosts(peer.ip(), request.headers());
        let extensions = request.extensions_mut();
        extensions.insert(address);
        extensions.insert(guard::Scheme(scheme));
        extensions.insert(guard::ForwardedHosts(hosts));
        // A WebSocket takes the place with it.
        extensions.insert(place.clone());
        extensions.insert(connection.clone());
        let (answering, connection) = (router.clone().oneshot(request), connection.clone());
        async move {
            let response = answering.await;
            // A connection that becomes a WebSocket may not be evicted, even before the client knows of the upgrade.
            if !response.as_ref().is_ok_and(|response| response.status() == StatusCode::SWITCHING_PROTOCOLS) {
                connection.request_ended(std::time::Instant::now());
            }
            response
        }
    });
    let header_time = Duration::from_secs_f64(context.limits.header_seconds);
    let answer_time = Duration::from_secs_f64(context.limits.answer_seconds);
    // While the server drains each connection is good for one request.
    let going = context.shutdown.draining.is_cancelled();
    let connection = http1::Builder::new()
        .keep_alive(!going)
        // A client may close its sending side after the request, and gets its answer.
        .half_close(true)
        // An answer is written from its own memory, so that memory is held until the client has taken it.
        .writev(true)
        .timer(Clock)
        .header_read_timeout(header_time)
        .max_headers(PARSED_LINES)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(Timed::new(stream, answer_time)), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let longest = Deadline::after(Duration::from_secs_f64(context.limits.http_seconds));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = idle.evicted.cancelled() => {
            context.metrics.limit_hit("idle");
            return;
        }
        () = enough(longest, &context, going) => {
            connection.as_mut().graceful_shutdown();
            let patience = header_time + Duration::from_secs_f64(context.limits.body_seconds);
            let in_time = tokio::select! {
                served = timeout(patience, connection.as_mut()) => served,
                // Requests from before the end, such as the request to drain, are still answered.
                () = context.shutdown.stopped.cancelled() => {
                    let patience = if idle.is_idle() { LAST_WORDS } else { LAST_ANSWERS };
                    timeout(patience, connection).await
                }
            };
            match in_time {
                Ok(served) => served,
                Err(_) => return,
            }
        }
    };
    if let Err(e) = served {
        if e.is_timeout() {
            context.metrics.limit_hit("headers");
        } else if is_untaken(&e) {
            context.metrics.limit_hit("answer");
        }
        tracing::debug!(%peer, error = %e, "a connection ended badly");
    }
}

/// True when the client did not take its answer in time.
fn is_untaken(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
}

/// Waits until a connection that is no WebSocket has lived long enough, or the server starts to drain.
async fn enough(longest: Deadline, context: &Context, going: bool) {
    let shutdown = &context.shutdown;
    tokio::select! {
        () = longest => {}
        () = shutdown.draining.cancelled(), if !going => {}
        () = shutdown.stopped.cancelled() => {}
    }
}
