//! A connection whose task writes down what comes the moment it comes. Whoever needs something looks at the record and
//! waits there, with a deadline: nothing is missed by looking late.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout_at},
};
use wireproof_client::{Connection, Ended, RecvError};

/// Orders that may wait for the task of a connection.
const ORDERS: usize = 256;
/// One wait for a message; nothing depends on it, for a wait that is over begins anew.
const WAIT: Duration = Duration::from_secs(3600);

/// A value that some write and others wait on.
#[derive(Debug, Default)]
pub struct Watched<T> {
    value: Mutex<T>,
    changes: watch::Sender<u64>,
}

impl<T> Watched<T> {
    /// A value that nobody waits on yet.
    pub fn new(value: T) -> Self {
        Self { value: Mutex::new(value), changes: watch::Sender::default() }
    }

    /// The value, to look at; the lock is held for moments and never across an await.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the value and wakes who waits on it.
    pub fn change<U>(&self, change: impl FnOnce(&mut T) -> U) -> U {
        let changed = change(&mut self.lock());
        self.changes.send_modify(|changes| *changes += 1);
        changed
    }

    /// Looks at the value again after each change until there is an answer; nothing when the deadline came first.
    pub async fn wait<U>(&self, deadline: Instant, mut look: impl FnMut(&mut T) -> Option<U>) -> Option<U> {
        // Subscribed before the first look: a change in between is not missed.
        let mut changes = self.changes.subscribe();
        loop {
            if let Some(answer) = look(&mut self.lock()) {
                return Some(answer);
            }
            let changed = timeout_at(deadline, changes.changed()).await;
            if !matches!(changed, Ok(Ok(()))) {
                return look(&mut self.lock());
            }
        }
    }
}

/// Where the task of a connection writes what comes.
pub trait Recording: Send + 'static {
    /// How the end of a connection is told that is reset on this side.
    const RESET: &'static str;
    /// Whether a connection that nobody holds any more is reset, and not closed.
    const RESET_WHEN_DROPPED: bool;

    /// Writes a text down. When nothing more is to be taken it gives how the connection ends, which is reset then.
    fn text(&mut self, at: Instant, text: &str) -> Option<Ended>;

    /// The same for bytes, which the protocol does not know.
    fn binary(&mut self, _at: Instant, _bytes: &[u8]) -> Option<Ended> {
        None
    }

    /// Writes down that the connection is over.
    fn end(&mut self, ended: Ended);

    /// How the connection ended, once it did.
    fn ended(&self) -> Option<&Ended>;
}

/// What the task of a connection is told to do. The answer to a message says whether it was taken.
#[derive(Debug)]
pub enum Order {
    /// Send a text.
    Text(String, oneshot::Sender<bool>),
    /// Send bytes.
    Binary(Vec<u8>, oneshot::Sender<bool>),
    /// Read no more: what comes stays where the kernel keeps it.
    StopReading(oneshot::Sender<bool>),
    /// Close with a code and a reason, and wait for the close of the other side.
    Close(u16, String),
    /// End the connection as a lost network would.
    Reset,
}

/// Why something was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSent {
    /// The connection was over.
    Over,
    /// The connection ended meanwhile, or the message was not taken: the record tells why.
    Lost,
}

/// One connection and its record; dropped, the connection ends.
#[derive(Debug)]
pub struct RecordedConnection<R> {
    record: Arc<Watched<R>>,
    orders: mpsc::Sender<Order>,
}

impl<R: Recording> RecordedConnection<R> {
    /// Takes an open connection over and writes all that comes into the record.
    pub fn new(connection: Connection, record: Arc<Watched<R>>) -> Self {
        let (recorded, orders) = Self::without_task(record.clone());
        tokio::spawn(serve(connection, record, orders));
        recorded
    }

    /// One whose orders the caller carries out, over another transport than a WebSocket.
    pub fn without_task(record: Arc<Watched<R>>) -> (Self, mpsc::Receiver<Order>) {
        let (orders, given) = mpsc::channel(ORDERS);
        (Self { record, orders }, given)
    }

