//! From a message to a run: it is given a place, stored with its message, and driven.

use std::sync::Arc;

use tokio::sync::oneshot;
use wireproof_agents::Agent;
use wireproof_protocol::{ControlBody, ErrorCode, RunId, ThreadId, UserId, shorten};

use super::{
    Runs,
    driver::Run,
    registry::{Full, Slot},
};
use crate::{
    error::Refusal,
    store::{Answer, RequestKey, STORE_PATIENCE, StartRun, Started, StoreError, in_time, while_away},
    traces::TraceParent,
};

/// Characters of a message that become the title of its new thread.
const TITLE_CHARS: usize = 60;

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

impl Runs {
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
        let (answer, answered) = oneshot::channel();
        self.tasks.spawn(async move {
            let (taken, run) = match runs.take(&user_id, request).await {
                Ok((accepted, run)) => (Ok(accepted), run),
                Err(refusal) => (Err(refusal), None),
            };
            // Who asked may be gone.
            let _ = answer.send(taken);
            if let Some(run) = run {
                run.drive(runs).await;
            }
        });
        answered.await.unwrap_or_else(|_| {
            tracing::error!("the task that takes a run ended without an answer");
            Err(Refusal::new(ErrorCode::Internal, "Something went wrong inside; try again."))
        })
    }

    /// The answer to a request, and the run that is to be driven: none when the request was answered before, or when the run
    /// is over already.
    async fn take(
        self: &Arc<Self>,
        user_id: &UserId,
        request: RunRequest,
    ) -> Result<(ControlBody, Option<Run>), Refusal> {
        let _turn = match &request.request {
            Some(key) => Some(self.requests.turn(user_id, &key.id).await),
            None => None,
        };
        let run_id = RunId::new();
        let (agent, slot) = match self.place(user_id, run_id, request.agent.as_deref()) {
            Ok(place) => place,
            Err(refusal) => return Ok((self.answered_or(user_id, request.request, refusal).await?, None)),
        };
        // Such a name stays as it is in any store (see `StartRun::thread_id`): a run may begin under it.
        let is_final = request.thread_id.as_ref().is_none_or(|name| name.canonical().is_none());
        let thread_id = request.thread_id.unwrap_or_else(ThreadId::generate);
        let mut run = Run::new(self, user_id.clone(), run_id, thread_id, request.content, agent, slot);
        if run.agent.may_begin_early(&run.content) && is_final {
            run.begin(self).await;
        }
        let start = StartRun {
            user_id: user_id.clone(),
            request: request.request,
            thread_id: run.thread_id.clone(),
            title: title_of(&run.content),
            message_id: run.message_id,
            content: run.content.clone(),
            run_id,
            agent_name: run.agent.name().to_owned(),
            first: run.first.clone(),
            end: run.decided_end(),
            now: run.asked_at,
        };
        let request_id = start.request.as_ref().map(|key| key.id.clone());
        let started = match self.store_start(start).await? {
            Answer::Repeated(answer) => return Ok((*answer, None)),
            Answer::Done(started) | Answer::Unchanged(started) => started,
        };
        let accepted =
            ControlBody::Accepted { run_id, thread_id: started.thread_id.clone(), seq: started.seq };
        tracing::debug!(
            %run_id,
            %user_id,
            thread_id = started.thread_id.as_str(),
            request_id = request_id.as_ref().map(tracing::field::display),
            agent = run.agent.name(),
            queued = run.is_queued(),
            "run taken"
        );
        Ok((accepted, run.on_stored(self, started, request.parent)))
    }

    /// The agent, and a place for the run now or in the user's queue.
    fn place(
        &self,
        user_id: &UserId,
        run_id: RunId,
        agent: Option<&str>,
    ) -> Result<(Arc<dyn Agent>, Slot), Refusal> {
        if self.closed.is_cancelled() {
            return Err(Refusal::new(
                ErrorCode::ShuttingDown,
                "The server is restarting and takes no new runs.",
            ));
        }
        let agent = self.agent(agent)?;
        let slot = self.registry.claim(user_id, run_id).map_err(Self::too_many)?;
        Ok((agent, slot))
    }

    /// The answer that a request got before, whatever has changed since; a refusal when it was not asked before.
    async fn answered_or(
        &self,
        user_id: &UserId,
        request: Option<RequestKey>,
        refusal: Refusal,
    ) -> Result<ControlBody, Refusal> {
        let answered = match &request {
            Some(key) => in_time(STORE_PATIENCE, self.store.answered(user_id, key)).await?,
            None => None,
        };
        answered.ok_or_else(|| {
            if refusal.body.error_code == ErrorCode::TooManyRuns {
                self.metrics.runs_refused.inc();
            }
            refusal
        })
    }

    async fn store_start(self: &Arc<Self>, start: StartRun) -> Result<Answer<Started>, StoreError> {
        let (runs, start, wait) = (self.clone(), Arc::new(start), self.limits.store_wait);
        let write = async move {
            // A lease counts from the try that takes it.
            let start_run = || runs.store.start_run(start.clone(), runs.lease_term());
            while_away(wait, &runs.draining, start_run).await
        };
        self.publisher.carry_out_in_time(wait + STORE_PATIENCE, write).await
    }

    fn agent(&self, name: Option<&str>) -> Result<Arc<dyn Agent>, Refusal> {
        let found = match name {
            None => self.agents.first(),
            Some(name) => self.agents.iter().find(|agent| agent.name() == name),
        };
        found.cloned().ok_or_else(|| Refusal::new(ErrorCode::NotFound, "There is no agent of that name."))
    }

    fn too_many(full: Full) -> Refusal {
        Refusal::new(
            ErrorCode::TooManyRuns,
            format!("You have {} runs going and {} waiting; wait for one to end.", full.running, full.queued),
        )
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
}
