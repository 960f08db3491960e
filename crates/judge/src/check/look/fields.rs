//! Where in a server's frames a field may stand that the profile looks for elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::MARKER;
use crate::{
    check::ReceivedFrame,
    profile::{Paths, Profile},
};

/// The path at which a value stands in one of the frames.
pub(super) fn holding(frames: &[&ReceivedFrame], value: &str) -> Option<String> {
    let is_it = |found: &Value| found.as_str() == Some(value);
    frames
        .iter()
        .find_map(|seen| leaves(&seen.json).into_iter().find(|(_, found)| is_it(found)).map(|(path, _)| path))
}

/// The path of what may be a field that stands where the profile does not look; nothing when no value is like it.
pub(super) fn candidate(
    profile: &Profile,
    name: &str,
    frames: &[&ReceivedFrame],
    user: &str,
    id: &str,
) -> Option<String> {
    let known = explained(profile);
    let mut values: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for seen in frames {
        for (path, value) in leaves(&seen.json) {
            values.entry(path).or_default().push(value);
        }
    }
    let named = |path: &str, words: &[&str]| {
        let last = path.rsplit('.').next().unwrap_or(path).to_lowercase();
        words.iter().any(|word| last.contains(word))
    };
    let mut fitting = values.iter().filter(|(path, values)| {
        let free = !known.contains(path.as_str());
        let same = values.windows(2).all(|pair| pair[0] == pair[1]);
        let whole: Vec<u64> = values.iter().filter_map(|value| value.as_u64()).collect();
        let rising = whole.len() == values.len() && whole.windows(2).all(|pair| pair[0] < pair[1]);
        let rising = rising && whole.len() > 1;
        let text = values[0].as_str().unwrap_or_default();
        let of_others =
            named(path, &["agent", "model", "user", "conn", "client", "tool", "call", "event", "message"]);
        let an_id = free && same && !of_others && named(path, &["id"]);
        match name {
            "user" => free && (text == user || named(path, &["user", "account", "owner"])),
            "run" => named(path, &["run", "task", "job"]) && (free || text == id) || an_id,
            "thread" => {
                named(path, &["thread", "conversation", "session", "chat"]) && (free || text == id) || an_id
            }
            "seq" | "run_seq" => free && rising && !named(path, &["time"]),
            "timestamp" => {
                free && (named(path, &["time", "date", "created"])
                    || path.ends_with("ts")
                    || path.ends_with("_at"))
            }
            "answer" => {
                free && !text.is_empty()
                    && (text.contains(MARKER)
                        || named(
                            path,
                            &[
                                "answer", "response", "content", "text", "message", "output", "result",
                                "reply",
                            ],
                        ))
            }
            "outcome" => {
                free && !text.is_empty() && named(path, &["outcome", "status", "state", "reason", "result"])
            }
            "connection" => free && named(path, &["conn", "session", "socket", "client", "id"]),
            "epoch" => free && named(path, &["epoch", "line", "generation", "log"]),
            _ => false,
        }
    });
    fitting.next().map(|(path, _)| path.clone())
}

/// The paths at which the profile finds something.
fn explained(profile: &Profile) -> BTreeSet<&str> {
    let fields = &profile.fields;
    let all = [
        &fields.kind,
        &fields.run,
        &fields.run_seq,
        &fields.first_run_seq,
        &fields.seq,
        &fields.first_seq,
        &fields.epoch,
        &fields.user,
        &fields.thread,
        &fields.connection,
        &fields.call,
        &fields.tool,
        &fields.result,
        &fields.tool_error,
        &fields.reasoning,
        &fields.delta,
        &fields.answer,
        &fields.outcome,
        &fields.request,
        &fields.error_code,
        &fields.error_text,
        &fields.retry_after_ms,
        &fields.approval,
        &fields.timestamp,
    ];
    let paths = all.into_iter().flat_map(|paths| match paths {
        Paths::Absent => &[],
        Paths::One(path) => std::slice::from_ref(path),
        Paths::Any(paths) => &paths[..],
    });
    paths.map(String::as_str).collect()
}

/// The values of a frame that are no objects and no lists, each with its path.
fn leaves(frame: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), frame)];
    while let Some((path, value)) = open.pop() {
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match value {
            Value::Object(fields) => open.extend(fields.iter().map(|(name, value)| (below(name), value))),
            Value::Array(items) => {
                open.extend(items.iter().enumerate().map(|(at, value)| (below(&at.to_string()), value)))
            }
            Value::Null => {}
            other => found.push((path, other)),
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}
