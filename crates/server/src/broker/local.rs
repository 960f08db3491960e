//! The broker of a single node: channels in this process.

use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

use super::{Broker, Notice};

/// Commits that may wait for a subscriber.
const QUEUE: usize = 1024;

/// Tells notices inside this process.
#[derive(Default)]
pub struct Local {
    subscribers: Mutex<Vec<mpsc::Sender<Vec<Notice>>>>,
}

impl Broker for Local {
    fn publish(&self, notices: Vec<Notice>) {
        let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for subscriber in subscribers {
            // A subscriber that is gone hears nothing: its connections are gone too.
            let _ = subscriber.blocking_send(notices.clone());
        }
    }

    fn subscribe(&self) -> mpsc::Receiver<Vec<Notice>> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    fn close(&self) {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
