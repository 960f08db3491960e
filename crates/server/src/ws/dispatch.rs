//! Carries out the requests of a client: every request has exactly one outcome.

use wireproof_protocol::{ClientFrame, ControlBody, ErrorCode, RequestId, UserId};

use crate::{
    app::{Context, request_key},
    delivery::start::{RequestedPosition, Start},
    error::Refusal,
    runs::RunRequest,
    store::{Answer, RequestKey, STORE_PATIENCE, ThreadChange, in_time},
    threads::{Threads, changed, thread_id},
    traces::TraceParent,
};

/// What the connection does with an outcome.
pub enum FrameOutcome {
    /// Sends it, behind the events so far.
    Say(ControlBody),
    /// Sends it once the events up to a number are delivered.
    SayAfter(u64, ControlBody),
    /// Sends nothing: the events are the outcome.
    Events,
    /// Starts the events again at another place of the log.
    Start(Box<Start>),
}

/// Carries a request out for the user of the connection.
pub async fn carry_out(
    context: &Context,
    user_id: &UserId,
    frame: ClientFrame,
    id: Option<&RequestId>,
    parent: Option<TraceParent>,
) -> FrameOutcome {
    match try_carry_out(context, user_id, frame, id, parent).await {
        Ok(outcome) => outcome,
        Err(refusal) => FrameOutcome::Say(ControlBody::Error(*refusal.body)),
    }
}

async fn try_carry_out(
    context: &Context,
    user_id: &UserId,
    frame: ClientFrame,
    id: Option<&RequestId>,
    parent: Option<TraceParent>,
) -> Result<FrameOutcome, Refusal> {
    let key = id.map(|id| request_key(id, &frame));
    // Without an id the events are the answer; with one, an answer is sent as well.
    let answered =
        |body: ControlBody| if id.is_some() { FrameOutcome::Say(body) } else { FrameOutcome::Events };
    match frame {
        ClientFrame::Ping => {
            let seq = in_time(STORE_PATIENCE, context.store.head(user_id)).await?.seq;
            Ok(FrameOutcome::SayAfter(seq, ControlBody::Pong { seq }))
        }
        ClientFrame::Heartbeat => {
            let seq = in_time(STORE_PATIENCE, context.store.head(user_id)).await?.seq;
            Ok(FrameOutcome::SayAfter(seq, ControlBody::HeartbeatAck { seq }))
        }
        ClientFrame::Chat { content, thread_id, agent }
        | ClientFrame::StartAgent { user_request: content, thread_id, agent } => {
            let request = RunRequest { request: key, content, thread_id, agent, parent };
            context.runs.start(user_id, request).await.map(answered)
        }
        ClientFrame::CancelRun { run_id } => {
            cancel(context, user_id, &run_id, key).await.map(FrameOutcome::Say)
        }
        ClientFrame::CreateThread { thread_id, retitle } => {
            let change = Threads::creation(thread_id, retitle.title, retitle.metadata);
            change_thread(context, user_id, key, change).await.map(answered)
        }
        ClientFrame::RenameThread { thread_id, retitle } => {
            let thread_id = self::thread_id(&thread_id)?;
            let change = ThreadChange::Update { thread_id, title: retitle.title, metadata: retitle.metadata };
            change_thread(context, user_id, key, change).await.map(answered)
        }
        ClientFrame::DeleteThread { thread_id } => {
            let change = ThreadChange::Delete { thread_id: self::thread_id(&thread_id)? };
            change_thread(context, user_id, key, change).await.map(answered)
        }
        ClientFrame::SwitchThread { thread_id } => {
            context.threads.show(user_id, &self::thread_id(&thread_id)?).await.map(FrameOutcome::Say)
        }
        ClientFrame::GetThreadHistory { thread_id, limit, offset } => {
            let thread_id = self::thread_id(&thread_id)?;
            let page = context.threads.messages(user_id, &thread_id, limit, offset).await?;
            let thread_id = match thread_id.canonical() {
                Some(_) => context.threads.get(user_id, &thread_id).await?.thread_id,
                None => thread_id,
            };
            let (messages, total, limit, offset) = (page.messages, page.total, page.limit, page.offset);
            Ok(FrameOutcome::Say(ControlBody::ThreadHistory { thread_id, messages, total, limit, offset }))
        }
        ClientFrame::Typing { thread_id, .. } => {
            let thread = context.threads.get(user_id, &self::thread_id(&thread_id)?).await?;
            Ok(FrameOutcome::Say(changed(thread.thread_id)))
        }
        ClientFrame::Approve { .. } => {
            Err(Refusal::new(ErrorCode::NotFound, "There is no such open approval."))
        }
        ClientFrame::Resume { epoch, after } => {
            let requested = RequestedPosition { epoch, after: after.to_string() }.parse();
            let start = context.log.open(user_id, Some(requested)).await?;
            Ok(FrameOutcome::Start(Box::new(start)))
        }
        ClientFrame::Authenticate { .. } => {
            Err(Refusal::new(ErrorCode::Internal, "A token is checked before it gets here."))
        }
    }
}

async fn change_thread(
    context: &Context,
    user_id: &UserId,
    key: Option<RequestKey>,
    change: ThreadChange,
) -> Result<ControlBody, Refusal> {
    Ok(match context.threads.change(user_id, key, change).await? {
        Answer::Repeated(answer) => *answer,
        Answer::Done(thread) | Answer::Unchanged(thread) => changed(thread.thread_id),
    })
}

async fn cancel(
    context: &Context,
    user_id: &UserId,
    run_id: &str,
    key: Option<RequestKey>,
) -> Result<ControlBody, Refusal> {
    if let Some(key) = &key
        && let Some(answer) = in_time(STORE_PATIENCE, context.store.answered(user_id, key)).await?
    {
        return Ok(answer);
    }
    let run_id = run_id.parse().map_err(|_| Refusal::new(ErrorCode::NotFound, "There is no such run."))?;
    let answer = context.runs.cancel(user_id, run_id).await?;
    if let Some(key) = key {
        let kept = context.store.remember(user_id, key, answer.clone(), crate::clock::unix_now());
        in_time(STORE_PATIENCE, kept).await?;
    }
    Ok(answer)
}
