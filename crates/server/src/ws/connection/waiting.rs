//! What wakes a connection's task: its feed, an order, its request, its client or its clock.

use std::{
    future::Future,
    pin::Pin,
    task::{Context as Wake, Poll},
    time::Instant,
};

use tokio_tungstenite::tungstenite::Error;
use wireproof_protocol::{CloseCode, RequestId};

use super::{Connection, WAITING_CONTROLS};
use crate::{
    auth::{AuthError, Principal},
    hub::ConnectionCommand,
    ws::{dispatch::FrameOutcome, socket::Received},
};

/// What woke the connection.
pub enum Happened {
    Received(Received),
    Done(FrameOutcome, Option<RequestId>),
    Verified(Result<Principal, AuthError>, Option<RequestId>),
    /// Bytes that are to be counted, and no message.
    Bytes,
    /// The log cannot be read.
    Unreadable,
    Ordered(ConnectionCommand),
    /// All frames that were due before a close are out.
    SaidAll,
    Tick,
    Broke(Error),
    Gone,
}

impl Connection {
    pub(super) fn set_timer(&mut self) {
        let tick = self.session.next_tick();
        let next = match self.closing {
            Some((_, _, deadline)) => deadline,
            None => self.subscription.stall_deadline().map_or(tick, |stall| tick.min(stall)),
        };
        let next = self.subscription.look_again().map_or(next, |again| next.min(again));
        if self.timer.due() != next.into() {
            self.timer.reset(next.into());
        }
    }

    pub(super) fn has_said_all(&self) -> bool {
        let feed = self.registration.handle.feed();
        // Before a restart the client gets the log to its head; otherwise it gets the frames that are queued.
        let restart = matches!(self.closing, Some((CloseCode::Restart, ..)));
        let said = if restart { feed.is_idle() } else { !feed.is_ready() && feed.waiting_controls() == 0 };
        said && !self.subscription.is_stalled() && self.busy.is_idle()
    }

    /// True when the next request may be read.
    fn may_read(&self) -> bool {
        self.busy.is_idle() && self.registration.handle.feed().takes_controls(WAITING_CONTROLS)
    }

    pub(super) fn poll(&mut self, cx: &mut Wake<'_>) -> Poll<Happened> {
        let handle = self.registration.handle.clone();
        handle.waker().register(cx.waker());
        if let Err(happened) = self.write(cx) {
            return Poll::Ready(*happened);
        }
        // A stall begins while writing, and this timer may be the only thing that ends it.
        self.set_timer();
        if self.closing.is_some() && self.has_said_all() {
            return Poll::Ready(Happened::SaidAll);
        }
        if let Some(order) = handle.take_order() {
            return Poll::Ready(Happened::Ordered(order));
        }
        if self.closing.is_none()
            && self.subscription.is_stalled()
            && self.subscription.is_too_slow(Instant::now())
        {
            return Poll::Ready(Happened::Tick);
        }
        if let Poll::Ready(happened) = self.busy.poll(cx) {
            return Poll::Ready(happened);
        }
        if self.socket.has_left() {
            // Its close has been answered, or will be once the client takes the answer; reading on would stop that.
            if !self.subscription.is_stalled() {
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
}
