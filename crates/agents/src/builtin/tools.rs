//! The tools as an MCP server: what they are called, what they take, and the call of one by its name.

pub(crate) mod calculate;
pub(crate) mod count;
pub(crate) mod search_threads;
pub(crate) mod text_statistics;
pub(crate) mod timer;

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    handler::server::tool::schema_for_type,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, Implementation, JsonObject, ListToolsResult,
        PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::work::Workers;
use crate::ToolError;

/// All tools of the builtin agent, by name.
pub(crate) const NAMES: [&str; 5] = ["calculate", "text_statistics", "timer", "count", "search_threads"];

/// The server of the tools that need nobody's data: one serves every run, and computes off the async threads.
pub(crate) struct Toolbox(pub(super) Workers);

impl ServerHandler for Toolbox {
    fn get_info(&self) -> ServerConfig {
        server_config("Exact, deterministic tools; none reads or keeps anybody's data.")
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(vec![
            tool::<calculate::ExpressionArguments>("calculate", calculate::DESCRIPTION),
            tool::<text_statistics::TextArguments>("text_statistics", text_statistics::DESCRIPTION),
            tool::<timer::TimerArguments>("timer", timer::DESCRIPTION),
            tool::<count::CountArguments>("count", count::DESCRIPTION),
        ]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let (name, arguments) = (request.name, request.arguments);
        if name == "timer" {
            return Ok(response(match read(arguments) {
                Ok(arguments) => timer::timer(arguments, &context.ct).await,
                Err(failure) => Err(failure),
            }));
        }
        tokio::select! {
            computed = compute(&self.0, &name, arguments) => match computed {
                Some(result) => Ok(response(result)),
                None => Err(unknown_tool(&name)),
            },
            () = context.ct.cancelled() => {
                Ok(response(Err(ToolError::new("cancelled", "The call was cancelled."))))
            }
        }
    }
}

/// Calls a tool that only computes; nothing when it is none of those. One that panics has failed: the run would wait for its
/// deadline.
pub(crate) async fn compute(
    workers: &Workers,
    name: &str,
    arguments: Option<JsonObject>,
) -> Option<Result<Value, ToolError>> {
    let bytes = arguments.iter().flat_map(JsonObject::values).filter_map(Value::as_str).map(str::len).sum();
    let name = name.to_owned();
    let computed = workers.run(bytes, move || computed(&name, arguments)).await;
    computed.unwrap_or_else(|| Some(Err(ToolError::new("tool_failed", "The tool broke down on this input."))))
}

fn computed(name: &str, arguments: Option<JsonObject>) -> Option<Result<Value, ToolError>> {
    Some(match name {
        "calculate" => call(arguments, calculate::calculate),
        "text_statistics" => call(arguments, text_statistics::text_statistics),
        "count" => call(arguments, count::count),
        _ => return None,
    })
}

/// What a server of ours says of itself.
pub(crate) fn server_config(instructions: &str) -> ServerConfig {
    ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
        .with_server_info(Implementation::new("wireproof-builtin", env!("CARGO_PKG_VERSION")))
        .with_instructions(instructions)
}

/// A tool's entry in the list, its schema taken from the type of its arguments.
pub(crate) fn tool<A: JsonSchema + 'static>(name: &'static str, description: &'static str) -> Tool {
    Tool::new(name, description, schema_for_type::<A>())
}

/// The protocol's error for a tool that is not there.
pub(crate) fn unknown_tool(name: &str) -> ErrorData {
    ErrorData::invalid_params(format!("there is no tool {name:?}"), None)
}

/// A result as MCP carries it; a failure is the tool's answer, not an error of the protocol.
pub(crate) fn response(result: Result<Value, ToolError>) -> CallToolResponse {
    CallToolResponse::Complete(match result {
        Ok(value) => CallToolResult::structured(value),
        Err(ToolError { code, message }) => {
            CallToolResult::structured_error(json!({ "code": code, "message": message }))
        }
    })
}

/// The arguments as the tool's own type.
pub(crate) fn read<A: DeserializeOwned>(arguments: Option<JsonObject>) -> Result<A, ToolError> {
    serde_json::from_value(Value::Object(arguments.unwrap_or_default()))
        .map_err(|error| ToolError::new("invalid_arguments", format!("The arguments do not fit: {error}.")))
}

/// Reads the arguments and runs a tool that only computes.
fn call<A: DeserializeOwned>(
    arguments: Option<JsonObject>,
    tool: fn(A) -> Result<Value, ToolError>,
) -> Result<Value, ToolError> {
    tool(read(arguments)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{
            answer,
            plan::{Ask, plan},
        },
        *,
    };

    const WORDS: [&str; 30] = [
        "what is",
        "17*23",
        "how many",
        "words",
        "this sentence",
        "?",
        ".",
        ",",
        "and",
        "\"a b\"",
        "\"",
        "`",
        "(",
        "search for",
        "my threads",
        "longest word",
        "2 ^",
        "wait",
        "3 s",
        "every",
        "1 ms",
        "count",
        "from",
        "to",
        "-3",
        "12:30",
        "99999999999999",
        "1/0",
        "fail on purpose",
        "\n",
    ];

    proptest! {
        /// Whatever a message leads to, the tools understand their arguments, none breaks down, and there is an answer.
        #[test]
        fn plans_fit_the_tools(words in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..40)) {
            let plan = plan(&words.join(" "));
            let mut outcomes = Vec::new();
            for step in &plan.steps {
                let outcome = computed(step.tool, Some(step.parameters.clone()));
                prop_assert!(outcome.is_some() || matches!(step.ask, Ask::Timer | Ask::Search), "{step:?}");
                let outcome = outcome.unwrap_or_else(|| Ok(json!({})));
                let code = outcome.as_ref().err().map(|failure| failure.code.as_str());
                prop_assert!(!matches!(code, Some("tool_failed" | "invalid_arguments")), "{step:?}: {outcome:?}");
                outcomes.push(outcome);
            }
            prop_assert!(!answer::compose(&plan, &outcomes).is_empty() && !plan.reasoning().is_empty());
        }
    }
}
