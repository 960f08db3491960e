//! An agent that spoils what another one is asked or reports.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use wireproof_agents::{Agent, AgentError, Answer, Emission, RunContext, emissions};

/// Emissions that may wait between the two agents, and their bytes.
const WAITING: (usize, u32) = (256, 1 << 20);

/// What an agent does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentFault {
    /// Every message is taken for this one.
    Answers(&'static str),
    /// The pieces of the answer are held back until its end.
    HoldsPieces,
}

/// A good agent with a fault.
pub struct FaultyAgent {
    inner: Arc<dyn Agent>,
    fault: AgentFault,
}

impl FaultyAgent {
    /// The agent with the fault, under its own name.
    pub fn new(inner: Arc<dyn Agent>, fault: AgentFault) -> Self {
        Self { inner, fault }
    }
}

impl Agent for FaultyAgent {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn greeting(&self) -> String {
        self.inner.greeting()
    }

    fn tools(&self) -> Vec<String> {
        self.inner.tools()
    }

    fn may_begin_early(&self, content: &str) -> bool {
        self.inner.may_begin_early(content)
    }

    fn run(&self, context: RunContext) -> BoxFuture<'static, Result<Answer, AgentError>> {
        match self.fault {
            AgentFault::Answers(content) => self.inner.run(context.with_content(content)),
            AgentFault::HoldsPieces => Box::pin(hold_pieces(self.inner.clone(), context)),
        }
    }
}

/// Runs the agent, and passes the pieces of its answer on once it has ended.
async fn hold_pieces(agent: Arc<dyn Agent>, outer: RunContext) -> Result<Answer, AgentError> {
    let (sender, mut reported) = emissions(WAITING.0, WAITING.1);
    let (mut inner, mut held) = (agent.run(outer.clone().with_emissions(sender)), Vec::new());
    let answer = loop {
        tokio::select! {
            biased;
            Some(emission) = reported.recv() => match emission {
                Emission::MessageDelta { .. } => held.push(emission),
                other => outer.emit(other).await?,
            },
            answer = &mut inner => break answer,
        }
    };
    for emission in held.into_iter().chain(std::iter::from_fn(|| reported.try_recv())) {
        outer.emit(emission).await?;
    }
    answer
}
