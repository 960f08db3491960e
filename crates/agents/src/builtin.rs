//! The builtin agent: follows fixed rules, needs no key and no network, and does its work with real MCP tools.
//! `plan` reads the message, `link` reaches the tools, `run` follows the plan, `answer` puts the results into words.

mod answer;
mod link;
mod pipe;
mod plan;
mod run;
mod tools;
mod work;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;

use crate::{Agent, AgentError, Answer, RunContext, ToolError};
use link::Link;
use tools::Toolbox;
use work::{Turns, Workers};

/// Longest run of one tool unless set otherwise.
const TOOL_DEADLINE: Duration = Duration::from_secs(60);

/// An agent without a language model: deterministic rules that plan tool calls and phrase their results.
///
/// It calculates, counts what a text is made of, searches the user's own threads, waits (`wait 3 seconds`), counts aloud
/// at a steady pace (`count from 1 to 50`) and fails when told to (`fail on purpose`). A clone shares the tools' MCP
/// connection.
#[derive(Clone, Default)]
pub struct Builtin {
    tools: Arc<Tools>,
}

impl Builtin {
    /// An agent whose tools start with its first run and may take 60 s each.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same agent with another deadline for each tool call, and tools of its own.
    pub fn with_tool_deadline(self, deadline: Duration) -> Self {
        Self { tools: Arc::new(Tools { deadline, ..Tools::default() }) }
    }
}

impl Agent for Builtin {
    fn name(&self) -> &str {
        "builtin"
    }

    fn greeting(&self) -> String {
        "The builtin agent, which follows fixed rules, is working on your message.".to_owned()
    }

    fn tools(&self) -> Vec<String> {
        tools::NAMES.iter().map(|name| (*name).to_owned()).collect()
    }

    fn may_begin_early(&self, content: &str) -> bool {
        // The work of a large one goes to other threads, of which a user whose messages are refused shall have none.
        work::is_small(content.len())
    }

    fn run(&self, context: RunContext) -> BoxFuture<'static, Result<Answer, AgentError>> {
        Box::pin(run::run(self.tools.clone(), context))
    }
}

/// What all runs share: the connection to the tools that hold nobody's data, and the threads for their work.
struct Tools {
    deadline: Duration,
    workers: Workers,
    turns: Turns,
    link: Mutex<Arc<OnceCell<Arc<Link>>>>,
}

impl Default for Tools {
    fn default() -> Self {
        Self {
            deadline: TOOL_DEADLINE,
            workers: Workers::default(),
            turns: Turns::default(),
            link: Mutex::default(),
        }
    }
}

impl Tools {
    /// The connection, made on first use and again if the runtime that carried it is gone.
    async fn link(&self) -> Result<Arc<Link>, ToolError> {
        let link = self.connected(|_| false).await?;
        if link.is_closed() { self.connected(Link::is_closed).await } else { Ok(link) }
    }

    async fn connected(&self, outworn: fn(&Link) -> bool) -> Result<Arc<Link>, ToolError> {
        let cell = {
            let mut cell = self.link.lock().unwrap_or_else(PoisonError::into_inner);
            if cell.get().is_some_and(|link| outworn(link)) {
                *cell = Arc::default();
            }
            cell.clone()
        };
        cell.get_or_try_init(|| async { Link::open(Toolbox(self.workers.clone())).await.map(Arc::new) })
            .await
            .cloned()
    }
}
