//! How far the server is in going away, and the tasks that must end before it has.

use std::{future::Future, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Shared by everything that has to stop.
#[derive(Clone, Default)]
pub struct Shutdown {
    /// Cancelled when no new connections are taken.
    pub draining: CancellationToken,
    /// Cancelled when everything ends.
    pub stopped: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Starts a task that the shutdown waits for.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task);
    }

    /// Waits until all tasks are over; true when they were within the time.
    pub async fn wait(&self, patience: Duration) -> bool {
        self.tasks.close();
        tokio::time::timeout(patience, self.tasks.wait()).await.is_ok()
    }
}
