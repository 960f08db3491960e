//! The planner: reads a message by fixed rules and says which tools to call. Pure: same message, same plan.
//! The work is linear in the message: `clauses` parts it into asks, one file each recognises a kind of ask.

mod arithmetic;
mod clauses;
mod pace;
mod text;
mod threads;

use serde_json::{Map, Value};
use wireproof_protocol::shorten;

use clauses::Clause;
pub(super) use text::{Focus, Subject};

/// Most tool calls in one run; what is asked beyond that is left, and the answer says so.
pub(super) const MAX_STEPS: usize = 16;

/// Most of a message that is read for asks, in bytes.
const MAX_READ: usize = 64 << 10;

/// Most parts of a message that are looked at.
const MAX_CLAUSES: usize = 1_000;

/// What a step is for: how its result is put into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// A value.
    Calculate,
    /// One figure about a text, or all of them.
    Text(Focus, Subject),
    /// Messages of the user's threads.
    Search,
    /// To wait.
    Timer,
    /// To count aloud.
    Count,
    /// Nothing was recognised: the message itself is looked at.
    Unrecognised,
}

/// One tool call of the plan.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlanStep {
    /// The tool's name.
    pub(super) tool: &'static str,
    /// Its parameters.
    pub(super) parameters: Map<String, Value>,
    /// What it is for.
    pub(super) ask: Ask,
}

impl PlanStep {
    fn new<const N: usize>(tool: &'static str, ask: Ask, parameters: [(&str, Value); N]) -> Self {
        let parameters = parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { tool, parameters, ask }
    }
}

/// What to do about a message.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Plan {
    /// The tool calls, all started at once.
    pub(super) steps: Vec<PlanStep>,
    /// Whether more was asked than is done.
    pub(super) cut: bool,
    /// Whether the run is to fail, as asked.
    pub(super) fails: bool,
}

/// A rule: the steps that a clause asks for, none if it is not of its kind.
type Rule = fn(&Clause) -> Vec<PlanStep>;

/// The rules in the order they are tried; the first that finds a step has the clause.
const RULES: [Rule; 5] = [text::steps, pace::timer, pace::count, threads::steps, arithmetic::steps];

/// Plans a message.
pub(super) fn plan(message: &str) -> Plan {
    let read = &message[..message.floor_char_boundary(MAX_READ)];
    let mut plan = Plan { cut: read.len() < message.len(), ..Plan::default() };
    let mut parts = clauses::split(read);
    for clause in parts.by_ref().take(MAX_CLAUSES) {
        plan.fails |= asks_to_fail(&clause);
        let found = RULES.iter().map(|rule| rule(&clause)).find(|found| !found.is_empty());
        plan.steps.extend(found.unwrap_or_default());
        if plan.steps.len() > MAX_STEPS {
            break;
        }
    }
    plan.cut |= plan.steps.len() > MAX_STEPS || parts.next().is_some();
    plan.steps.truncate(MAX_STEPS);
    if plan.steps.is_empty() && !plan.fails {
        let parameters = [("text", message.into())];
        plan.steps.push(PlanStep::new("text_statistics", Ask::Unrecognised, parameters));
    }
    plan
}

/// "Fail on purpose."
fn asks_to_fail(clause: &Clause) -> bool {
    clause.lower.contains("fail on purpose")
}

/// Longest parameter shown in the reasoning, in characters.
const MAX_SHOWN: usize = 60;

impl Plan {
    /// The plan in words; never empty.
    pub(super) fn reasoning(&self) -> String {
        let mut text = match self.steps.as_slice() {
            [] => "My rules read no ask for a tool in this message.".to_owned(),
            [PlanStep { ask: Ask::Unrecognised, .. }] => {
                "None of my rules recognises an ask in this message, so I look at the message itself:"
                    .to_owned()
            }
            [_] => "My rules read one ask in this message:".to_owned(),
            steps => {
                format!("My rules read {} asks in this message; I call their tools at once:", steps.len())
            }
        };
        for (place, step) in self.steps.iter().enumerate() {
            let values: Vec<String> = step.parameters.values().map(|value| shown(value, MAX_SHOWN)).collect();
            text.push_str(&format!(" ({}) {}: {}", place + 1, step.tool, values.join(", ")));
        }
        if self.cut {
            text.push_str(" The message asks for more than I do at once; I leave the rest.");
        }
        if self.fails {
            text.push_str(" It asks me to fail, so I shall.");
        }
        text
    }
}

/// A value as text, cut after so many characters.
pub(super) fn shown(value: &Value, most: usize) -> String {
    value.as_str().map_or_else(|| shorten(&value.to_string(), most), |text| shorten(text, most))
}

#[cfg(test)]
mod tests;
