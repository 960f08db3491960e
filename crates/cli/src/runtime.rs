//! The runtime of a command: as many threads as there are cores, and none beside the caller's on a single one.

use std::{future::Future, thread};

use anyhow::Context;
use tokio::runtime::Builder;

/// Runs the future to its end on all cores.
pub(crate) fn run<F>(future: F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut builder = if cores == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let runtime = builder.enable_all().build().context("starting the runtime")?;
    let done = runtime.block_on(future);
    // A thread that waits for a line on stdin would hold the program up for ever.
    runtime.shutdown_background();
    done
}

/// Runs the future to its end on the caller's thread alone.
pub(crate) fn run_single<F>(future: F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let runtime = Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(future)
}
