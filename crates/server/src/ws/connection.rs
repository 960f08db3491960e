//! One connection's task: it reads, carries out, and writes, and no part of it waits for another.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context as Wake, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio_tungstenite::tungstenite::Error;
use wireproof_protocol::{
    CloseCode, ConnectionId, ControlBody, ErrorBody, ErrorCode, Position, RequestId, UserId,
};

use super::{
    dispatch::{self, Outcome},
    opening::{self, Close, Opening, begin, encode, say_now},
    resume::{self, Beginning, Next},
    socket::{Received, Socket, close_for},
    tally::{Tally, error_of},
};
use crate::{
    app::{Context, revoke},
    auth::{AuthError, Principal},
    clock::Deadline,
    error::Refusal,
    hub::{Order, Registration},
    sabotage::Bug,
    session::{Session, Step},
    store::StoreError,
    traces::TraceParent,
};

mod busy;
#[cfg(feature = "sabotage")]
mod faulty;
mod writing;

use busy::Busy;

/// Control frames that may wait for a slow client before no more requests are read from it.
const WAITING_CONTROLS: usize = 64;
/// How long what is queued may take to go out before a close.
const CLOSING_PATIENCE: Duration = Duration::from_secs(5);
/// Times that the log is tried again when it cannot be read, before the connection is closed.
const LOG_TRIES: u32 = 5;
/// Before the first of them; twice as long before each further one.
const LOG_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection that is ended at once may take to hear why.
const ENDING_PATIENCE: Duration = Duration::from_millis(500);

