//! Results to words: one sentence a step, in the plan's order, and a line that says who speaks.

use serde_json::Value;

use super::{
    plan::{self, Ask, Focus, MAX_STEPS, Plan, PlanStep, Subject},
    run::ToolResult,
};

/// What every answer ends with.
const SIGNATURE: &str = "(I follow fixed rules; no language model took part.)";

/// What the agent says when it found nothing to do.
const ABILITIES: &str = "I found no ask in it that my rules know. I can calculate (17*23), count the words of a text, \
    search your threads, wait (wait 3 seconds), count (count from 1 to 50) and fail on purpose.";

/// Longest value shown whole, in characters; the tool's result has all of it.
const MAX_SHOWN: usize = 1_000;

/// A part of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Said at once, in small pieces.
    Text(String),
    /// Said piece by piece at a steady pace.
    Paced {
        /// The pieces.
        pieces: Vec<String>,
        /// The milliseconds between two of them.
        interval_ms: u64,
    },
}

/// The answer from the plan and what its steps came to.
pub(super) fn compose(plan: &Plan, outcomes: &[ToolResult]) -> Vec<Part> {
    let mut parts = Vec::new();
    for (step, outcome) in plan.steps.iter().zip(outcomes) {
        match outcome {
            Ok(result) if step.ask == Ask::Count => parts.push(counting(result)),
            Ok(result) => parts.push(Part::Text(sentence(step, result))),
            Err(failure) => parts.push(Part::Text(format!("{} failed: {}", subject(step), failure.message))),
        }
        parts.push(Part::Text("\n".to_owned()));
    }
    if plan.cut {
        parts.push(Part::Text(format!(
            "You asked for more than I do at once: I did the first {} of at most {MAX_STEPS} things.\n",
            plan.steps.len()
        )));
    }
    parts.push(Part::Text(SIGNATURE.to_owned()));
    parts
}

fn subject(step: &PlanStep) -> String {
    let parameter = |name: &str| step.parameters.get(name).map(shown).unwrap_or_default();
    match step.ask {
        Ask::Calculate => format!("Calculating {}", parameter("expression")),
        Ask::Text(..) | Ask::Unrecognised => "The look at the text".to_owned(),
        Ask::Search => format!("The search for {:?}", parameter("query")),
        Ask::Timer => format!("The timer of {} s", parameter("seconds")),
        Ask::Count => format!("Counting from {} to {}", parameter("from"), parameter("to")),
    }
}

fn sentence(step: &PlanStep, result: &Value) -> String {
    let field = |name: &str| shown(&result[name]);
    match step.ask {
        Ask::Calculate => calculated(result),
        Ask::Text(focus, subject) => text(focus, subject, result),
        Ask::Search => found(result),
        Ask::Timer => format!("I waited {} s.", field("waited_seconds")),
        Ask::Count => String::new(),
        Ask::Unrecognised => format!("{} {ABILITIES}", text(Focus::Everything, Subject::Message, result)),
    }
}

fn calculated(result: &Value) -> String {
    let (expression, value) = (shown(&result["expression"]), shown(&result["result"]));
    match result["approximation"].as_str() {
        None => format!("{expression} = {value}."),
        Some(decimal) => format!("{expression} = {value}, about {decimal}."),
    }
}

fn text(focus: Focus, subject: Subject, result: &Value) -> String {
    let subject = match subject {
        Subject::Sentence => "This sentence",
        Subject::Message => "Your message",
        Subject::Quoted => "The text",
    };
    let number = |name: &str, one: &str| match result[name].as_u64() {
        Some(1) => format!("1 {one}"),
        many => format!("{} {one}s", many.unwrap_or(0)),
    };
    let longest = shown(&result["longest_word"]);
    match focus {
        Focus::Words => format!("{subject} has {}.", number("words", "word")),
        Focus::Characters => format!("{subject} has {}.", number("characters", "character")),
        Focus::Letters => format!("{subject} has {}.", number("letters", "letter")),
        Focus::Sentences => format!("{subject} has {}.", number("sentences", "sentence")),
        Focus::Lines => format!("{subject} has {}.", number("lines", "line")),
        Focus::LongestWord => {
            format!("The longest word is {longest:?}, {} long.", number("longest_word_length", "character"))
        }
        Focus::Everything => {
            let counts =
                [number("words", "word"), number("characters", "character"), number("sentences", "sentence")];
            format!("{subject} has {} and {}.", counts.join(", "), number("lines", "line"))
        }
    }
}

fn found(result: &Value) -> String {
    let query = shown(&result["query"]);
    let hits = result["hits"].as_array().map(Vec::as_slice).unwrap_or_default();
    if hits.is_empty() {
        return format!("I found nothing about {query:?} in your threads.");
    }
    let messages = if hits.len() == 1 { "1 message".to_owned() } else { format!("{} messages", hits.len()) };
    let mut text = format!("I found {messages} about {query:?}:");
    for hit in hits {
        text.push_str(&format!(
            "\n- {} ({}): {}",
            shown(&hit["title"]),
            shown(&hit["role"]),
            shown(&hit["excerpt"])
        ));
    }
    text
}

fn counting(result: &Value) -> Part {
    let (from, to) = (result["from"].as_i64().unwrap_or(0), result["to"].as_i64().unwrap_or(0));
    let numbers: Box<dyn Iterator<Item = i64>> =
        if from <= to { Box::new(from..=to) } else { Box::new((to..=from).rev()) };
    let pieces = numbers
        .map(|number| if number == to { format!("{number}.") } else { format!("{number}, ") })
        .collect();
    Part::Paced { pieces, interval_ms: result["interval_ms"].as_u64().unwrap_or(0) }
}

/// A value as text, cut if it is long.
fn shown(value: &Value) -> String {
    plan::shown(value, MAX_SHOWN)
}
