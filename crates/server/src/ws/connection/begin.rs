//! How a connection begins: from its handshake to its place in the hub and its first events.

use std::{sync::Arc, time::Instant};

use wireproof_protocol::{CloseCode, ConnectionId, ControlBody, ErrorBody, ErrorCode, RequestId};

use super::{Busy, Connection};
use crate::{
    app::Context,
    auth::Principal,
    clock::Deadline,
    delivery::{encode, subscription::Subscription},
    error::Refusal,
    hub::{ConnectionCommand, ConnectionRegistration},
    session::Session,
    ws::{
        frame_metrics::FrameMetrics,
        handshake::{Close, Handshake, authenticate, say_now, welcome},
        socket::Socket,
    },
};

/// What a handshake leads to.
pub enum Begun {
    Refused(Box<Socket>, Close),
    Connection(Box<Connection>),
}

/// Authenticates a connection, registers and welcomes it.
pub async fn begin(context: &Arc<Context>, mut socket: Socket, mut handshake: Handshake) -> Begun {
    let mut frame_metrics = FrameMetrics::new(context.metrics.clone());
    let shown = authenticate(context, &mut socket, &mut frame_metrics, &mut handshake).await;
    let (principal, id) = match shown {
        Ok(shown) => shown,
        Err(close) => return Begun::Refused(Box::new(socket), close),
    };
    let (registration, subscription, session) = match open(context, &principal, id, &handshake).await {
        Ok(opened) => opened,
        Err(TurnedAway { result, error, close }) => {
            context.metrics.handshake(result);
            say_now(&mut socket, encode(ControlBody::Error(*error), None)).await;
            return Begun::Refused(Box::new(socket), Some(close));
        }
    };
    context.metrics.handshake("accepted");
    let timer = Deadline::at(session.next_tick().into());
    Begun::Connection(Box::new(Connection {
        context: context.clone(),
        user_id: principal.user_id,
        socket,
        session,
        frame_metrics,
        parent: handshake.parent,
        registration,
        subscription,
        busy: Busy::Idle,
        timer,
        written: 0,
        closing: None,
    }))
}

/// Why a connection with good credentials is not opened.
struct TurnedAway {
    /// How the handshake is counted.
    result: &'static str,
    /// The error for the client.
    error: Box<ErrorBody>,
    close: (CloseCode, &'static str),
}

/// Registers a connection and queues its welcome.
async fn open(
    context: &Context,
    principal: &Principal,
    id: Option<RequestId>,
    handshake: &Handshake,
) -> Result<(ConnectionRegistration, Subscription, Session), TurnedAway> {
    let (user_id, address, limits) = (&principal.user_id, handshake.address, &context.limits);
    let (soft_bytes, most) = (limits.queue_soft_bytes, limits.connections_per_user);
    let registered = context.hub.register(principal, ConnectionId::new(), address, soft_bytes, most);
    let registration = registered.ok_or_else(|| {
        let sentence =
            format!("You have {} connections open, which is the most.", limits.connections_per_user);
        let error = Box::new(ErrorBody::new(ErrorCode::TooManyConnections, sentence));
        TurnedAway { result: "too_many", error, close: (CloseCode::TryLater, "too many connections") }
    })?;
    // A later revocation finds the connection in the hub; an earlier one is seen here.
    context.auth.checked(principal.clone()).map_err(|revoked| {
        let close = (CloseCode::Policy, "authentication is needed");
        TurnedAway { result: "unauthenticated", error: Refusal::from(revoked).body, close }
    })?;
    // A handshake counts as a frame of its user that reads.
    let allowance = context.rates.allowance(user_id, address);
    let feed = registration.handle.shared_feed();
    let mut subscription = Subscription::new(context.log.clone(), user_id.clone(), feed);
    let welcomed = match allowance.other(Instant::now()) {
        Ok(()) => {
            let requested = handshake.requested.as_ref();
            welcome(context, user_id, &registration, &mut subscription, requested, id).await
        }
        Err(exceeded) => Err(exceeded.into()),
    };
    welcomed.map_err(|refusal| {
        let (result, close) = match refusal.code() {
            ErrorCode::RateLimited => ("rate_limited", (CloseCode::TryLater, "too fast: come back later")),
            _ => ("failed", (CloseCode::Internal, "the welcome failed")),
        };
        TurnedAway { result, error: refusal.body, close }
    })?;
    if context.shutdown.draining.is_cancelled() {
        // It came after the others were told to go: it is closed without a `go_away`.
        registration.handle.command(ConnectionCommand::Close(CloseCode::Restart, "the server restarts"));
    }
    let (now, unix_now) = (Instant::now(), crate::clock::unix_now());
    let session = Session::new(limits, principal, allowance, now, unix_now, rand::random());
    Ok((registration, subscription, session))
}