/// Serves a connection to its end.
pub async fn serve(context: Arc<Context>, socket: Socket, opening: Opening) {
    let (metrics, began) = (context.metrics.clone(), Instant::now());
    let mut stage = metrics.connection();
    let address = opening.address;
    let (socket, close) = match Box::pin(open(&context, socket, opening)).await {
        Opened::Refused(socket, close) => (*socket, close),
        Opened::Connection(mut connection) => {
            stage.enter("open");
            let connection_id = connection.registration.outbox.connection_id;
            tracing::info!(%connection_id, user_id = %connection.user_id, %address, "connection opened");
            let close = connection.run().await;
            #[cfg(feature = "sabotage")]
            connection.over().await;
            tracing::info!(
                %connection_id,
                user_id = %connection.user_id,
                %address,
                code = close.map(|(code, _)| code.number()),
                reason = close.map(|(_, reason)| reason),
                seconds = began.elapsed().as_secs_f64(),
                bytes_received = connection.socket.read(),
                bytes_sent = connection.socket.written(),
                frames = connection.tally.frames,
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

enum Opened {
    Refused(Box<Socket>, Close),
    Connection(Box<Connection>),
}

struct Connection {
    context: Arc<Context>,
    user_id: UserId,
    socket: Socket,
    session: Session,
    tally: Tally,
    /// Where in a trace its handshake came from.
    parent: Option<TraceParent>,
    registration: Registration,
    busy: Busy,
    /// What comes next of the log, or the state in its place.
    page: Option<BoxFuture<'static, (u64, Result<Next, StoreError>)>>,
    /// Times in a row that the log could not be read.
    failures: u32,
    timer: Deadline,
    /// Since when the client takes nothing of what waits for it.
    stalled_since: Option<Instant>,
    /// Bytes that the kernel had taken when that was last looked at.
    written: u64,
    closing: Option<(CloseCode, &'static str, Instant)>,
    #[cfg(feature = "sabotage")]
    wrong: writing::wrong::Wrong,
}

/// What woke the connection.
enum Happened {
    Received(Received),
    Done(Outcome, Option<RequestId>),
    Verified(Result<Principal, AuthError>, Option<RequestId>),
    /// Bytes that are to be counted, and no message.
    Bytes,
    Page(u64, Result<Next, StoreError>),
    Ordered(Order),
    /// What was due before a close is out.
    SaidAll,
    Tick,
    Broke(Error),
    Gone,
}

async fn open(context: &Arc<Context>, mut socket: Socket, mut handshake: Opening) -> Opened {
    let mut tally = Tally::new(context.metrics.clone());
    let (principal, welcomed_for) =
        match opening::authenticate(context, &mut socket, &mut tally, &mut handshake).await {
            Ok(found) => found,
            Err(close) => return Opened::Refused(Box::new(socket), close),
        };
    let user_id = principal.user_id.clone();
    let (connection_id, address, limits) = (connection_id(context), handshake.address, &context.limits);
    let (soft_bytes, most) = (limits.queue_soft_bytes, limits.connections_per_user);
    let most = if context.bugs.on(Bug::ConnectionLimitIgnored) { 0 } else { most };
    #[cfg(feature = "sabotage")]
    let found = context.hub.look(&user_id).await;
    let registered = context.hub.register(&principal, connection_id, address, soft_bytes, most);
    let Some(registration) = registered else {
        context.metrics.handshake("too_many");
        let sentence =
            format!("You have {} connections open, which is the most.", limits.connections_per_user);
        let error = ErrorBody::new(ErrorCode::TooManyConnections, sentence);
        say_now(&mut socket, encode(ControlBody::Error(error), None)).await;
        return Opened::Refused(Box::new(socket), Some((CloseCode::TryLater, "too many connections")));
    };
    #[cfg(feature = "sabotage")]
    context.hub.put(&registration, found);
    // What is revoked from here on finds the connection in the hub; what was revoked before is seen here.
    if let Err(revoked) = context.auth.checked(principal.clone()) {
        context.metrics.handshake("unauthenticated");
        say_now(&mut socket, encode(ControlBody::Error(*Refusal::from(revoked).body), None)).await;
        return Opened::Refused(Box::new(socket), Some((CloseCode::Policy, "authentication is needed")));
    }
    // A handshake is a frame of its user, a position in it one that reads.
    let sharer = context.bugs.on(Bug::RateLimitShared).then(|| UserId::new("everybody").ok()).flatten();
    let allowance = context.rates.allowance(sharer.as_ref().unwrap_or(&user_id), address);
    let welcomed = match allowance.other(Instant::now()) {
        Ok(()) => opening::welcome(context, &user_id, &registration, handshake.asked, welcomed_for).await,
        Err(exceeded) => Err(exceeded.into()),
    };
    if let Err(refusal) = welcomed {
        let (result, close) = match refusal.code() {
            ErrorCode::RateLimited => ("rate_limited", (CloseCode::TryLater, "too fast: come back later")),
            _ => ("failed", (CloseCode::Internal, "the welcome failed")),
        };
        context.metrics.handshake(result);
        say_now(&mut socket, encode(ControlBody::Error(*refusal.body), None)).await;
        return Opened::Refused(Box::new(socket), Some(close));
    }
    if context.shutdown.draining.is_cancelled() {
        // It came in while the others were told to go: it is told by its close.
        registration.outbox.order(Order::Close(CloseCode::Restart, "the server restarts"));
    }
    drop(handshake.unauthenticated);
    drop(handshake.admitted);
    context.metrics.handshake("accepted");
    let (now, unix_now) = (Instant::now(), crate::clock::unix_now());
    let session = Session::new(limits, &principal, allowance, now, unix_now, rand::random());
    let session = session.with_bugs(context.bugs.clone());
    let timer = Deadline::at(session.next_tick().into());
    Opened::Connection(Box::new(Connection {
        context: context.clone(),
        user_id,
        socket,
        session,
        tally,
        parent: handshake.parent,
        registration,
        busy: Busy::Idle,
        page: None,
        failures: 0,
        timer,
        stalled_since: None,
        written: 0,
        closing: None,
        #[cfg(feature = "sabotage")]
        wrong: writing::wrong::Wrong::default(),
    }))
}

fn connection_id(context: &Context) -> ConnectionId {
    if context.bugs.on(Bug::ConnectionIdRepeated) {
        return ConnectionId::from_bytes((crate::clock::unix_now() as u128).to_be_bytes());
    }
    ConnectionId::new()
}

/// Bugs: the user whom a message names.
fn named_user(text: &str) -> Option<UserId> {
    let frame: serde_json::Value = serde_json::from_str(text).ok()?;
    UserId::new(frame.get("user_id").or_else(|| frame.get("payload")?.get("user_id"))?.as_str()?).ok()
}

impl Connection {
    /// Lives until somebody ends it; returns how to say goodbye.
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
                Happened::Received(Received::Text(_))
                    if self.context.bugs.on(Bug::RenewalDropsMessage) && !self.busy.is_idle() =>
                {
                    Vec::new()
                }
                Happened::Received(Received::Text(message)) => {
                    if self.context.bugs.on(Bug::MessageUserBelieved)
                        && let Some(named) = named_user(message.to_text().unwrap_or_default())
                    {
                        self.user_id = named;
                    }
                    let steps = self.session.text(message.to_text().unwrap_or_default(), now);
                    self.tally.frame(self.session.kind(), &steps);
                    if let Some(Step::Say(ControlBody::Error(error), id)) = steps.first() {
                        self.log_refusal(error, id.as_ref());
                    }
                    steps
                }
                Happened::Received(Received::Binary(_)) => {
                    let steps = self.session.binary(now);
                    self.tally.refused(None);
                    steps
                }
                // A goodbye is no frame too many.
                Happened::Received(Received::Control) if self.socket.has_left() => Vec::new(),
                Happened::Received(Received::Control) => self.session.control(now),
                Happened::Done(outcome, id) => {
                    self.tally.done(&outcome);
                    if let Outcome::Say(ControlBody::Error(error)) = &outcome {
                        self.log_refusal(error, id.as_ref());
                    }
                    self.say_outcome(outcome, id);
                    Vec::new()
                }
                Happened::Verified(result, id) => {
                    let steps = self.session.verified(result, id, now, crate::clock::unix_now());
                    self.tally.verified(error_of(&steps));
                    steps
                }
                Happened::Page(after, read) => self.take_page(after, read),
                Happened::Ordered(Order::GoAway { reconnect_after_ms }) => {
                    vec![Step::Say(ControlBody::GoAway { reconnect_after_ms }, None)]
                }
                Happened::Ordered(Order::Close(code, reason)) => vec![Step::Close(code, reason)],
                Happened::Ordered(Order::End(code, sentence)) => return self.end(code, sentence).await,
                Happened::SaidAll => Vec::new(),
                Happened::Tick => self.tick(now),
                Happened::Broke(e) => {
                    if self.context.bugs.on(Bug::PlaceLeaked) {
                        self.haunt();
                    }
                    return close_for(&e);
                }
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

    /// Bugs: the place of this connection is never given back.
    fn haunt(&self) {
        let (outbox, soft_bytes) = (&self.registration.outbox, self.context.limits.queue_soft_bytes);
        let principal = outbox.principal().clone();
        let ghost =
            self.context.hub.register(&principal, outbox.connection_id, outbox.address, soft_bytes, 0);
        std::mem::forget(ghost);
    }

    fn take_steps(&mut self, steps: Vec<Step>, now: Instant) -> Option<(CloseCode, &'static str)> {
        for step in steps {
            match step {
                Step::Say(body, id) => self.registration.outbox.feed().control(self.said(body, id)),
                Step::Verify(token, id) => {
                    let (context, address) = (self.context.clone(), self.registration.outbox.address);
                    self.busy = Busy::Verifying(Box::pin(async move {
                        #[cfg(feature = "sabotage")]
                        faulty::look(&context).await;
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
                // What waits for a log that cannot be read is never said, nor what waits for a client that does not read.
                Step::Close(code @ (CloseCode::SlowConsumer | CloseCode::Internal), reason) => {
                    return Some((code, reason));
                }
                Step::Close(code, reason) => {
                    self.closing.get_or_insert((code, reason, now + CLOSING_PATIENCE));
                }
                Step::Renewed(principal) => {
                    if self.context.bugs.on(Bug::RenewalChangesUser) {
                        self.user_id = principal.user_id.clone();
                    }
                    *self.registration.outbox.principal() = principal.clone();
                    // As at the opening: first seen by those who revoke, then looked at.
                    if self.context.auth.checked(principal).is_err() {
                        let (code, sentence) = revoke::REVOKED;
                        self.registration.outbox.order(Order::End(code, sentence));
                    }
                }
            }
        }
        None
    }

    /// A control frame as it goes on the wire.
    fn said(&self, body: ControlBody, mut id: Option<RequestId>) -> Bytes {
        let bugs = &self.context.bugs;
        let ControlBody::Error(mut error) = body else { return encode(body, id) };
        if bugs.on(Bug::CauseInError) {
            let cause = format!(" ({:?} at {}:{})", error.error_code, file!(), line!());
            error.message.push_str(&cause);
        }
        if bugs.on(Bug::ErrorWithoutRequest) {
            id = None;
        }
        let frame = encode(ControlBody::Error(error), id);
        if !bugs.on(Bug::ErrorWithoutCode) {
            return frame;
        }
        let mut without: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&frame).unwrap_or_default();
        without.remove("error_code");
        serde_json::to_vec(&without).unwrap_or_default().into()
    }

    /// Ends at once: what is queued stays unsaid, and who does not take the reason in time is cut off.
    async fn end(&mut self, code: ErrorCode, sentence: &'static str) -> Close {
        let error = encode(ControlBody::Error(ErrorBody::new(code, sentence)), None);
        // Boxed: a connection does not carry its end through its life.
        let told = Box::pin(tokio::time::timeout(ENDING_PATIENCE, say_now(&mut self.socket, error))).await;
        told.ok().map(|()| (CloseCode::Policy, sentence))
    }

    fn log_refusal(&self, error: &ErrorBody, request_id: Option<&RequestId>) {
        tracing::debug!(
            connection_id = %self.registration.outbox.connection_id,
            user_id = %self.user_id,
            request_id = request_id.map(tracing::field::display),
            kind = self.session.kind(),
            error_code = error.error_code.as_str(),
            "request refused"
        );
    }

    fn say_outcome(&mut self, outcome: Outcome, id: Option<RequestId>) {
        let id = id.filter(|_| !self.context.bugs.on(Bug::RequestIdNotEchoed));
        match outcome {
            Outcome::Events => {}
            Outcome::Say(body) => self.registration.outbox.feed().control(self.said(body, id)),
            Outcome::SayAfter(seq, body) => {
                self.registration.outbox.feed().control_after(seq, encode(body, id))
            }
            Outcome::Begin(beginning, head) => begin(&self.registration, *beginning, head, id),
        }
    }

    /// Goes on with what was read of the log; a log that cannot be read is tried again, for a while.
    fn take_page(&mut self, after: u64, read: Result<Next, StoreError>) -> Vec<Step> {
        let metrics = &self.context.metrics;
        match read {
            Ok(Next::Page(page)) => {
                self.failures = 0;
                let mut feed = self.registration.outbox.feed();
                metrics.log_pages.inc();
                metrics.catch_ups.inc_by(feed.take_catch_ups());
                feed.page(after, page);
                Vec::new()
            }
            Ok(Next::Snapshot(snapshot)) => {
                self.failures = 0;
                // The client may have asked for another place meanwhile.
                if self.registration.outbox.feed().wants_page() == Some(after) {
                    super::tally::snapshot(metrics, snapshot.reason);
                    let position = Position { epoch: wireproof_protocol::Epoch::new(0), seq: snapshot.seq };
                    begin(&self.registration, Beginning::Snapshot(snapshot), position, None);
                }
                Vec::new()
            }
            Err(error) => {
                tracing::error!(user_id = %self.user_id, %error, "a user's log could not be read");
                self.failures += 1;
                if self.failures <= LOG_TRIES {
                    return Vec::new();
                }
                vec![Step::Close(CloseCode::Internal, "the log could not be read")]
            }
        }
    }

    fn tick(&mut self, now: Instant) -> Vec<Step> {
        if self.closing.is_some() {
            // The end is near and said: the clock has nothing to add.
            return Vec::new();
        }
        let limits = &self.context.limits;
        let stall = Duration::from_secs_f64(limits.stall_seconds);
        let stalled = self.stalled_since.is_some_and(|since| now >= since + stall);
        if stalled || self.registration.outbox.feed().missed_bytes() > limits.queue_hard_bytes {
            self.context.metrics.slow_consumers.inc();
            return vec![Step::Close(
                CloseCode::SlowConsumer,
                "the client does not read: come back and resume",
            )];
        }
        if !self.busy.is_idle() {
            // Nothing is read of it meanwhile, so its silence is ours.
            self.session.heard(now);
        }
        self.session.tick(now, crate::clock::unix_now())
    }

    fn set_timer(&mut self) {
        let stall = Duration::from_secs_f64(self.context.limits.stall_seconds);
        let next = match (self.closing, self.stalled_since) {
            (Some((_, _, deadline)), _) => deadline,
            (None, Some(since)) => self.session.next_tick().min(since + stall),
            (None, None) => self.session.next_tick(),
        };
        if self.timer.due() != next.into() {
            self.timer.reset(next.into());
        }
    }

    fn has_said_all(&self) -> bool {
        let feed = self.registration.outbox.feed();
        // Who shall come back to a restarted server gets the log to its head, who is sent away what is queued.
        let restart = matches!(self.closing, Some((CloseCode::Restart, ..)));
        let said = if restart { feed.is_idle() } else { !feed.is_ready() && feed.waiting_controls() == 0 };
        said && self.stalled_since.is_none() && self.busy.is_idle()
    }

    /// True when the next request may be read.
    fn may_read(&self) -> bool {
        let drops = self.context.bugs.on(Bug::RenewalDropsMessage) && matches!(self.busy, Busy::Verifying(_));
        (self.busy.is_idle() || drops) && self.registration.outbox.feed().takes_controls(WAITING_CONTROLS)
    }

    fn poll(&mut self, cx: &mut Wake<'_>) -> Poll<Happened> {
        let outbox = self.registration.outbox.clone();
        outbox.waker().register(cx.waker());
        if let Err(e) = self.write(cx) {
            return Poll::Ready(Happened::Broke(e));
        }
        // A stall begins while writing, and nothing else may ever happen to this connection but its end.
        self.set_timer();
        if self.closing.is_some() && self.has_said_all() {
            return Poll::Ready(Happened::SaidAll);
        }
        if let Some(order) = outbox.take_order() {
            return Poll::Ready(Happened::Ordered(order));
        }
        if self.closing.is_none()
            && self.stalled_since.is_some()
            && outbox.feed().missed_bytes() > self.context.limits.queue_hard_bytes
        {
            return Poll::Ready(Happened::Tick);
        }
        if let Poll::Ready((after, page)) = self.poll_page(cx) {
            return Poll::Ready(Happened::Page(after, page));
        }
        if let Poll::Ready(happened) = self.busy.poll(cx) {
            return Poll::Ready(happened);
        }
        if self.socket.has_left() {
            // Its goodbye has been answered, or will be once the client takes it; reading on would end that.
            if self.stalled_since.is_none() {
                return Poll::Ready(Happened::Gone);
            }
            return Pin::new(&mut self.timer).poll(cx).map(|()| Happened::Tick);
        }
        if self.may_read()
            && let Poll::Ready(received) = self.socket.poll_receive(cx)
        {
            return Poll::Ready(match received {
                None => Happened::Gone,
                Some(Err(e)) => Happened::Broke(e),
                Some(Ok(received)) => Happened::Received(received),
            });
        }
        if self.socket.has_due() {
            return Poll::Ready(Happened::Bytes);
        }
        if Pin::new(&mut self.timer).poll(cx).is_ready() {
            return Poll::Ready(Happened::Tick);
        }
        Poll::Pending
    }

    fn poll_page(&mut self, cx: &mut Wake<'_>) -> Poll<(u64, Result<Next, StoreError>)> {
        if self.page.is_none()
            && let Some(after) = self.registration.outbox.feed().wants_page()
        {
            let (context, user_id) = (self.context.clone(), self.user_id.clone());
            let pause = self.failures.checked_sub(1).map(|before| LOG_PAUSE * 2_u32.pow(before));
            self.page = Some(Box::pin(async move {
                if let Some(pause) = pause {
                    tokio::time::sleep(pause).await;
                }
                (after, resume::read_on(&context, &user_id, after).await)
            }));
        }
        let Some(page) = &mut self.page else { return Poll::Pending };
        let read = std::task::ready!(page.as_mut().poll(cx));
        self.page = None;
        Poll::Ready(read)
    }
}
