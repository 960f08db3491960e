//! How a connection begins: a good token, the welcome as its first frame, and the place in the log where it starts.

use std::{
    future::poll_fn,
    time::{Duration, Instant},
};

use bytes::Bytes;
use wireproof_protocol::{ActiveRun, CloseCode, ControlBody, ErrorCode, RequestId, UserId};

use super::{
    frame_metrics::FrameMetrics,
    socket::{Received, Socket, close_for},
};
use crate::{
    app::Context,
    auth::{Principal, token::Shown},
    clock::Deadline,
    delivery::{
        encode,
        start::{RequestedPosition, Start, StartAt},
        subscription::Subscription,
    },
    error::Refusal,
    hub::ConnectionRegistration,
    limits::{ClientAddress, permits::Permit},
    session::{Greeting, Refused, ShownToken},
    traces::TraceParent,
};

/// How long a refused client has to take the error.
const TELLING_PATIENCE: Duration = Duration::from_secs(5);
/// How long the broker may take to join a user; then the connection is turned away, and its client comes back.
const JOINING: Duration = Duration::from_secs(10);
/// Pings and pongs that may come before the first frame.
const CONTROLS: usize = 16;

/// How to close a connection; `None` when the client is gone.
pub type Close = Option<(CloseCode, &'static str)>;

/// The contents of a handshake.
pub struct Handshake {
    /// The credentials that came with it.
    pub shown: Option<Shown>,
    /// Where it came from.
    pub address: ClientAddress,
    /// Its place in a trace, if it names one.
    pub parent: Option<TraceParent>,
    /// The position to resume from, if one was given.
    pub requested: Option<RequestedPosition>,
    /// Its place among the handshakes in progress.
    pub admitted: Option<Permit>,
    /// Its place among those of its address that wait for their first frame.
    pub unauthenticated: Option<Permit>,
}

/// How a handshake ends that brings no user.
enum Ended {
    /// Refused, with an error for the client.
    Refused(Refused),
    /// In another way: how it is counted, and how to close.
    Otherwise(&'static str, Close),
}

impl From<Refused> for Ended {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// Waits for good credentials: those of the handshake, or the first frame's within its deadline.
pub async fn authenticate(
    context: &Context,
    socket: &mut Socket,
    frame_metrics: &mut FrameMetrics,
    handshake: &mut Handshake,
) -> Result<(Principal, Option<RequestId>), Close> {
    let refused = match principal(context, socket, frame_metrics, handshake).await {
        Ok(found) => return Ok(found),
        Err(Ended::Otherwise(result, close)) => {
            context.metrics.handshake(result);
            return Err(close);
        }
        Err(Ended::Refused(refused)) => refused,
    };
    let (result, (code, reason)) = (refused.code().map_or("unauthenticated", result_of), refused.close);
    if let Some((error, id)) = refused.error {
        say_now(socket, encode(ControlBody::Error(*error), id)).await;
    }
    context.metrics.handshake(result);
    tracing::debug!(address = %handshake.address, why = result, code = code.number(), "handshake refused");
    Err(Some((code, reason)))
}

/// The principal of the handshake's credentials or of the first frame, and the request that showed it.
async fn principal(
    context: &Context,
    socket: &mut Socket,
    frame_metrics: &mut FrameMetrics,
    handshake: &mut Handshake,
) -> Result<(Principal, Option<RequestId>), Ended> {
    let mut greeting = Greeting::new(&context.limits, Instant::now());
    let (token, id) = match handshake.shown.take() {
        Some(Shown::Token(token)) => (token, None),
        Some(Shown::Ticket(ticket)) => {
            return Ok((greeting.verified(context.auth.redeem(&ticket), None)?, None));
        }
        None => {
            if let Ok(nobody) = context.auth.unauthenticated() {
                return Ok((greeting.verified(Ok(nobody), None)?, None));
            }
            // From here on it waits for its client, and counts only for its address.
            handshake.admitted = None;
            first_frame(context, socket, frame_metrics, &mut greeting).await?
        }
    };
    let result = match context.authenticate_now(&token, handshake.address) {
        Some(result) => result,
        None => {
            // It waits for its issuer now, and counts only for its address.
            handshake.admitted = None;
            context.authenticate_asking(&token, handshake.address).await
        }
    };
    let verified = greeting.verified(result, id.clone());
    frame_metrics.verified(verified.as_ref().err().and_then(Refused::code));
    Ok((verified?, id))
}

/// Waits for the first frame, which has to show a token.
async fn first_frame(
    context: &Context,
    socket: &mut Socket,
    frame_metrics: &mut FrameMetrics,
    greeting: &mut Greeting,
) -> Result<ShownToken, Ended> {
    let mut controls = 0;
    loop {
        let received = tokio::select! {
            biased;
            received = poll_fn(|cx| socket.poll_receive(cx)) => received,
            () = Deadline::at(greeting.next_tick().into()) => match greeting.tick(Instant::now()) {
                Some(refused) => return Err(refused.into()),
                None => continue,
            },
            () = context.shutdown.draining.cancelled() => {
                return Err(Ended::Otherwise("draining", Some((CloseCode::Restart, "the server restarts"))));
            }
        };
        match received {
            None => return Err(Ended::Otherwise("gone", None)),
            Some(Err(e)) => {
                let close = close_for(&e);
                return Err(Ended::Otherwise(
                    if close.is_some() { "unauthenticated" } else { "gone" },
                    close,
                ));
            }
            Some(Ok(Received::Text(message))) => {
                let shown = greeting.text(message.to_text().unwrap_or_default());
                frame_metrics.came(greeting.kind(), shown.as_ref().err().and_then(Refused::code));
                return Ok(shown?);
            }
            Some(Ok(Received::Binary(_))) => {
                frame_metrics.refused(None);
                return Err(greeting.binary().into());
            }
            Some(Ok(Received::Control)) if controls < CONTROLS => controls += 1,
            Some(Ok(Received::Control)) => {
                let close = (CloseCode::Policy, "too many pings");
                return Err(Ended::Otherwise("unauthenticated", Some(close)));
            }
        }
    }
}

/// How a handshake is counted that was refused with this code.
fn result_of(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::TokenExpired => "expired",
        ErrorCode::Forbidden => "forbidden",
        ErrorCode::RateLimited => "rate_limited",
        ErrorCode::Internal => "failed",
        _ => "unauthenticated",
    }
}

/// Sends one frame to a client that is being refused.
pub async fn say_now(socket: &mut Socket, frame: Bytes) {
    let sent = async {
        poll_fn(|cx| socket.poll_ready(cx)).await?;
        socket.send(frame)?;
        poll_fn(|cx| socket.poll_flush(cx)).await
    };
    // A client that does not take it is closed as well.
    let _ = tokio::time::timeout(TELLING_PATIENCE, sent).await;
}

/// Queues the first frame of a connection, and starts its events. A connection that requests more than its user may
/// read now is not opened: without the missed events it would be useless to its client.
pub async fn welcome(
    context: &Context,
    user_id: &UserId,
    registration: &ConnectionRegistration,
    subscription: &mut Subscription,
    requested: Option<&RequestedPosition>,
    id: Option<RequestId>,
) -> Result<(), Refusal> {
    let position = requested.map(RequestedPosition::parse);
    // The connection is registered and its user joined, so what is committed after the head is read will be noted.
    if !registration.join(JOINING).await {
        tracing::error!(%user_id, "the broker did not join a user in time");
        let sentence = "The server cannot hear of your events now; try again.";
        return Err(Refusal::new(ErrorCode::Internal, sentence).after(1.0));
    }
    let Start { head, active_runs, at } = context.log.open(user_id, position).await?;
    registration.handle.feed().on_line(head.epoch);
    let at = match at {
        StartAt::Refused(refusal) if refusal.code() == ErrorCode::RateLimited => return Err(refusal),
        at => at,
    };
    let body = ControlBody::ConnectionEstablished {
        connection_id: registration.handle.connection_id,
        user_id: user_id.clone(),
        epoch: head.epoch,
        seq: head.seq,
        resumed: matches!(at, StartAt::Replay(..)),
        active_runs: active_runs
            .into_iter()
            .map(|run| ActiveRun { run_id: run.run_id, thread_id: run.thread_id, agent_name: run.agent_name })
            .collect(),
        limits: context.limits.announced(),
        server_time: crate::clock::unix_now(),
        features: wireproof_protocol::FEATURES.map(str::to_owned).to_vec(),
        insecure_no_auth: context.auth.insecure_no_auth,
    };
    registration.handle.feed().control(encode(body, None));
    if id.is_some() {
        let ack = ControlBody::Ack { thread_id: None, run_id: None, approval_id: None, outcome: None };
        registration.handle.feed().control(encode(ack, id));
    }
    subscription.start(at, head.seq, None);
    Ok(())
}