    /// What came.
    pub fn record(&self) -> &Arc<Watched<R>> {
        &self.record
    }

    /// Sends a text; returns once it is on its way.
    pub async fn send_text(&self, text: String) -> Result<(), NotSent> {
        self.send(|done| Order::Text(text, done)).await
    }

    /// Sends bytes in a binary message.
    pub async fn send_binary(&self, bytes: Vec<u8>) -> Result<(), NotSent> {
        self.send(|done| Order::Binary(bytes, done)).await
    }

    /// Reads nothing any more, as a client that hangs.
    pub async fn stop_reading(&self) -> Result<(), NotSent> {
        self.send(Order::StopReading).await
    }

    /// Begins to close; the record tells how it ended.
    pub async fn close(&self, code: u16, reason: &str) -> Result<(), NotSent> {
        self.orders.send(Order::Close(code, reason.to_owned())).await.map_err(|_| NotSent::Over)
    }

    /// Ends the connection as a lost network would.
    pub async fn reset(&self) {
        // One that is over already is what is wanted.
        let _ = self.orders.send(Order::Reset).await;
    }

    async fn send(&self, order: impl FnOnce(oneshot::Sender<bool>) -> Order) -> Result<(), NotSent> {
        let (done, sent) = oneshot::channel();
        self.orders.send(order(done)).await.map_err(|_| NotSent::Over)?;
        // An order that was given as the task ended may be heard by nobody, and is then never answered.
        let taken = tokio::select! {
            biased;
            taken = sent => taken.unwrap_or(false),
            () = self.over() => false,
        };
        if taken { Ok(()) } else { Err(NotSent::Lost) }
    }

    async fn over(&self) {
        let forever = Duration::from_secs(u64::from(u32::MAX));
        let ended = |record: &mut R| record.ended().is_some().then_some(());
        let _ = self.record.wait(Instant::now() + forever, ended).await;
    }
}

/// The end of a connection for a cause on this side.
pub fn ended_by(cause: impl Into<String>) -> Ended {
    Ended { cause: Some(cause.into()), ..Ended::default() }
}

/// Carries orders out and writes down what comes, until the connection ends or nobody holds it.
async fn serve<R: Recording>(
    mut connection: Connection,
    record: Arc<Watched<R>>,
    mut orders: mpsc::Receiver<Order>,
) {
    let mut reads = true;
    let ended = loop {
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                None if R::RESET_WHEN_DROPPED => return connection.cut(),
                None => return,
                Some(Order::Reset) => {
                    connection.cut();
                    break ended_by(R::RESET);
                }
                Some(Order::Close(code, reason)) => {
                    let ended = connection.close(code, &reason).await;
                    break ended.unwrap_or_else(|error| ended_by(error.to_string()));
                }
                Some(Order::StopReading(done)) => {
                    reads = false;
                    let _ = done.send(true);
                }
                // Whoever asked may have stopped waiting.
                Some(Order::Text(text, done)) => drop(done.send(connection.send_text(text).await.is_ok())),
                Some(Order::Binary(bytes, done)) => drop(done.send(connection.send_binary(bytes).await.is_ok())),
            },
            received = connection.recv_message(WAIT), if reads => match received {
                Ok(message) => {
                    let at = connection.last_heard();
                    let last = record.change(|record| match message.is_text() {
                        true => record.text(at, message.to_text().unwrap_or_default()),
                        false => record.binary(at, &message.into_data()),
                    });
                    if let Some(ended) = last {
                        connection.cut();
                        break ended;
                    }
                }
                Err(RecvError::Ended(ended)) => break *ended,
                Err(RecvError::Timeout(_) | RecvError::Unreadable { .. }) => {}
            }
        }
    };
    // Once the record says that it is over, nothing can be sent any more.
    drop(orders);
    record.change(|record| record.end(ended));
}
