//! Runs: taken with their message, driven to exactly one end each, cancelled by their user, recovered after a crash.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wireproof_agents::{Agent, SearchThreads, ThreadHit, ToolError};
use wireproof_protocol::{
    ControlBody, ErrorCode, EventBody, MessageId, RunId, StatusUpdate, ThreadId, UserId, cut_chars, shorten,
};

use crate::{
    broker::Notice,
    delivery::Publisher,
    error::Refusal,
    failpoints::{Failpoints, failpoint},
    metrics::Metrics,
    store::{
        Answer, Lease, NodeId, RequestKey, RunRecord, STORE_PATIENCE, StartRun, Store, StoreError, in_time,
        while_away,
    },
    traces::{RunFacts, TraceParent, Traces},
};

mod bounds;
mod counts;
mod driver;
mod inflight;
mod recorder;
mod recovery;
mod registry;

pub use bounds::RunBounds;
use counts::Counts;
use inflight::InflightRequests;
pub use recovery::{end_left_runs, keep_leases};
use registry::{Registry, Slot};

/// Hits of a search that an agent may ask for at once.
const MOST_HITS: usize = 50;
/// Characters of what was searched for that an excerpt shows.
const MOST_HIT_CHARS: usize = 200;
/// How long a run on another node may take to end when it is cancelled, and between two looks whether it has.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);
const CANCEL_LOOK: Duration = Duration::from_millis(50);
/// How long the ends of runs may take to be stored in a drain, behind the agents' time to stop.
const LAST_WRITES: Duration = Duration::from_secs(10);
/// Characters of a message that become the title of its new thread.
const TITLE_CHARS: usize = 60;

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

/// What a user asks of an agent.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// The request, if it has an id.
    pub request: Option<RequestKey>,
    /// The message.
    pub content: String,
    /// The thread, made when the user has none of that name; a new one when absent.
    pub thread_id: Option<ThreadId>,
    /// The agent; the first one when absent.
    pub agent: Option<String>,
    /// Where in a trace it comes from.
    pub parent: Option<TraceParent>,
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

    /// Takes a message and starts or queues its run; returns the answer to the request once both are durable.
    ///
    /// A caller that goes away changes nothing: what was taken is stored and driven by a task of its own, which a drain
    /// waits for.
    pub async fn start(
        self: &Arc<Self>,
        user_id: &UserId,
        request: RunRequest,
    ) -> Result<ControlBody, Refusal> {
        let (runs, user_id) = (self.clone(), user_id.clone());
        let taken = self.tasks.spawn(async move { runs.take(&user_id, request).await });
        taken.await.unwrap_or_else(|e| {
            tracing::error!(panicked = e.is_panic(), "a run could not be taken");
            Err(Refusal::new(ErrorCode::Internal, "Something went wrong inside; try again."))
        })
    }

    async fn take(self: &Arc<Self>, user_id: &UserId, request: RunRequest) -> Result<ControlBody, Refusal> {
        let _turn = match &request.request {
            Some(key) => Some(self.requests.turn(user_id, &key.id).await),
            None => None,
        };
        if let Some(key) = &request.request {
            // Asked before: the same answer, whatever the queue is like now.
            if let Some(answer) = in_time(STORE_PATIENCE, self.store.answered(user_id, key)).await? {
                return Ok(answer);
            }
        }
        if self.closed.is_cancelled() {
            return Err(Refusal::new(
                ErrorCode::ShuttingDown,
                "The server is restarting and takes no new runs.",
            ));
        }
        let agent = self.agent(request.agent.as_deref())?;
        let run_id = RunId::new();
        let (asked_at, request_id) = (Instant::now(), request.request.as_ref().map(|key| key.id.clone()));
        let slot = self.registry.claim(user_id, run_id).map_err(|full| self.too_many(full))?;
        let greeting = bounds::greeting(agent.greeting());
        let first = if slot.is_queued() {
            EventBody::StatusUpdate(StatusUpdate {
                status: "queued".to_owned(),
                detail: Some("Waiting for a free run.".to_owned()),
            })
        } else {
            EventBody::AgentStarted { message: greeting.clone() }
        };
        let start = StartRun {
            user_id: user_id.clone(),
            request: request.request,
            thread_id: request.thread_id,
            title: title_of(&request.content),
            message_id: MessageId::new(),
            content: request.content.clone(),
            run_id,
            agent_name: agent.name().to_owned(),
            first: first.clone(),
            now: crate::clock::unix_now(),
        };
        let start = Arc::new(start);
        // The slot frees itself when the store refuses, or when a repeated request needs no run.
        let (runs, wait) = (self.clone(), self.limits.store_wait);
        let write = async move {
            // A lease counts from the try that takes it.
            let start_run = || runs.store.start_run(start.clone(), runs.lease_term());
            while_away(wait, &runs.draining, start_run).await
        };
        let started = match self.publisher.carry_out_in_time(wait + STORE_PATIENCE, write).await? {
            Answer::Repeated(answer) => return Ok(*answer),
            Answer::Done(started) | Answer::Unchanged(started) => started,
        };
        let (thread_id, lease) = (started.thread_id, Lease { run_id, number: started.lease });
        tracing::debug!(
            %run_id,
            %user_id,
            thread_id = thread_id.as_str(),
            request_id = request_id.as_ref().map(tracing::field::display),
            agent = agent.name(),
            queued = slot.is_queued(),
            "run taken"
        );
        let facts = RunFacts { run_id, thread_id: &thread_id, user_id, agent: agent.name() };
        let trace = self.traces.run(facts, request.parent);
        let counts = Counts::new(self.metrics.clone(), trace, agent.name(), asked_at);
        counts.stored([&first]);
        let run = driver::Run {
            user_id: user_id.clone(),
            run_id,
            lease,
            thread_id: thread_id.clone(),
            content: request.content,
            first,
            greeting,
            slot,
            counts,
            agent,
        };
        self.tasks.spawn(run.drive(self.clone()));
        Ok(ControlBody::Accepted { run_id, thread_id, seq: started.seq })
    }

    fn agent(&self, name: Option<&str>) -> Result<Arc<dyn Agent>, Refusal> {
        let found = match name {
            None => self.agents.first(),
            Some(name) => self.agents.iter().find(|agent| agent.name() == name),
        };
        found.cloned().ok_or_else(|| Refusal::new(ErrorCode::NotFound, "There is no agent of that name."))
    }

    fn too_many(&self, full: registry::Full) -> Refusal {
        self.metrics.runs_refused.inc();
        Refusal::new(
            ErrorCode::TooManyRuns,
            format!("You have {} runs going and {} waiting; wait for one to end.", full.running, full.queued),
        )
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

    fn search_for(&self, user_id: &UserId) -> SearchThreads {
        let (store, user_id) = (self.store.clone(), user_id.clone());
        Arc::new(move |text, limit| {
            let (store, user_id) = (store.clone(), user_id.clone());
            Box::pin(async move {
                let failed = || ToolError::new("internal", "The search failed.");
                let found = store.search(&user_id, &text, limit.min(MOST_HITS)).await.map_err(|e| {
                    tracing::error!(%user_id, error = %e, "a search in the user's threads failed");
                    failed()
                })?;
                // Large messages are looked through once more: that is no work for an async thread.
                let hits = move || found.into_iter().map(|hit| thread_hit(hit, &text)).collect();
                tokio::task::spawn_blocking(hits).await.map_err(|_| failed())
            })
        })
    }
}

