//! The task behind one connection: it writes down what arrives the moment it does, and sends what it is told.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};
use wireproof_client::{Connection, Ended, RecvError, SendError};

use crate::collector::Collector;

/// One wait for a frame; nothing depends on it, for a wait that is over begins anew.
const WAIT: Duration = Duration::from_secs(3600);

/// What a test tells the connection.
pub(crate) enum Order {
    Text(String, oneshot::Sender<()>),
    Binary(Vec<u8>, oneshot::Sender<()>),
    Close(u16, String),
    Cut,
}

/// Serves a connection until it ends or nobody holds the other end of `orders`.
pub(crate) async fn serve(
    mut connection: Connection,
    collector: Arc<Collector>,
    mut orders: mpsc::Receiver<Order>,
) {
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                None => return,
                Some(Order::Cut) => return cut(connection, &collector),
                Some(Order::Close(code, reason)) => return close(connection, &collector, code, &reason).await,
                Some(Order::Text(text, done)) => tell(connection.send_text(text).await, done),
                Some(Order::Binary(bytes, done)) => tell(connection.send_binary(bytes).await, done),
            },
            received = connection.recv(WAIT) => match received {
                Ok(frame) => {
                    if collector.note(|history| history.arrived(frame.at, frame.text())) {
                        return cut(connection, &collector);
                    }
                }
                Err(RecvError::Unreadable { text, .. }) => {
                    collector.note(|history| history.arrived(connection.last_heard(), &text));
                }
                Err(RecvError::Ended(ended)) => return collector.note(|history| history.ended(*ended)),
                Err(RecvError::Timeout(_)) => {}
            }
        }
    }
}

/// A failure to send shows as the connection's end, with the close that the server may have sent before.
fn tell(_sent: Result<(), SendError>, done: oneshot::Sender<()>) {
    // Whoever asked may have stopped waiting.
    let _ = done.send(());
}

fn cut(connection: Connection, collector: &Collector) {
    connection.cut();
    let cause = Some("cut by the test".to_owned());
    collector.note(|history| history.ended(Ended { cause, ..Ended::default() }));
}

async fn close(connection: Connection, collector: &Collector, code: u16, reason: &str) {
    let ended = match connection.close(code, reason).await {
        Ok(ended) => ended,
        Err(error) => Ended { cause: Some(error.to_string()), ..Ended::default() },
    };
    collector.note(|history| history.ended(ended));
}
