//! Runs: taken with their message, driven to exactly one end each, cancelled by their user, recovered after a crash.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wireproof_agents::Agent;
use wireproof_protocol::{ControlBody, ErrorCode, RunId, UserId};

use crate::{
    broker::Notice,
    delivery::Publisher,
    error::Refusal,
    failpoints::{Failpoints, failpoint},
    metrics::Metrics,
    store::{NodeId, RunRecord, STORE_PATIENCE, Store, StoreError, in_time},
    traces::Traces,
};

mod bounds;
mod counts;
mod driver;
mod history;
mod inflight;
mod recorder;
mod recovery;
mod registry;
mod start;
mod thread_search;

pub use bounds::RunBounds;
use inflight::InflightRequests;
pub use recovery::{end_left_runs, keep_leases};
use registry::{Registry, Slot};
pub use start::RunRequest;

/// How long a run on another node may take to end when it is cancelled, and between two looks whether it has.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);
const CANCEL_LOOK: Duration = Duration::from_millis(50);
/// How long the ends of runs may take to be stored in a drain, behind the agents' time to stop.
const LAST_WRITES: Duration = Duration::from_secs(10);

/// How runs are bounded.
#[derive(Debug, Clone, Copy)]
pub struct RunLimits {
    /// Runs of a user at once; 0 is no limit.
    pub concurrent: usize,
    /// Runs of a user that may wait; 0 is no limit.
    pub queued: usize,
    /// How long a run may take.
    pub run: Duration,
    /// How long a cancelled agent has to stop by itself.
    pub grace: Duration,
    /// How long a node may not be heard of before others end its runs. It renews their leases three times as often.
    pub lease: Duration,
    /// How long a run waits for a store that is away.
    pub store_wait: Duration,
    /// How much a run may say.
    pub bounds: RunBounds,
}

/// The runs of this node.
pub struct Runs {
    /// Who leases them.
    node_id: NodeId,
    store: Arc<dyn Store>,
    publisher: Arc<Publisher>,
    agents: Vec<Arc<dyn Agent>>,
    registry: Registry,
    requests: InflightRequests,
    limits: RunLimits,
    metrics: Arc<Metrics>,
    traces: Arc<Traces>,
    failpoints: Failpoints,
    tasks: TaskTracker,
    /// No new runs.
    closed: CancellationToken,
    /// Those that go on must end.
    draining: CancellationToken,
}

impl Runs {
    /// Runs for these agents, the first of them the one for messages that name none.
    pub fn new(
        store: Arc<dyn Store>,
        publisher: Arc<Publisher>,
        agents: Vec<Arc<dyn Agent>>,
        limits: RunLimits,
        metrics: Arc<Metrics>,
        traces: Arc<Traces>,
        failpoints: Failpoints,
    ) -> Arc<Self> {
        Arc::new(Self {
            node_id: NodeId::new(),
            store,
            publisher,
            agents,
            registry: Registry::new(limits.concurrent, limits.queued),
            requests: InflightRequests::default(),
            limits,
            metrics,
            traces,
            failpoints,
            tasks: TaskTracker::new(),
            closed: CancellationToken::new(),
            draining: CancellationToken::new(),
        })
    }

    /// Ends a run of the user; of one that is over, tells how it ended.
    pub async fn cancel(&self, user_id: &UserId, run_id: RunId) -> Result<ControlBody, Refusal> {
        let owner = failpoint!(self.failpoints, ForeignRunCancelled, self.registry.owner(run_id)).flatten();
        let user_id = owner.as_ref().unwrap_or(user_id);
        if self.registry.cancel(user_id, run_id) {
            return Ok(ControlBody::Ack {
                thread_id: None,
                run_id: Some(run_id),
                approval_id: None,
                outcome: None,
            });
        }
        let mut record = self.run(user_id, run_id).await?;
        if record.outcome.is_none() && self.registry.owner(run_id).is_none() {
            record = self.cancel_elsewhere(user_id, run_id).await?;
        }
        Ok(ControlBody::Ack {
            thread_id: Some(record.thread_id),
            run_id: Some(run_id),
            approval_id: None,
            outcome: record.outcome,
        })
    }

    /// Ends a run of the user that is alive on this node, if it is.
    pub fn cancel_here(&self, user_id: &UserId, run_id: RunId) {
        self.registry.cancel(user_id, run_id);
    }

    /// Has the node that leases a run end it, and waits until it has.
    async fn cancel_elsewhere(&self, user_id: &UserId, run_id: RunId) -> Result<RunRecord, Refusal> {
        let deadline = Instant::now() + CANCEL_PATIENCE;
        while Instant::now() < deadline {
            // A notice may be lost.
            self.publisher.tell(Notice::Cancel(user_id.clone(), run_id));
            tokio::time::sleep(CANCEL_LOOK).await;
            let record = self.run(user_id, run_id).await?;
            if record.outcome.is_some() {
                return Ok(record);
            }
        }
        Err(Refusal::new(ErrorCode::Internal, "The run goes on elsewhere and did not end yet; try again."))
    }

    /// A run of the user.
    pub async fn run(&self, user_id: &UserId, run_id: RunId) -> Result<RunRecord, Refusal> {
        in_time(STORE_PATIENCE, self.store.run(user_id, run_id)).await.map_err(|e| match e {
            StoreError::NotFound => Refusal::new(ErrorCode::NotFound, "There is no such run."),
            other => other.into(),
        })
    }

    /// Runs going on this node, and runs that wait for their turn.
    pub fn states(&self) -> (usize, usize) {
        self.registry.states()
    }

    /// Runs going and waiting on this node.
    pub fn alive(&self) -> usize {
        self.registry.alive()
    }

    /// Runs of a user alive, going or waiting.
    pub fn alive_of(&self, user_id: &UserId) -> usize {
        self.registry.alive_of(user_id)
    }

    /// Takes no new runs, gives those that go on `patience` to end, then ends them as failed. Returns when all are over,
    /// or when the store does not take their ends.
    pub async fn drain(&self, patience: Duration) {
        self.refuse_new();
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::info!(
                runs = self.registry.alive(),
                "runs did not end in time for the drain: ending them"
            );
        }
        self.draining.cancel();
        // A store that does not answer must not hold the server: whoever starts next ends what is left.
        if tokio::time::timeout(self.limits.grace + LAST_WRITES, self.tasks.wait()).await.is_err() {
            tracing::error!(runs = self.registry.alive(), "the store did not take the ends of runs in time");
        }
    }

    /// Refuses new runs from now on; those that go on are not touched.
    pub fn refuse_new(&self) {
        self.closed.cancel();
    }
}
