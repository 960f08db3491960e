//! A path as steps, and the walk along them; each step visits every value at most once.

use serde_json::Value;

use crate::ToolFailure;

/// Most steps in a path.
const MAX_STEPS: usize = 128;

enum Step {
    Name(String),
    Index(i64),
    Every,
    Descend,
}

/// The values at `path`, never none; and whether the path can only name one.
pub(super) fn select<'a>(document: &'a Value, path: &str) -> Result<(Vec<&'a Value>, bool), ToolFailure> {
    if path.starts_with('/') {
        let value = document.pointer(path).ok_or_else(|| not_found(path))?;
        return Ok((vec![value], true));
    }
    let steps = steps(path)?;
    let single = steps.iter().all(|step| matches!(step, Step::Name(_) | Step::Index(_)));
    let mut found = vec![document];
    for step in &steps {
        found = found.into_iter().flat_map(|value| take(value, step)).collect();
    }
    if found.is_empty() { Err(not_found(path)) } else { Ok((found, single)) }
}

fn take<'a>(value: &'a Value, step: &Step) -> Vec<&'a Value> {
    match (step, value) {
        (Step::Name(name), Value::Object(members)) => members.get(name).into_iter().collect(),
        (Step::Index(index), Value::Array(items)) => {
            let from_end =
                || usize::try_from(index.unsigned_abs()).ok().and_then(|back| items.len().checked_sub(back));
            let place = if *index < 0 { from_end() } else { usize::try_from(*index).ok() };
            place.and_then(|place| items.get(place)).into_iter().collect()
        }
        (Step::Every, Value::Array(items)) => items.iter().collect(),
        (Step::Every, Value::Object(members)) => members.values().collect(),
        (Step::Descend, _) => descendants(value),
        _ => Vec::new(),
    }
}

/// The value and all below it, parents before children.
fn descendants(value: &Value) -> Vec<&Value> {
    let (mut found, mut open) = (Vec::new(), vec![value]);
    while let Some(value) = open.pop() {
        found.push(value);
        match value {
            Value::Array(items) => open.extend(items.iter().rev()),
            Value::Object(members) => open.extend(members.values().rev()),
            _ => {}
        }
    }
    found
}

fn steps(path: &str) -> Result<Vec<Step>, ToolFailure> {
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    let mut steps = Vec::new();
    let mut descended = false;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("..") {
            if std::mem::replace(&mut descended, true) {
                return Err(invalid(path));
            }
            steps.push(Step::Descend);
            rest = after;
            if rest.starts_with('[') {
                continue;
            }
        } else if rest.starts_with('[') {
            let (step, after) = bracket(rest).ok_or_else(|| invalid(path))?;
            steps.push(step);
            rest = after;
            continue;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        match &rest[..end] {
            // A lone `.` is the whole document, as in jq.
            "" if rest.is_empty() && steps.is_empty() => {}
            "" => return Err(invalid(path)),
            "*" => steps.push(Step::Every),
            name => steps.push(Step::Name(name.to_owned())),
        }
        rest = &rest[end..];
        if steps.len() > MAX_STEPS {
            return Err(invalid(path));
        }
    }
    Ok(steps)
}

/// Reads `[0]`, `[*]`, `['name']` or `["name"]`; gives what follows.
fn bracket(text: &str) -> Option<(Step, &str)> {
    let inner = text.strip_prefix('[')?;
    if let Some(quote) = inner.chars().next().filter(|first| matches!(first, '"' | '\'')) {
        let (name, after) = inner[1..].split_once(quote)?;
        return Some((Step::Name(name.to_owned()), after.strip_prefix(']')?));
    }
    let (step, after) = inner.split_once(']')?;
    match step.trim() {
        "*" | "" => Some((Step::Every, after)),
        index => Some((Step::Index(index.parse().ok()?), after)),
    }
}

fn invalid(path: &str) -> ToolFailure {
    let message = format!("I cannot follow the path {path:?}: use names, indices, * and at most one \"..\".");
    ToolFailure::new("invalid_path", message)
}

fn not_found(path: &str) -> ToolFailure {
    ToolFailure::new("not_found", format!("The JSON has nothing at {path:?}."))
}
