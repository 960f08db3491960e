//! The request that a connection works on. The next one is read when it is done, so order is kept.

use std::task::{Context as Wake, Poll, ready};

use futures_util::future::BoxFuture;
use wireproof_protocol::RequestId;

use super::Happened;
use crate::{
    auth::{AuthError, Principal},
    ws::dispatch::FrameOutcome,
};

/// What a connection works on.
pub enum Busy {
    /// Nothing: the next request may be read.
    Idle,
    /// A request is carried out.
    Command(BoxFuture<'static, (FrameOutcome, Option<RequestId>)>),
    /// A token is checked.
    Verifying(BoxFuture<'static, (Result<Principal, AuthError>, Option<RequestId>)>),
}

impl Busy {
    /// True when it works on nothing.
    pub fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }

    /// Works on; idle again once it is ready.
    pub fn poll(&mut self, cx: &mut Wake<'_>) -> Poll<Happened> {
        let happened = match self {
            Self::Idle => return Poll::Pending,
            Self::Command(command) => {
                let (outcome, id) = ready!(command.as_mut().poll(cx));
                Happened::Done(outcome, id)
            }
            Self::Verifying(verifying) => {
                let (result, id) = ready!(verifying.as_mut().poll(cx));
                Happened::Verified(result, id)
            }
        };
        *self = Self::Idle;
        Poll::Ready(happened)
    }
}
