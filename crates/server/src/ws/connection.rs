//! One connection's task: it reads requests, carries them out, and writes. No part of it waits for another.

use std::{
    future::poll_fn,
    sync::Arc,
    time::{Duration, Instant},
};

use wireproof_protocol::{CloseCode, ControlBody, ErrorBody, ErrorCode, RequestId, UserId};

use super::{
    dispatch::{self, FrameOutcome},
    frame_metrics::{FrameMetrics, error_of},
    handshake::{Close, Handshake, say_now},
    socket::{Received, Socket, close_for},
};
use crate::{
    app::{Context, revoke},
    clock::Deadline,
    delivery::{encode, subscription::Subscription},
    hub::{ConnectionCommand, ConnectionRegistration},
    session::{Session, Step},
    traces::TraceParent,
};

mod begin;
mod busy;
mod waiting;
mod writing;

use begin::Begun;
use busy::Busy;
use waiting::Happened;

/// Control frames that may wait for a slow client before no more requests are read from it.
const WAITING_CONTROLS: usize = 64;
/// How long what is queued may take to go out before a close.
const CLOSING_PATIENCE: Duration = Duration::from_secs(5);
/// How long the error may take to go out on a connection that is ended at once.
const ENDING_PATIENCE: Duration = Duration::from_millis(500);

/// Serves a connection to its end.
pub async fn serve(context: Arc<Context>, socket: Socket, opening: Handshake) {
    let (metrics, began) = (context.metrics.clone(), Instant::now());
    let mut stage = metrics.connection();
    let address = opening.address;
    let (socket, close) = match Box::pin(begin::begin(&context, socket, opening)).await {
        Begun::Refused(socket, close) => (*socket, close),
        Begun::Connection(mut connection) => {
            stage.enter("open");
            let connection_id = connection.registration.handle.connection_id;
            tracing::debug!(%connection_id, user_id = %connection.user_id, %address, "connection opened");
            let close = connection.run().await;
            tracing::debug!(
                %connection_id,
                user_id = %connection.user_id,
                %address,
                code = close.map(|(code, _)| code.number()),
                reason = close.map(|(_, reason)| reason),
                seconds = began.elapsed().as_secs_f64(),
                bytes_received = connection.socket.read(),
                bytes_sent = connection.socket.written(),
                frames = connection.frame_metrics.frames,
                "connection closed"
            );
            // Leave the hub before the goodbye: nothing more is queued for a connection that closes.
            (connection.socket, close)
        }
    };
    stage.enter("closing");
    metrics.closed(close.map(|(code, _)| code));
    if let Some((code, reason)) = close {
        Box::pin(socket.close(code, reason)).await;
    }
    metrics.connection_seconds.observe(began.elapsed().as_secs_f64());
}

struct Connection {
    context: Arc<Context>,
    user_id: UserId,
    socket: Socket,
    session: Session,
    frame_metrics: FrameMetrics,
    /// Where in a trace its handshake came from.
    parent: Option<TraceParent>,
    registration: ConnectionRegistration,
    subscription: Subscription,
    busy: Busy,
    timer: Deadline,
    /// Bytes that the kernel had taken after the last pass.
    written: u64,
    closing: Option<(CloseCode, &'static str, Instant)>,
}

impl Connection {
    /// Serves the connection until it ends; returns how to close it.
    async fn run(&mut self) -> Close {
        loop {
            let happened = poll_fn(|cx| self.poll(cx)).await;
            let now = Instant::now();
            let counted = self.session.bytes(self.socket.take_due(), now);
            if let Some(close) = self.take_steps(counted, now) {
                return Some(close);
            }
            let steps = match happened {
                Happened::Bytes => Vec::new(),
                Happened::Received(Received::Text(message)) => {
                    let steps = self.session.text(message.to_text().unwrap_or_default(), now);
                    self.frame_metrics.frame(self.session.kind(), &steps);
                    if let Some(Step::Say(ControlBody::Error(error), id)) = steps.first() {
                        self.log_refusal(error, id.as_ref());
                    }
                    steps
                }
                Happened::Received(Received::Binary(_)) => {
                    let steps = self.session.binary(now);
                    self.frame_metrics.refused(None);
                    steps
                }
                // A close is not counted as a frame.
                Happened::Received(Received::Control) if self.socket.has_left() => Vec::new(),
                Happened::Received(Received::Control) => self.session.control(now),
                Happened::Done(outcome, id) => {
                    self.frame_metrics.done(&outcome);
                    if let FrameOutcome::Say(ControlBody::Error(error)) = &outcome {
                        self.log_refusal(error, id.as_ref());
                    }
                    self.say_outcome(outcome, id);
                    Vec::new()
                }
                Happened::Verified(result, id) => {
                    let steps = self.session.verified(result, id, now, crate::clock::unix_now());
                    self.frame_metrics.verified(error_of(&steps));
                    steps
                }
                // Frames that wait for the log are not sent.
                Happened::Unreadable => return Some((CloseCode::Internal, "the log could not be read")),
                Happened::Ordered(ConnectionCommand::GoAway { reconnect_after_ms }) => {
                    vec![Step::Say(ControlBody::GoAway { reconnect_after_ms }, None)]
                }
                Happened::Ordered(ConnectionCommand::Close(code, reason)) => vec![Step::Close(code, reason)],
                Happened::Ordered(ConnectionCommand::End(code, sentence)) => {
                    return self.end(code, sentence).await;
                }
                Happened::SaidAll => Vec::new(),
                Happened::Tick => self.tick(now),
                Happened::Broke(e) => return close_for(&e),
                Happened::Gone => return None,
            };
            if let Some(close) = self.take_steps(steps, now) {
                return Some(close);
            }
            if self.closing.is_some_and(|(_, _, deadline)| now >= deadline || self.has_said_all()) {
                return self.closing.map(|(code, reason, _)| (code, reason));
            }
            self.set_timer();
        }
    }

