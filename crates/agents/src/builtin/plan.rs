//! The planner: reads a message by fixed rules and says which tools to call. Pure: same message, same plan.
//! `literals` finds what is quoted, `clauses` parts the message into asks, one file each recognises a kind of ask.

mod arithmetic;
mod clauses;
mod conversions;
mod dates;
mod expressions;
mod json;
mod literals;
mod numerals;
mod pace;
mod text;
mod threads;

use serde_json::{Map, Value};

use clauses::Clause;
pub(super) use text::{Focus, Subject};

/// Most tool calls in one run; what is asked beyond that is left, and the answer says so.
pub(super) const MAX_STEPS: usize = 16;

/// What a step is for: how its result is put into words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    /// A value or a conversion.
    Calculate,
    /// The clock somewhere.
    Now,
    /// A clock time elsewhere.
    ConvertTime,
    /// The weekday of a date.
    Weekday,
    /// The days from one date to another.
    Between,
    /// A date plus or minus something.
    AddToDate,
    /// One figure about a text, or all of them.
    Text(Focus, Subject),
    /// A value in a JSON text.
    Json,
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
pub(super) struct Step {
    /// The tool's name.
    pub(super) tool: &'static str,
    /// Its parameters.
    pub(super) parameters: Map<String, Value>,
    /// What it is for.
    pub(super) ask: Ask,
}

impl Step {
    fn new<const N: usize>(tool: &'static str, ask: Ask, parameters: [(&str, Value); N]) -> Self {
        let parameters = parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { tool, parameters, ask }
    }
}

/// What to do about a message: at least one step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    /// The tool calls, all started at once.
    pub(super) steps: Vec<Step>,
    /// Whether there were more asks than [`MAX_STEPS`].
    pub(super) cut: bool,
}

/// A rule: the steps that a clause asks for, none if it is not of its kind.
type Rule = fn(&Clause) -> Vec<Step>;

/// The rules in the order they are tried; the first that finds a step has the clause.
const RULES: [Rule; 8] = [
    text::steps,
    json::steps,
    pace::timer,
    pace::count,
    threads::steps,
    dates::steps,
    conversions::steps,
    arithmetic::steps,
];

/// Plans a message.
pub(super) fn plan(message: &str) -> Plan {
    let literals = literals::find(message);
    let mut steps = Vec::new();
    for clause in clauses::split(message, &literals) {
        let found = RULES.iter().map(|rule| rule(&clause)).find(|found| !found.is_empty());
        steps.extend(found.unwrap_or_default());
        if steps.len() > MAX_STEPS {
            break;
        }
    }
    if steps.is_empty() {
        let parameters = [("text", message.into())];
        steps.push(Step::new("text_statistics", Ask::Unrecognised, parameters));
    }
    let cut = steps.len() > MAX_STEPS;
    steps.truncate(MAX_STEPS);
    Plan { steps, cut }
}

/// Longest parameter shown in the reasoning, in characters.
const MAX_SHOWN: usize = 60;

impl Plan {
    /// The plan in words; never empty.
    pub(super) fn reasoning(&self) -> String {
        let mut text = match self.steps.as_slice() {
            [Step { ask: Ask::Unrecognised, .. }] => {
                "None of my rules recognises an ask in this message, so I look at the message itself:"
                    .to_owned()
            }
            [_] => "My rules read one ask in this message:".to_owned(),
            steps => {
                format!("My rules read {} asks in this message; I call their tools at once:", steps.len())
            }
        };
        for (place, step) in self.steps.iter().enumerate() {
            let values: Vec<String> = step.parameters.values().map(shown).collect();
            text.push_str(&format!(" ({}) {}: {}", place + 1, step.tool, values.join(", ")));
        }
        if self.cut {
            text.push_str(&format!(" The message asks for more than {MAX_STEPS} things; I leave the rest."));
        }
        text
    }
}

fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut shown: String = text.chars().take(MAX_SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
