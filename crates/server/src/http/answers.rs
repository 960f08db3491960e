//! Answers on their way out: each has a time in which the client has to take it, and its bytes count for the requester
//! until the kernel has them.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, to_bytes},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use hyper::rt::{Sleep, Timer};
use tokio::time::Instant;
use wireproof_protocol::ErrorCode;

use crate::{
    clock::Deadline,
    error::Refusal,
    limits::holds::{Hold, Requester},
};

/// An answer's bytes, and their share of the limits: given back when the last of them is written.
struct Held {
    bytes: Bytes,
    _request: Arc<Hold>,
    _bytes: Hold,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The same answer, whose bytes and request are held until they are taken. A read whose requester holds too much already
/// is refused; the answer to a change is sent in any case.
pub async fn hold(response: Response, request: Arc<Hold>, requester: &Requester, is_read: bool) -> Response {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    let (head, body) = response.into_parts();
    // The bodies of our handlers are in memory already.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return Refusal::new(ErrorCode::Internal, "Something went wrong inside; try again.").into_response();
    };
    if bytes.is_empty() {
        return Response::from_parts(head, Body::empty());
    }
    let held = match requester.bytes(bytes.len()) {
        Err(exceeded) if is_read => return Refusal::from(exceeded).into_response(),
        held => held.unwrap_or_default(),
    };
    let bytes = Bytes::from_owner(Held { bytes, _request: request, _bytes: held });
    Response::from_parts(head, Body::from(bytes))
}

/// The clock by which hyper counts the time of heads: with [`Deadline`]s.
#[derive(Clone)]
pub struct Clock;

/// A deadline as hyper waits for it.
struct Waiting(Deadline);

impl Future for Waiting {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl Sleep for Waiting {}

impl Timer for Clock {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Waiting(Deadline::after(duration)))
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Waiting(Deadline::at(Instant::from_std(deadline))))
    }

    fn now(&self) -> std::time::Instant {
        std::time::Instant::now()
    }
}