    fn take_steps(&mut self, steps: Vec<Step>, now: Instant) -> Option<(CloseCode, &'static str)> {
        for step in steps {
            match step {
                Step::Say(body, id) => self.registration.handle.feed().control(encode(body, id)),
                Step::Verify(token, id) => {
                    let (context, address) = (self.context.clone(), self.registration.handle.address);
                    self.busy = Busy::Verifying(Box::pin(async move {
                        (context.authenticate(&token, address).await, id)
                    }));
                }
                Step::CarryOut(frame, id) => {
                    let (context, user_id, parent) =
                        (self.context.clone(), self.user_id.clone(), self.parent);
                    self.busy = Busy::Command(Box::pin(async move {
                        let outcome =
                            dispatch::carry_out(&context, &user_id, frame, id.as_ref(), parent).await;
                        (outcome, id)
                    }));
                }
                Step::Ping => {
                    if let Err(e) = self.socket.ping() {
                        return close_for(&e).or(Some((CloseCode::Internal, "a ping could not be sent")));
                    }
                }
                // Frames that wait for an unreadable log, or for a client that does not read, are not sent.
                Step::Close(code @ (CloseCode::SlowConsumer | CloseCode::Internal), reason) => {
                    return Some((code, reason));
                }
                Step::Close(code, reason) => {
                    self.closing.get_or_insert((code, reason, now + CLOSING_PATIENCE));
                }
                Step::Renewed(principal) => {
                    *self.registration.handle.principal() = principal.clone();
                    // As for a new connection: first visible to revocations, then checked.
                    if self.context.auth.checked(principal).is_err() {
                        let (code, sentence) = revoke::REVOKED;
                        self.registration.handle.command(ConnectionCommand::End(code, sentence));
                    }
                }
            }
        }
        None
    }

    /// Ends at once: queued frames are not sent, and a client that does not take the error in time is cut off.
    async fn end(&mut self, code: ErrorCode, sentence: &'static str) -> Close {
        let error = encode(ControlBody::Error(ErrorBody::new(code, sentence)), None);
        // Boxed: an open connection does not carry the size of this future.
        let told = Box::pin(tokio::time::timeout(ENDING_PATIENCE, say_now(&mut self.socket, error))).await;
        told.ok().map(|()| (CloseCode::Policy, sentence))
    }

    fn log_refusal(&self, error: &ErrorBody, request_id: Option<&RequestId>) {
        tracing::debug!(
            connection_id = %self.registration.handle.connection_id,
            user_id = %self.user_id,
            request_id = request_id.map(tracing::field::display),
            kind = self.session.kind(),
            error_code = error.error_code.as_str(),
            "request refused"
        );
    }

    fn say_outcome(&mut self, outcome: FrameOutcome, id: Option<RequestId>) {
        match outcome {
            FrameOutcome::Events => {}
            FrameOutcome::Say(body) => self.registration.handle.feed().control(encode(body, id)),
            FrameOutcome::SayAfter(seq, body) => {
                self.registration.handle.feed().control_after(seq, encode(body, id))
            }
            FrameOutcome::Start(start) => self.subscription.start(start.at, start.head.seq, id),
        }
    }

    fn tick(&mut self, now: Instant) -> Vec<Step> {
        if self.closing.is_some() {
            // The connection closes anyway.
            return Vec::new();
        }
        if self.subscription.is_too_slow(now) {
            self.context.metrics.slow_consumers.inc();
            return vec![Step::Close(
                CloseCode::SlowConsumer,
                "the client does not read: come back and resume",
            )];
        }
        if !self.busy.is_idle() {
            // The server does not read meanwhile, so the client is not silent.
            self.session.heard(now);
        }
        self.session.tick(now, crate::clock::unix_now())
    }
}
