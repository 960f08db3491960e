//! How a connection begins: a good token, the welcome as its first frame, and the place in the log where it starts.

use std::{
    future::poll_fn,
    time::{Duration, Instant},
};

use bytes::Bytes;
use wireproof_protocol::{ActiveRun, CloseCode, Control, ControlBody, Position, RequestId, UserId};

use super::{
    Context,
    resume::{self, Asked, Beginning},
    socket::{Received, Socket, close_for},
};
use crate::{
    auth::Principal,
    hub::Registration,
    session::{Session, Step},
    store::StoreError,
};

/// How long a connection that is refused has to take the reason.
const TELLING_PATIENCE: Duration = Duration::from_secs(5);

/// How to say goodbye, when there is somebody to say it to.
pub type Close = Option<(CloseCode, &'static str)>;

/// What a handshake brought.
pub struct Opening {
    /// The token, if one came in the headers.
    pub token: Option<String>,
    /// The position to resume from, if one was given.
    pub asked: Option<Asked>,
}

/// A control frame as it goes on the wire.
pub fn encode(body: ControlBody, id: Option<RequestId>) -> Bytes {
    let control = Control { body, id, timestamp: crate::clock::unix_now() };
    // Serialising our own types does not fail.
    serde_json::to_vec(&control).unwrap_or_default().into()
}

/// Waits for a good token: that of the headers, or the first frame's within its deadline.
pub async fn authenticate(
    context: &Context,
    socket: &mut Socket,
    session: &mut Session,
    token: Option<String>,
) -> Result<(Principal, Option<RequestId>), Close> {
    let mut steps = match token {
        Some(token) => vec![Step::Verify(token, None)],
        None => Vec::new(),
    };
    loop {
        for step in std::mem::take(&mut steps) {
            match step {
                Step::Verify(token, id) => {
                    let result = context.auth.authenticate(&token).await;
                    let now = Instant::now();
                    let verified = session.verified(result, id.clone(), now, crate::clock::unix_now());
                    if let Some(Step::Welcome(principal)) = verified.first() {
                        return Ok((principal.clone(), id));
                    }
                    steps.extend(verified);
                }
                Step::Say(body, id) => say_now(socket, encode(body, id)).await,
                Step::Close(code, reason) => return Err(Some((code, reason))),
                Step::Ping | Step::CarryOut(..) | Step::Welcome(_) => {}
            }
        }
        if !steps.is_empty() {
            continue;
        }
        let deadline = session.next_tick();
        let received = tokio::time::timeout_at(deadline.into(), poll_fn(|cx| socket.poll_receive(cx)));
        let received = tokio::select! {
            received = received => received,
            () = context.shutdown.draining.cancelled() => {
                return Err(Some((CloseCode::Restart, "the server restarts")));
            }
        };
        steps = match received {
            Err(_) => session.tick(Instant::now(), crate::clock::unix_now()),
            Ok(None) => return Err(None),
            Ok(Some(Err(e))) => return Err(close_for(&e)),
            Ok(Some(Ok(Received::Text(message)))) => {
                session.text(message.to_text().unwrap_or_default(), Instant::now())
            }
            Ok(Some(Ok(Received::Binary))) => session.binary(Instant::now()),
            Ok(Some(Ok(Received::Control))) => Vec::new(),
        };
    }
}

/// Says one thing to a connection that is being refused.
pub async fn say_now(socket: &mut Socket, frame: Bytes) {
    let sent = async {
        poll_fn(|cx| socket.poll_ready(cx)).await?;
        socket.send(frame)?;
        poll_fn(|cx| socket.poll_flush(cx)).await
    };
    // A client that cannot be told is closed all the same.
    let _ = tokio::time::timeout(TELLING_PATIENCE, sent).await;
}

/// Queues the first frame of a connection, and places its feed.
pub async fn welcome(
    context: &Context,
    user_id: &UserId,
    registration: &Registration,
    asked: Option<Asked>,
    id: Option<RequestId>,
) -> Result<(), StoreError> {
    // The connection is registered, so what is committed after this head is read will be noted.
    let head = context.store.head(user_id).await?;
    let beginning = match &asked {
        None => Beginning::Head,
        Some(asked) => resume::begin(&*context.store, user_id, head, resume::parse(asked)).await?,
    };
    let active_runs = context.store.active_runs(Some(user_id)).await?;
    let now = crate::clock::unix_now();
    let body = ControlBody::ConnectionEstablished {
        connection_id: registration.outbox.connection_id,
        user_id: user_id.clone(),
        epoch: head.epoch,
        seq: head.seq,
        resumed: matches!(beginning, Beginning::Replay(..)),
        active_runs: active_runs
            .into_iter()
            .map(|run| ActiveRun { run_id: run.run_id, thread_id: run.thread_id, agent_name: run.agent_name })
            .collect(),
        limits: context.limits.announced(),
        server_time: now,
        insecure_no_auth: false,
    };
    registration.outbox.feed().control(encode(body, None));
    if id.is_some() {
        let ack = ControlBody::Ack { thread_id: None, run_id: None, approval_id: None, outcome: None };
        registration.outbox.feed().control(encode(ack, id));
    }
    begin(registration, beginning, head, None);
    Ok(())
}

/// Places a feed, and says when it has caught up.
pub fn begin(registration: &Registration, beginning: Beginning, head: Position, id: Option<RequestId>) {
    let mut feed = registration.outbox.feed();
    match beginning {
        Beginning::Head => feed.place(head.seq),
        Beginning::Replay(after, page) => {
            feed.place_in_log(after);
            feed.page(after, page);
            feed.owe_caught_up(head.seq, encode(ControlBody::CaughtUp { seq: head.seq }, id));
        }
        Beginning::Snapshot(body, seq) => {
            // A snapshot that steps in for a replay completes what the replay owes.
            let stands_in = id.is_none() && feed.owes_caught_up();
            feed.place_with_snapshot(seq, encode(*body, None));
            if !stands_in {
                feed.owe_caught_up(seq, encode(ControlBody::CaughtUp { seq }, id));
            }
        }
        Beginning::Refused(refusal) => {
            feed.place_unless_placed(head.seq);
            feed.control(encode(ControlBody::Error(*refusal.body), id));
        }
    }
}
