//! A session without a WebSocket: each message is a POST, and its answer a stream of events. The streams of one visitor
//! run beside each other, and what comes on them is written down as if it had come on one connection.

use std::{sync::Arc, time::Duration};

use reqwest::{RequestBuilder, Response, header};
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use wireproof_client::Ended;

use super::{Book, Order};
use crate::{
    check::{Seen, TargetError, target::beginning},
    profile::Kind,
};

mod events;

use events::Events;

/// How long the first answer is read.
const LEAVE: Duration = Duration::from_secs(1);
/// What an event stream says that it is.
const EVENT_STREAM: &str = "text/event-stream";

/// Where messages are posted, and with what; each message takes a clone of it.
pub(in crate::check) struct Post(pub(in crate::check) RequestBuilder);

impl Post {
    /// The request for a message; a request without a stream for a body can always be cloned.
    fn of(&self, message: String) -> Option<RequestBuilder> {
        let request = self.0.try_clone()?.header(header::ACCEPT, EVENT_STREAM);
        Some(request.header(header::CONTENT_TYPE, "application/json").body(message))
    }

    /// Whether somebody is there who answers a message with events and lets the judge in.
    pub(in crate::check) async fn reach(&self, url: &str, message: String) -> Result<(), TargetError> {
        let unreachable = |why: String| TargetError::Unreachable(format!("{url} {why}"));
        let Some(request) = self.of(message) else { return Err(unreachable("cannot be asked".to_owned())) };
        let mut answer = request
            .send()
            .await
            .map_err(|error| unreachable(format!("does not answer: {}", root(&error))))?;
        match (answer.status().as_u16(), content_type(&answer)) {
            (status @ (401 | 403), _) => {
                Err(TargetError::Refused(format!("{url} refused the message with HTTP {status}")))
            }
            (421, _) => Err(TargetError::Misaddressed(format!("{url} refused the message with HTTP 421"))),
            (200, kind) if kind.starts_with(EVENT_STREAM) => {
                // A run that is left in its middle may hurt others: that is for a check to find out.
                let rest = async { while matches!(answer.chunk().await, Ok(Some(_))) {} };
                let _ = tokio::time::timeout(LEAVE, rest).await;
                Ok(())
            }
            (status, kind) => Err(unreachable(format!(
                "does not speak this protocol: it answered a message with HTTP {status} and {kind:?} in place of {EVENT_STREAM} (endpoint.transport, endpoint.path)"
            ))),
        }
    }
}

/// Carries orders out until the session is over; the streams end with it.
pub(super) async fn serve(post: Post, book: Book, mut orders: mpsc::Receiver<Order>) {
    let (book, mut streams) = (Arc::new(book), JoinSet::new());
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                None => return,
                Some(Order::Close(_)) => return book.over(Ended::default()),
                // What is posted comes back by itself: there is nothing to leave unread.
                Some(Order::Hang(done)) => {
                    let _ = done.send(false);
                }
                Some(Order::Cut) => return book.over(*broke("reset by the client")),
                // Bytes are no message here.
                Some(Order::Binary(_, done)) => drop(done.send(false)),
                Some(Order::Text(message, done)) => match post.of(message.clone()) {
                    Some(request) => drop(streams.spawn(follow(request, message, done, book.clone()))),
                    None => drop(done.send(false)),
                },
            },
            Some(Ok(Err(ended))) = streams.join_next() => return book.over(*ended),
        }
    }
}

/// Posts a message and writes down all that comes for it.
async fn follow(
    request: RequestBuilder,
    message: String,
    done: oneshot::Sender<bool>,
    book: Arc<Book>,
) -> Result<(), Box<Ended>> {
    let sent: Value = serde_json::from_str(&message).unwrap_or(Value::Null);
    let fields = &book.profile.fields;
    let mut of = Of { run: fields.run.text(&sent), request: fields.request.text(&sent), open: false };
    let run_seconds = Duration::from_secs_f64(book.profile.timing.run_seconds);
    let mut answer = request.timeout(run_seconds).send().await.map_err(|error| broke(root(&error)))?;
    // Whoever asked may have stopped waiting.
    let _ = done.send(true);
    let (status, kind) = (answer.status(), content_type(&answer));
    if !status.is_success() {
        let text = beginning(answer).await;
        book.write_down(&text, |seen| {
            (seen.name, seen.kind) = (format!("HTTP {}", status.as_u16()), Kind::Error);
            of.stamp(seen);
        })?;
        return Ok(());
    }
    if !kind.starts_with(EVENT_STREAM) {
        return Err(broke(format!("the answer is {kind:?} and no {EVENT_STREAM}")));
    }
    let mut events = Events::default();
    while let Some(bytes) = answer.chunk().await.map_err(|error| broke(root(&error)))? {
        events.push(&bytes);
        while let Some(data) =
            events.next().map_err(|why| broke(format!("the answer is no event stream: {why}")))?
        {
            book.write_down(&data, |seen| of.stamp(seen))?;
        }
    }
    match (events.is_between(), of.open) {
        (true, false) => Ok(()),
        (true, true) => Err(broke("the event stream ended before its run did")),
        (false, _) => Err(broke("the event stream broke off inside of an event")),
    }
}

/// What the events of one stream are of, where they do not say it themselves.
struct Of {
    run: Option<String>,
    request: Option<String>,
    /// A run has begun and not ended.
    open: bool,
}

impl Of {
    fn stamp(&mut self, seen: &mut Seen) {
        if seen.run.is_some() {
            self.run.clone_from(&seen.run);
        }
        seen.run.clone_from(&self.run);
        seen.request = seen.request.take().or_else(|| self.request.clone());
        match seen.kind {
            Kind::Started => self.open = true,
            Kind::Completed => self.open = false,
            _ => {}
        }
    }
}

fn content_type(answer: &Response) -> String {
    let named = answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    named.unwrap_or("no content type").to_owned()
}

fn broke(cause: impl Into<String>) -> Box<Ended> {
    Box::new(Ended { cause: Some(cause.into()), ..Ended::default() })
}

/// The innermost cause: the outer ones say only that a request failed.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
