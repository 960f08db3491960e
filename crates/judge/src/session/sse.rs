//! A session without a WebSocket: each message is a POST, and its answer a stream of events. The streams of one user
//! run beside each other, and what comes on them is written down as if it had come on one connection.

use std::{sync::Arc, time::Duration};

use reqwest::RequestBuilder;
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use wireproof_client::Ended;
use wireproof_testkit::recording::{Order, Recording, Watched, ended_by};

use super::FrameRecording;
use crate::{
    profile::Kind,
    received_frame::ReceivedFrame,
    target::{EVENT_STREAM, Post, beginning, content_type, root},
};

mod events;

use events::EventStream;

/// Carries orders out until the session is over; the streams end with it.
pub(super) async fn serve(
    post: Post,
    frames: Arc<Watched<FrameRecording>>,
    mut orders: mpsc::Receiver<Order>,
) {
    let mut streams = JoinSet::new();
    let ended = loop {
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                None => return,
                Some(Order::Close(..)) => break Ended::default(),
                // What is posted comes back by itself: there is nothing to leave unread.
                Some(Order::StopReading(done)) => {
                    let _ = done.send(false);
                }
                Some(Order::Reset) => break ended_by(FrameRecording::RESET),
                // Bytes are no message here.
                Some(Order::Binary(_, done)) => drop(done.send(false)),
                Some(Order::Text(message, done)) => match post.of(message.clone()) {
                    Some(request) => drop(streams.spawn(follow(request, message, done, frames.clone()))),
                    None => drop(done.send(false)),
                },
            },
            Some(Ok(Err(ended))) = streams.join_next() => break *ended,
        }
    };
    drop(orders);
    frames.change(|frames| frames.end(ended));
}

/// Posts a message and writes down all that comes for it.
async fn follow(
    request: RequestBuilder,
    message: String,
    done: oneshot::Sender<bool>,
    frames: Arc<Watched<FrameRecording>>,
) -> Result<(), Box<Ended>> {
    let sent: Value = serde_json::from_str(&message).unwrap_or(Value::Null);
    let profile = frames.lock().profile.clone();
    let fields = &profile.fields;
    let mut of = Of { run: fields.run.text(&sent), request: fields.request.text(&sent), open: false };
    let run_seconds = Duration::from_secs_f64(profile.timing.run_seconds);
    let mut answer = request.timeout(run_seconds).send().await.map_err(|error| broke(root(&error)))?;
    // Whoever asked may have stopped waiting.
    let _ = done.send(true);
    let (status, kind) = (answer.status(), content_type(&answer));
    if !status.is_success() {
        let text = beginning(answer).await;
        let refusal = |seen: &mut ReceivedFrame| {
            (seen.name, seen.kind) = (format!("HTTP {}", status.as_u16()), Kind::Error);
            of.stamp(seen);
        };
        return taken(frames.change(|frames| frames.write_down(&text, refusal)));
    }
    if !kind.starts_with(EVENT_STREAM) {
        return Err(broke(format!("the answer is {kind:?} and no {EVENT_STREAM}")));
    }
    let mut events = EventStream::default();
    while let Some(bytes) = answer.chunk().await.map_err(|error| broke(root(&error)))? {
        events.push(&bytes);
        while let Some(data) =
            events.next().map_err(|why| broke(format!("the answer is no event stream: {why}")))?
        {
            taken(frames.change(|frames| frames.write_down(&data, |seen| of.stamp(seen))))?;
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
    fn stamp(&mut self, seen: &mut ReceivedFrame) {
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

/// A frame that was one too many ends the session.
fn taken(ended: Option<Ended>) -> Result<(), Box<Ended>> {
    ended.map_or(Ok(()), |ended| Err(Box::new(ended)))
}

fn broke(cause: impl Into<String>) -> Box<Ended> {
    Box::new(ended_by(cause))
}
