//! Threads and messages over REST: the same rules and events as over the socket.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wireproof_protocol::{
    ClientFrame, ControlBody, ErrorBody, ErrorCode, MAX_TITLE, NOT_BLANK, RequestId, Thread, ThreadId,
};

use super::{
    extract::{Id, Object, Parameters, User},
    openapi::Metadata,
};
use crate::{
    app::{Context, request_key},
    error::Refusal,
    runs::RunRequest,
    store::{Answer, ThreadChange},
    threads::{Threads, new_thread_id, thread_id},
    traces::TraceParent,
};

/// A page of a list.
#[derive(Deserialize)]
pub struct Paging {
    limit: Option<u64>,
    offset: Option<u64>,
}

/// A new thread.
#[derive(Deserialize, JsonSchema)]
pub struct NewThread {
    /// Its name, of 1 to 128 characters; a new one when absent.
    #[schemars(with = "Option<ThreadId>")]
    thread_id: Option<String>,
    /// The title; `New thread` when there is none.
    #[schemars(length(max = MAX_TITLE))]
    title: Option<String>,
    /// What the client keeps with it: at most 16 KiB as JSON.
    #[schemars(with = "Option<Metadata>")]
    metadata: Option<Map<String, Value>>,
}

/// What is to change; what is absent stays.
#[derive(Deserialize, JsonSchema)]
pub struct Retitled {
    /// The title, not blank.
    #[schemars(length(max = MAX_TITLE), regex(pattern = NOT_BLANK))]
    title: Option<String>,
    /// What the client keeps with it, in place of what was there: at most 16 KiB as JSON.
    #[schemars(with = "Option<Metadata>")]
    metadata: Option<Map<String, Value>>,
}

/// A message to an agent.
#[derive(Deserialize, JsonSchema)]
pub struct NewMessage {
    /// The text, not blank.
    #[schemars(regex(pattern = NOT_BLANK))]
    content: String,
    /// The agent; the server's first when absent.
    agent: Option<String>,
    /// The request's id: the same id with the same body gets the same answer.
    #[schemars(with = "Option<RequestId>")]
    id: Option<String>,
}

type Shared = State<Arc<Context>>;

/// `GET /api/threads?limit=&offset=`
pub async fn list(
    State(context): Shared,
    User(user): User,
    Parameters(page): Parameters<Paging>,
) -> Result<Json<Value>, Refusal> {
    let (threads, total, window) = context.threads.list(&user, page.limit, page.offset).await?;
    Ok(Json(json!({ "threads": threads, "total": total, "limit": window.limit, "offset": window.offset })))
}

/// `POST /api/threads` `{thread_id?, title?, metadata?}`: 200 and the thread as it is when the name is taken.
pub async fn create(
    State(context): Shared,
    User(user): User,
    Object(new): Object<NewThread>,
) -> Result<(StatusCode, Json<Thread>), Refusal> {
    let thread_id = new.thread_id.as_deref().map(new_thread_id).transpose()?;
    let change = Threads::creation(thread_id, new.title, new.metadata);
    match context.threads.change(&user, None, change).await? {
        Answer::Done(thread) => Ok((StatusCode::CREATED, Json(thread))),
        Answer::Unchanged(thread) => Ok((StatusCode::OK, Json(thread))),
        Answer::Repeated(_) => {
            Err(Refusal::new(ErrorCode::Internal, "A request without an id cannot repeat."))
        }
    }
}

/// `GET /api/threads/{id}`
pub async fn show(State(context): Shared, User(user): User, Id(id): Id) -> Result<Json<Thread>, Refusal> {
    context.threads.get(&user, &thread_id(&id)?).await.map(Json)
}

/// `PATCH /api/threads/{id}` `{title?, metadata?}`
pub async fn update(
    State(context): Shared,
    User(user): User,
    Id(id): Id,
    Object(new): Object<Retitled>,
) -> Result<Json<Thread>, Refusal> {
    let thread_id = thread_id(&id)?;
    let change = ThreadChange::Update { thread_id, title: new.title, metadata: new.metadata };
    match context.threads.change(&user, None, change).await? {
        Answer::Done(thread) | Answer::Unchanged(thread) => Ok(Json(thread)),
        Answer::Repeated(_) => {
            Err(Refusal::new(ErrorCode::Internal, "A request without an id cannot repeat."))
        }
    }
}

/// `DELETE /api/threads/{id}`
pub async fn delete(State(context): Shared, User(user): User, Id(id): Id) -> Result<StatusCode, Refusal> {
    context.threads.change(&user, None, ThreadChange::Delete { thread_id: thread_id(&id)? }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/threads/{id}/messages?limit=&offset=`: the latest page when no offset is given.
pub async fn messages(
    State(context): Shared,
    User(user): User,
    Id(id): Id,
    Parameters(page): Parameters<Paging>,
) -> Result<Json<Value>, Refusal> {
    let page = context.threads.messages(&user, &thread_id(&id)?, page.limit, page.offset).await?;
    Ok(Json(json!({
        "messages": page.messages,
        "total": page.total,
        "limit": page.limit,
        "offset": page.offset,
    })))
}

/// `POST /api/threads/{id}/messages` `{content, agent?, id?}`: starts a run, as `chat` does, in a
/// thread that is made when it is not there.
pub async fn write(
    State(context): Shared,
    User(user): User,
    Id(id): Id,
    headers: HeaderMap,
    Object(message): Object<NewMessage>,
) -> Result<(StatusCode, Json<ControlBody>), Refusal> {
    if message.content.trim().is_empty() {
        let body = ErrorBody::new(ErrorCode::InvalidFrame, "Empty content: a message needs text.");
        return Err(body.detail("field", "content").into());
    }
    let limit = context.limits.message_bytes;
    if limit > 0 && message.content.len() > limit {
        let sentence = format!("The message is larger than {limit} bytes and was not carried out.");
        return Err(Refusal::new(ErrorCode::MessageTooLarge, sentence));
    }
    let thread_id = Some(new_thread_id(&id)?);
    let key = match message.id {
        None => None,
        Some(request) => {
            let request = RequestId::new(&request).map_err(|e| {
                let body = ErrorBody::new(ErrorCode::InvalidFrame, format!("The field \"id\" {e}."));
                Refusal::from(body.detail("field", "id"))
            })?;
            let (content, agent) = (message.content.clone(), message.agent.clone());
            let frame = ClientFrame::Chat { content, thread_id: thread_id.clone(), agent };
            Some(request_key(&request, &frame))
        }
    };
    let request = RunRequest {
        request: key,
        content: message.content,
        thread_id,
        agent: message.agent,
        parent: TraceParent::of(&headers),
    };
    let accepted = context.runs.start(&user, request).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}