fn title_of(content: &str) -> String {
    let mut line = String::new();
    // Somewhat more than a title, so that what is cut off is noticed; a long message costs no more.
    for word in content.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().take(4 * TITLE_CHARS));
        if line.len() > 8 * TITLE_CHARS {
            break;
        }
    }
    shorten(&line, TITLE_CHARS)
}

fn thread_hit(found: crate::store::FoundMessage, text: &str) -> ThreadHit {
    let message = found.message;
    ThreadHit {
        thread_id: message.thread_id,
        title: found.title,
        role: message.role.as_str().to_owned(),
        excerpt: excerpt(&message.content, text),
        created_at: message.created_at,
    }
}

/// About 80 characters on either side of the hit, cut between characters.
fn excerpt(content: &str, text: &str) -> String {
    const AROUND: usize = 80;
    let lower = content.to_lowercase();
    let at = lower.find(&text.to_lowercase()).map_or(0, |byte| lower[..byte].chars().count());
    let start = cut_chars(content, at.saturating_sub(AROUND)).len();
    let hit = text.chars().take(MOST_HIT_CHARS).count();
    let piece = cut_chars(&content[start..], at.min(AROUND) + hit + AROUND);
    let (before, after) =
        (if start > 0 { "…" } else { "" }, if start + piece.len() < content.len() { "…" } else { "" });
    format!("{before}{}{after}", piece.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_short_line() {
        assert_eq!(title_of("  What\nis   17*23? "), "What is 17*23?");
        assert_eq!(title_of(&"é".repeat(100)).chars().count(), TITLE_CHARS + 1);
        assert_eq!(title_of(&"ab ".repeat(30_000)).chars().count(), TITLE_CHARS + 1);
    }

    /// A title was cut inside a flag or a family, and half a character was shown.
    #[test]
    fn a_title_is_cut_between_characters() {
        for character in ["👨‍👩‍👧‍👦", "🇩🇪", "e\u{301}\u{302}"] {
            for lead in 50..60 {
                let title = title_of(&format!("{}{}", "x".repeat(lead), character.repeat(20)));
                let rest = title.trim_end_matches('…').trim_start_matches('x');
                assert!(title.ends_with('…') && rest.replace(character, "").is_empty(), "{title}");
            }
        }
    }

    #[test]
    fn an_excerpt_holds_the_hit() {
        let text = format!("{}NEEDLE{}", "a ".repeat(200), " b".repeat(200));
        let piece = excerpt(&text, "needle");
        assert!(piece.contains("NEEDLE") && piece.chars().count() < 200);
        let long = "w".repeat(60_000);
        assert!(excerpt(&long, &long).chars().count() < 400);
        let flags = "🇩🇪".repeat(500);
        let piece = excerpt(&flags, "🇩🇪🇩🇪");
        assert!(piece.replace("🇩🇪", "").trim_matches('…').is_empty(), "{piece}");
    }
}
