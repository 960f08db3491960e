//! What a server must still say: docs/protocol.md, "What later versions may add". Fields and types of frames may be added;
//! what was said stays, but for what is different each time and what is prose or an agent's own.

use std::collections::HashMap;

use anyhow::{Result, bail, ensure};
use serde_json::Value;

/// The types of frames that version 1 began with.
const TYPES: [&str; 27] = [
    "connection_established",
    "pong",
    "heartbeat_ack",
    "ack",
    "accepted",
    "thread_data",
    "thread_history",
    "snapshot",
    "caught_up",
    "token_expiring",
    "go_away",
    "error",
    "thread_created",
    "thread_updated",
    "thread_deleted",
    "message_created",
    "status_update",
    "agent_started",
    "agent_thinking",
    "thinking_delta",
    "tool_arguments_delta",
    "tool_executing",
    "tool_completed",
    "message_delta",
    "approval_requested",
    "approval_resolved",
    "agent_completed",
];

/// Numbers that are different each time: times, and places in a log whose deltas are cut by time.
const MEASURED: [&str; 9] = [
    "timestamp",
    "server_time",
    "created_at",
    "updated_at",
    "duration_ms",
    "seq",
    "first_seq",
    "run_seq",
    "first_run_seq",
];

/// Prose for people, and what an agent says: of these only the type counts.
const PROSE: [&str; 6] = ["message", "reasoning", "detail", "final_response", "parameters", "result"];

/// Objects whose numbers the settings give.
const SET: [&str; 2] = ["limits", "details"];

/// True for a frame of a type that came later.
pub(super) fn is_later(frame: &Value) -> bool {
    !frame["type"].as_str().is_some_and(|name| TYPES.contains(&name))
}

/// The ids of then and now: whatever was the same then is the same now.
#[derive(Default)]
pub(super) struct Ids(HashMap<String, String>);

impl Ids {
    /// What an id of then is now.
    pub(super) fn now<'a>(&'a self, then: &'a str) -> &'a str {
        self.0.get(then).map_or(then, String::as_str)
    }

    /// A text of then with the ids of now.
    pub(super) fn replace(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (then, now)| text.replace(then, now))
    }

    fn same(&mut self, then: &str, now: &str) -> Result<()> {
        let known = self.0.entry(then.to_owned()).or_insert_with(|| now.to_owned());
        ensure!(known == now, "{then} was {known} before and is {now} here");
        Ok(())
    }
}

/// A UUID, or an epoch.
fn is_id(text: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match text.len() {
        36 => text.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && text.split('-').all(is_hex),
        16 => is_hex(text),
        _ => false,
    }
}

/// Fails where `now` lacks something that `then` says.
pub(super) fn still_says(then: &Value, now: &Value, ids: &mut Ids) -> Result<()> {
    compare(then, now, "", false, ids)
}

fn compare(then: &Value, now: &Value, key: &str, set: bool, ids: &mut Ids) -> Result<()> {
    let name = key.rsplit('.').next().unwrap_or_default();
    // In an error frame `error` is a sentence; in an event it is an object, which has a code.
    let only_type = PROSE.contains(&name) || name == "error" && then.is_string();
    match (then, now) {
        (Value::Object(then), Value::Object(now)) if !only_type => {
            for (field, then_says) in then {
                let path = format!("{key}.{field}");
                let Some(now_says) = now.get(field) else { bail!("{path} is gone") };
                // What an agent answered is the agent's.
                if field == "content" && then.get("role").is_some_and(|role| role == "assistant") {
                    ensure!(now_says.is_string(), "{path} is {now_says}");
                    continue;
                }
                compare(then_says, now_says, &path, set || SET.contains(&field.as_str()), ids)?;
            }
            Ok(())
        }
        (Value::Array(then), Value::Array(now)) if !only_type => {
            ensure!(then.len() == now.len(), "{key} had {} entries and has {}", then.len(), now.len());
            then.iter().zip(now).try_for_each(|(then, now)| compare(then, now, key, set, ids))
        }
        (Value::String(then), Value::String(now)) if is_id(then) => ids.same(then, now),
        (then, now) if only_type || set && then.is_number() || MEASURED.contains(&name) => {
            let same = std::mem::discriminant(then) == std::mem::discriminant(now);
            ensure!(same, "{key} was {then} and is {now}");
            Ok(())
        }
        (then, now) => {
            ensure!(then == now, "{key} was {then} and is {now}");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn more_may_be_said_and_nothing_less() {
        let (a, b) = ("01a1fdeb-22bb-7648-bb3d-c83de02a0568", "01a1fdeb-3a5a-724e-a93f-faac7de1b723");
        let then =
            json!({ "type": "ack", "run_id": a, "thread_id": a, "timestamp": 1.5, "outcome": "cancelled" });
        for (now, taken) in [
            (
                json!({ "type": "ack", "run_id": b, "thread_id": b, "timestamp": 2.5, "outcome": "cancelled", "new": 1 }),
                true,
            ),
            (json!({ "type": "ack", "run_id": b, "thread_id": b, "timestamp": 2.5 }), false),
            (
                json!({ "type": "ack", "run_id": b, "thread_id": b, "timestamp": 2.5, "outcome": "success" }),
                false,
            ),
            (
                json!({ "type": "ack", "run_id": b, "thread_id": a, "timestamp": 2.5, "outcome": "cancelled" }),
                false,
            ),
            (
                json!({ "type": "ack", "run_id": b, "thread_id": b, "timestamp": "2", "outcome": "cancelled" }),
                false,
            ),
            (
                json!({ "type": "ack", "run_id": 7, "thread_id": b, "timestamp": 2.5, "outcome": "cancelled" }),
                false,
            ),
        ] {
            assert_eq!(still_says(&then, &now, &mut Ids::default()).is_ok(), taken, "{now}");
        }
    }

    #[test]
    fn a_frame_of_a_new_type_is_passed_over() {
        assert!(is_later(&json!({ "type": "brand_new" })) && !is_later(&json!({ "type": "pong" })));
    }
}
