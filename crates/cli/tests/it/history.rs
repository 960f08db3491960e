//! What a log says: read whole from the server, held against what clients received, and against the rules.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::tempdir;
use wireproof_client::Connection;
use wireproof_protocol::{ClientFrame, ControlBody, Epoch, Event, EventBody, Incoming, Position, UserState};

use crate::process::{Server, WITHIN, token};

/// The user's whole log, as a connection that has seen nothing is told it.
pub(crate) async fn read_log(server: &Server, token: &str, epoch: Epoch) -> Result<Vec<Event>> {
    let connect = server.connect(token).resume(Position { epoch, seq: 0 });
    let (mut connection, welcome) = connect.open_welcomed().await?;
    ensure!(welcome.epoch == epoch, "the epoch was {epoch} and is {}", welcome.epoch);
    ensure!(welcome.resumed, "the log is not served from its beginning");
    let events = until_caught_up(&mut connection).await?;
    let last = events.last().map_or(0, |event| event.seq);
    ensure!(last >= welcome.seq, "the replay ends at {last}, the head was {}", welcome.seq);
    connection.close(1000, "").await?;
    Ok(events)
}

/// The events up to the end of the replay.
pub(crate) async fn until_caught_up(connection: &mut Connection) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    loop {
        match connection.recv(WITHIN).await?.incoming {
            Incoming::Event(event) => events.push(*event),
            Incoming::Control(control) => match control.body {
                ControlBody::CaughtUp { .. } => return Ok(events),
                other => bail!("in place of the replay came {other:?}"),
            },
            Incoming::Unknown(value) => bail!("a frame of no known type: {value}"),
        }
    }
}

/// The events up to the end of a run.
pub(crate) async fn until_completed(connection: &mut Connection) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    loop {
        match connection.recv(WITHIN).await?.incoming {
            Incoming::Event(event) => events.push(*event),
            Incoming::Control(control) if matches!(control.body, ControlBody::Accepted { .. }) => {}
            other => bail!("in a run came {other:?}"),
        }
        if events.last().is_some_and(|event| matches!(event.body, EventBody::AgentCompleted { .. })) {
            return Ok(events);
        }
    }
}

/// The state that the log tells, if it obeys every rule from its first event on.
pub(crate) fn fold(log: &[Event]) -> Result<UserState> {
    let mut state = UserState::default();
    log.iter().try_for_each(|event| state.apply(event))?;
    Ok(state)
}

/// Every run that the log tells of has its one end.
pub(crate) fn all_ended(state: &UserState) -> Result<()> {
    for (run_id, run) in &state.runs {
        ensure!(run.outcome.is_some(), "run {run_id} has no end");
    }
    Ok(())
}

/// What clients received from the log's beginning on stands in it unchanged. Deltas may have been merged since.
pub(crate) fn is_kept(received: &[Event], log: &[Event]) -> Result<()> {
    let (received, log) = (joined(received)?, joined(log)?);
    ensure!(log.len() >= received.len(), "{} events were received, {} are there", received.len(), log.len());
    let last = received.len().saturating_sub(1);
    for (index, (received, kept)) in received.iter().zip(&log).enumerate() {
        let same = received == kept || (index == last && begins(kept, received));
        ensure!(same, "an event was received as {received:#}\nand is now {kept:#}");
    }
    Ok(())
}

/// The events with neighbouring deltas put together: however they were merged on their way, the result is the same.
fn joined(events: &[Event]) -> Result<Vec<Value>> {
    let mut joined: Vec<Value> = Vec::new();
    for event in events {
        let mut next = serde_json::to_value(event)?;
        if event.body.delta().is_some() {
            let fields = next.as_object_mut().context("an event is an object")?;
            // A merged delta has those of its last part, and only the range is left of the others.
            for name in ["event_id", "timestamp", "first_run_seq"] {
                fields.remove(name);
            }
            fields.insert("first_seq".into(), json!(event.range().0));
        }
        match joined.last_mut() {
            Some(last) if follows(last, &next) => {
                let text = [text_of(last), text_of(&next)].concat();
                let first = last["first_seq"].take();
                *last = next;
                (last["delta"], last["first_seq"]) = (text.into(), first);
            }
            _ => joined.push(next),
        }
    }
    Ok(joined)
}

fn text_of(event: &Value) -> String {
    event["delta"].as_str().unwrap_or_default().to_owned()
}

fn follows(last: &Value, next: &Value) -> bool {
    let same = |name| last.get(name) == next.get(name);
    next.get("delta").is_some() && ["type", "run_id", "message_id", "tool_call_id"].into_iter().all(same)
}

/// True when the delta `kept` only says more than `received`: more of it was stored than was delivered.
fn begins(kept: &Value, received: &Value) -> bool {
    let longer = kept["seq"].as_u64() > received["seq"].as_u64();
    let same = |name| kept.get(name) == received.get(name);
    longer
        && ["type", "run_id", "message_id", "tool_call_id", "first_seq"].into_iter().all(same)
        && received.get("delta").is_some()
        && text_of(kept).starts_with(&text_of(received))
}

/// A comparison that notices nothing would let every other test pass.
#[tokio::test]
async fn what_is_lost_changed_or_swapped_is_noticed() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    let (mut connection, _) = server.connect(&token(folder.path(), "ada").await?).open_welcomed().await?;
    let content = "Count from 1 to 3.".to_owned();
    connection.send(&ClientFrame::Chat { content, thread_id: None, agent: None }, None).await?;
    let log = until_completed(&mut connection).await?;

    for received in 0..=log.len() {
        is_kept(&log[..received], &log).with_context(|| format!("the first {received} events"))?;
    }
    for place in 0..log.len() {
        let mut lost = log.clone();
        lost.remove(place);
        assert!(is_kept(&log, &lost).is_err() && fold(&log[..=place]).is_ok(), "{:?} was lost", log[place]);
        let mut changed = log.clone();
        match &mut changed[place].body {
            EventBody::MessageDelta { delta, .. } => delta.push('!'),
            _ => changed[place].timestamp += 1.0,
        }
        assert!(is_kept(&log, &changed).is_err(), "{:?} was changed", log[place]);
        let mut swapped = log.clone();
        swapped.swap(place, (place + 1) % log.len());
        assert!(is_kept(&log, &swapped).is_err() && fold(&swapped).is_err(), "{:?} was moved", log[place]);
    }
    Ok(())
}
