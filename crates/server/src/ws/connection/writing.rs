//! What a connection puts on the wire: as much as the client takes, and never more than the queue holds.

use std::task::{Context as Wake, Poll};

use tokio_tungstenite::tungstenite::Error;

use super::{Connection, Happened};
use crate::delivery::subscription::{LogUnreadable, Progress};

impl Connection {
    /// Puts on the wire what the client takes; tells the subscription how much that is.
    pub(super) fn write(&mut self, cx: &mut Wake<'_>) -> Result<(), Box<Happened>> {
        let put = self.put(cx);
        self.subscription.count();
        let flushed = put.and_then(|()| match self.socket.poll_flush(cx) {
            Poll::Ready(flushed) => flushed.map(|()| true).map_err(broke),
            Poll::Pending => Ok(false),
        });
        let progress = match flushed {
            Ok(true) => Progress::All,
            _ if self.socket.written() > self.written => Progress::Some,
            _ => Progress::None,
        };
        self.subscription.progressed(progress);
        self.written = self.socket.written();
        flushed.map(drop)
    }

    fn put(&mut self, cx: &mut Wake<'_>) -> Result<(), Box<Happened>> {
        while !self.socket.has_left() {
            match self.socket.poll_ready(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(ready) => ready.map_err(broke)?,
            }
            let item = match self.subscription.poll_next(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(item) => item.map_err(|LogUnreadable| Box::new(Happened::Unreadable))?,
            };
            self.socket.send(item.into_frame()).map_err(broke)?;
        }
        Ok(())
    }
}

fn broke(error: Error) -> Box<Happened> {
    Box::new(Happened::Broke(error))
}
