//! One MCP client and server in this process, joined by an in-memory pipe; a call has a deadline and can be cancelled.

use std::time::Duration;

use rmcp::{
    RoleClient, ServerHandler, ServiceError,
    model::{
        CallToolRequest, CallToolRequestParams, CallToolResult, ClientRequest, JsonObject, ServerResult,
    },
    serve_client, serve_server,
    service::{PeerRequestOptions, RequestHandle, RunningService},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::{runtime::Handle, time::sleep};
use tokio_util::sync::CancellationToken;

use super::pipe::pipe;
use crate::ToolError;

/// Both ends of the connection; dropping it ends the services.
pub(crate) struct Link {
    client: RunningService<RoleClient, ()>,
    _server: Box<dyn Send + Sync>,
}

impl Link {
    /// Starts `server` and connects to it.
    pub(crate) async fn open<S: ServerHandler>(server: S) -> Result<Self, ToolError> {
        let (near, far) = pipe();
        let (server, client) =
            tokio::join!(Box::pin(serve_server(server, far)), Box::pin(serve_client((), near)));
        match (server, client) {
            (Ok(server), Ok(client)) => Ok(Self { client, _server: Box::new(server) }),
            _ => Err(unavailable()),
        }
    }

    /// Whether calls can no longer reach the server.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_transport_closed()
    }

    /// Calls a tool; at the deadline or on `cancelled` the server is told to stop, and the call ends at once.
    pub(crate) async fn call(
        &self,
        name: &'static str,
        arguments: JsonObject,
        deadline: Duration,
        cancelled: &CancellationToken,
    ) -> Result<Value, ToolError> {
        let parameters = CallToolRequestParams::new(name).with_arguments(arguments);
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(parameters));
        let sent = self.client.send_cancellable_request(request, PeerRequestOptions::no_options()).await;
        let mut call = Call(Some(sent.map_err(failure)?));
        let response = async {
            match call.response().await {
                Ok(ServerResult::CallToolResult(result)) => outcome(result),
                Ok(_) => Err(unavailable()),
                Err(error) => Err(failure(error)),
            }
        };
        bounded(response, deadline, cancelled).await
    }
}

/// Waits for a tool's result, until its deadline or a cancel.
pub(super) async fn bounded(
    result: impl Future<Output = Result<Value, ToolError>>,
    deadline: Duration,
    cancelled: &CancellationToken,
) -> Result<Value, ToolError> {
    tokio::select! {
        biased;
        result = result => result,
        () = cancelled.cancelled() => Err(ToolError::new("cancelled", "The run was cancelled.")),
        () = sleep(deadline) => {
            let message = format!("The tool did not end within {} s.", deadline.as_secs_f64());
            Err(ToolError::new("timeout", message))
        }
    }
}

/// A request under way; the server is told to stop when nobody waits for the response any more, also when the run
/// that asked is dropped in the middle.
struct Call(Option<RequestHandle<RoleClient>>);

impl Call {
    async fn response(&mut self) -> Result<ServerResult, ServiceError> {
        let response = match &mut self.0 {
            Some(request) => (&mut request.rx).await.unwrap_or(Err(ServiceError::TransportClosed)),
            None => Err(ServiceError::TransportClosed),
        };
        self.0 = None;
        response
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let (Some(request), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            // If the server is gone there is nothing left to stop.
            runtime.spawn(async { request.cancel(Some("no longer wanted".to_owned())).await.ok() });
        }
    }
}

/// A failure as our servers write it.
#[derive(Deserialize)]
struct Failed {
    code: String,
    message: String,
}

fn outcome(result: CallToolResult) -> Result<Value, ToolError> {
    let value = result.structured_content.unwrap_or(Value::Null);
    if result.is_error != Some(true) {
        return Ok(value);
    }
    let Failed { code, message } = serde_json::from_value(value).map_err(|_| unavailable())?;
    Err(ToolError { code, message })
}

fn failure(error: ServiceError) -> ToolError {
    match error {
        ServiceError::McpError(error) => ToolError::new("tool_failed", error.message),
        _ => unavailable(),
    }
}

pub(super) fn unavailable() -> ToolError {
    ToolError::new("tool_unavailable", "The tool could not be reached.")
}

#[cfg(test)]
mod tests {
    use rmcp::{
        ErrorData, RoleServer,
        model::{CallToolResponse, CallToolResult},
        service::RequestContext,
    };
    use tokio::sync::mpsc;

    use super::{
        super::{plan::plan, tools::Toolbox, work::Workers},
        *,
    };

    /// A server whose only tool waits until it is told to stop, and says when it starts and stops.
    struct Endless(mpsc::UnboundedSender<&'static str>);

    impl ServerHandler for Endless {
        async fn call_tool(
            &self,
            _: CallToolRequestParams,
            context: RequestContext<RoleServer>,
        ) -> Result<CallToolResponse, ErrorData> {
            self.0.send("started").unwrap();
            context.ct.cancelled().await;
            self.0.send("stopped").unwrap();
            Ok(CallToolResult::default().into())
        }
    }

    #[tokio::test]
    async fn a_tool_that_nobody_waits_for_is_stopped() {
        let (says, mut heard) = mpsc::unbounded_channel();
        let link = Link::open(Endless(says)).await.unwrap();
        let never = CancellationToken::new();
        let call = |deadline| link.call("endless", JsonObject::new(), deadline, &never);
        let timeout = call(Duration::from_millis(20)).await;
        assert_eq!(timeout.unwrap_err().code, "timeout");
        assert_eq!((heard.recv().await, heard.recv().await), (Some("started"), Some("stopped")));
        tokio::select! {
            _ = call(Duration::from_secs(60)) => panic!("the tool has no end"),
            started = heard.recv() => assert_eq!(started, Some("started")),
        }
        // The call is dropped here, as with the run that made it.
        assert_eq!(heard.recv().await, Some("stopped"));
    }

    #[tokio::test]
    async fn the_tools_are_listed_with_their_schemas() {
        let link = Link::open(Toolbox(Workers::default())).await.unwrap();
        let tools = link.client.list_all_tools().await.unwrap();
        let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_ref()).collect();
        assert_eq!(names, ["calculate", "text_statistics", "timer", "count"]);
        for tool in &tools {
            assert!(tool.description.is_some() && tool.input_schema["properties"].is_object(), "{tool:?}");
        }
        // What the planner sends is what the schema knows.
        for message in ["2+2", "hello", "wait 1 s", "count to 3 slowly"] {
            let step = plan(message).steps.remove(0);
            let tool = tools.iter().find(|tool| tool.name == step.tool).unwrap();
            let known = tool.input_schema["properties"].as_object().unwrap();
            assert!(step.parameters.keys().all(|name| known.contains_key(name)), "{message}");
        }
    }

    #[tokio::test]
    async fn a_tool_that_is_not_there_is_an_error() {
        let link = Link::open(Toolbox(Workers::default())).await.unwrap();
        let none =
            link.call("none", JsonObject::new(), Duration::from_secs(1), &CancellationToken::new()).await;
        assert_eq!(none.unwrap_err().code, "tool_failed");
        let wrong =
            link.call("timer", JsonObject::new(), Duration::from_secs(1), &CancellationToken::new()).await;
        assert_eq!(wrong.unwrap_err().code, "invalid_arguments");
    }
}
