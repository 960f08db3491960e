//! A thread with a runtime of its own, so that a test can end its server at any moment.

use std::{io, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// Runs what is spawned on it until it is ended or dropped.
pub(crate) struct ServerThread {
    handle: Handle,
    stop: oneshot::Sender<()>,
    worker: thread::JoinHandle<()>,
}

impl ServerThread {
    pub(crate) fn begin() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, (stop, stopped)) = (runtime.handle().clone(), oneshot::channel());
        let worker = thread::Builder::new().name("wireproof-server".into()).spawn(move || {
            // Ends by the word or by the sender's end; the tasks are dropped with the runtime, wherever they are.
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { handle, stop, worker })
    }

    /// Runs a future over there to its end.
    pub(crate) async fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        match self.handle.spawn(future).await {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Ends everything on it at once; nothing of it is left when this returns.
    pub(crate) async fn end(self) {
        let Self { handle, stop, worker } = self;
        drop((handle, stop));
        // A thread that panicked is over as well.
        let _ = tokio::task::spawn_blocking(move || worker.join()).await;
    }
}
