//! What a connection puts on the wire: as much as the client takes, and never more than the queue holds.

use std::{
    task::{Context as Wake, Poll},
    time::Instant,
};

use tokio_tungstenite::tungstenite::Error;

use super::Connection;
use crate::{delivery::feed::Item, ws::tally::Put};

#[cfg(feature = "sabotage")]
pub mod wrong;

impl Connection {
    /// Puts on the wire what the client takes; notes since when it takes nothing.
    pub(super) fn write(&mut self, cx: &mut Wake<'_>) -> Result<(), Error> {
        let mut put = Put::default();
        let done = self.put_in(cx, &mut put);
        put.count(&self.context.metrics);
        done?;
        match self.socket.poll_flush(cx) {
            Poll::Ready(flushed) => {
                flushed?;
                self.stalled_since = None;
            }
            // A client that takes a little of a large frame is slow, not stalled.
            Poll::Pending if self.socket.written() > self.written => {
                self.stalled_since = Some(Instant::now());
            }
            Poll::Pending => {
                self.stalled_since.get_or_insert_with(Instant::now);
            }
        }
        self.written = self.socket.written();
        Ok(())
    }

    fn put_in(&mut self, cx: &mut Wake<'_>, put: &mut Put) -> Result<(), Error> {
        while !self.socket.has_left() {
            match self.socket.poll_ready(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(ready) => ready?,
            }
            #[cfg(not(feature = "sabotage"))]
            let item = self.registration.outbox.feed().take();
            #[cfg(feature = "sabotage")]
            let item = self.wrong.next(&self.context.bugs, &self.registration.outbox);
            let Some(item) = item else { return Ok(()) };
            self.socket.send(match item {
                Item::Control(frame) => frame,
                Item::Live(event, stored) => {
                    put.live(stored, &self.context.metrics);
                    event.json
                }
                #[cfg(feature = "sabotage")]
                Item::Replayed(event) if self.registration.counts_as_delivered(event.seq) => continue,
                Item::Replayed(event) => {
                    put.replayed += 1;
                    event.json
                }
            })?;
        }
        Ok(())
    }
}
