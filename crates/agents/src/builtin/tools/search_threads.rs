//! The `search_threads` tool: a server of its own for one run, that holds nothing but that run's search.
//!
//! The search is a capability: the server gave the run a closure that is bound to its user, and this MCP server lives
//! only as long as the run. No user id travels in a request, no key is looked up in a table that others share, so there
//! is nothing a message could say, and no mix-up of keys, that would reach another user's threads.

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{CallToolRequestParams, CallToolResponse, ListToolsResult, PaginatedRequestParams, ServerConfig},
    service::RequestContext,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use wireproof_protocol::ThreadId;

use super::{read, response, server_config, tool, unknown_tool};
use crate::{RunContext, SearchThreads, ThreadHit, ToolError};

/// What the tool says about itself.
const DESCRIPTION: &str = "Searches the messages of the user's own threads for a text; newest hits first.";

/// Hits given unless asked otherwise.
const DEFAULT_LIMIT: usize = 5;

/// Most hits given.
const MAX_LIMIT: usize = 20;

/// What to search for.
#[derive(Debug, Deserialize, JsonSchema)]
struct Arguments {
    /// The text to find.
    query: String,
    /// Most hits: 5 if absent, at most 20.
    limit: Option<usize>,
}

/// The server of one run's search.
pub(crate) struct ThreadSearch {
    search: SearchThreads,
    thread_id: ThreadId,
    question: String,
}

impl ThreadSearch {
    /// The search of this run's user.
    pub(crate) fn new(context: &RunContext) -> Self {
        Self {
            search: context.search.clone(),
            thread_id: context.thread_id().clone(),
            question: context.content().to_owned(),
        }
    }

    async fn search(&self, arguments: Arguments) -> Result<Value, ToolError> {
        let query = arguments.query.trim();
        if query.is_empty() {
            return Err(ToolError::new("invalid_arguments", "There is no text to search for."));
        }
        let limit = arguments.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
        // One more, for the question itself stands in the thread by now and is no find.
        let mut hits = (self.search)(query.to_owned(), limit + 1).await?;
        hits.retain(|hit| !self.is_the_question(hit));
        hits.truncate(limit);
        Ok(json!({ "query": query, "count": hits.len(), "hits": hits }))
    }

    fn is_the_question(&self, hit: &ThreadHit) -> bool {
        let excerpt = hit.excerpt.trim_matches(|c: char| c.is_whitespace() || c == '…' || c == '.');
        hit.thread_id == self.thread_id && hit.role == "user" && self.question.contains(excerpt)
    }
}

impl ServerHandler for ThreadSearch {
    fn get_info(&self) -> ServerConfig {
        server_config("Search in the threads of the one user whose run this is.")
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(vec![tool::<Arguments>("search_threads", DESCRIPTION)]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if request.name != "search_threads" {
            return Err(unknown_tool(&request.name));
        }
        let result = match read(request.arguments) {
            Ok(arguments) => tokio::select! {
                result = self.search(arguments) => result,
                () = context.ct.cancelled() => Err(ToolError::new("cancelled", "The search was cancelled.")),
            },
            Err(failure) => Err(failure),
        };
        Ok(response(result))
    }
}
