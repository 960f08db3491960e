//! Carries the bytes of one direction as its plan says. It reads only what it can soon write, so a slow receiver slows
//! the sender.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{
    active_toxic::InForce,
    flow::{Act, READ},
    journal::Journal,
    link::LinkCommand,
    plan::Plan,
    toxic::Direction,
};

/// What went through in one direction.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) bytes: AtomicU64,
    pub(crate) messages: AtomicU64,
}

pub(crate) struct Pump<R, W> {
    pub(crate) connection: u64,
    pub(crate) direction: Direction,
    pub(crate) from: R,
    pub(crate) to: W,
    pub(crate) plan: Plan,
    pub(crate) toxics: watch::Receiver<InForce>,
    pub(crate) orders: mpsc::Sender<LinkCommand>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) tally: Arc<Tally>,
    /// When the connection began: the plan's times count from here.
    pub(crate) began: Instant,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Pump<R, W> {
    /// Runs until the sender has closed and all is passed on, or an error of a socket.
    pub(crate) async fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; READ];
        self.toxics.mark_changed();
        loop {
            self.refresh();
            while let Some(act) = self.plan.pop(self.now()) {
                match act {
                    Act::Write(bytes) => self.write(&bytes).await?,
                    Act::Shutdown => return self.to.shutdown().await,
                    Act::Cut(cut) => self.order(LinkCommand::Cut(cut)).await,
                    Act::BlackHole { toxic, time, then } => {
                        self.order(LinkCommand::BlackHole { toxic: Some(toxic), time, then }).await;
                    }
                }
            }
            let now = self.now();
            let appetite = self.plan.appetite(now);
            let wake = self.plan.wake(now).map(|wake| self.began + wake);
            tokio::select! {
                biased;
                _ = self.toxics.changed() => self.toxics.mark_changed(),
                read = self.from.read(&mut buffer[..appetite.max(1)]), if appetite > 0 => {
                    let length = read?;
                    self.take(&buffer[..length]).await?;
                }
                () = sleep_until(wake.unwrap_or(self.began)), if wake.is_some() => {}
            }
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Takes in changed toxics, lets time act, and writes down what was decided.
    fn refresh(&mut self) {
        let now = self.now();
        // An error means that the proxy is ending, and this pump with it.
        if self.toxics.has_changed().unwrap_or(false) {
            let in_force = self.toxics.borrow_and_update().clone();
            self.plan.update(&in_force, now);
        }
        if !self.plan.is_idle() {
            self.plan.tick(now);
        }
        self.note();
    }

    async fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tally.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if bytes.is_empty() {
            self.plan.finish(self.now());
        } else if self.plan.is_idle() {
            self.plan.pass(bytes);
            self.write(bytes).await?;
        } else {
            self.plan.take(&Bytes::copy_from_slice(bytes), self.now());
        }
        self.tally.messages.store(self.plan.messages(), Ordering::Relaxed);
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes).await
    }

    /// Has the connection done what concerns both directions; a cut is the last that this pump does.
    async fn order(&mut self, order: LinkCommand) {
        let lasting = matches!(order, LinkCommand::Cut(_));
        // Refused only when the connection is over.
        let _ = self.orders.send(order).await;
        if lasting {
            std::future::pending::<()>().await;
        }
        // The connection takes the order before it lets this pump go on.
        tokio::task::yield_now().await;
    }
}

impl<R, W> Pump<R, W> {
    fn note(&mut self) {
        for note in self.plan.notes() {
            self.journal.write(self.connection, Some(self.direction), note);
        }
    }
}

impl<R, W> Drop for Pump<R, W> {
    /// However the connection ends, what lasted until then is written down.
    fn drop(&mut self) {
        self.plan.end_lasting();
        self.note();
    }
}
