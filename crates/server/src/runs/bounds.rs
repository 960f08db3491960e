//! What one run may say: the bounds, and what of them is used up. Pure.
//! A tool's arguments and result are cut, with a mark that programs can see; everything else above a bound ends the run.

use serde_json::{Value, json};
use wireproof_agents::{AgentError, Emission, EmissionPart};
use wireproof_protocol::{ToolError, cut, json_extent, json_start, text_extent};

use crate::limits::Limits;

/// Longest name of a tool, in bytes: every tool that is open at the end is named once more.
const TOOL_NAME_BYTES: usize = 256;
/// Longest word for programs, in bytes: the code of a failure, a status.
const WORD_BYTES: usize = 128;
/// Longest sentence that the server says for the agent, in bytes: a greeting, the reason of a failure.
const SENTENCE_BYTES: usize = 4 << 10;
/// The size of a result that was cut is counted up to here, in bytes.
const COUNTED_BYTES: usize = 4 << 20;
/// What an event takes besides what the agent says in it, in bytes: ids, names and numbers.
const EVENT_OVERHEAD: usize = 400;
/// What a delta takes that goes on with the one before: it is stored as a part of it.
const PART_OVERHEAD: usize = 32;

/// How much a run may say, in bytes as JSON; [`usize::MAX`] is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunBounds {
    /// A tool's arguments or its result; what is larger is cut.
    pub tool_result: usize,
    /// What the agent says in one event.
    pub event: usize,
    /// The answer.
    pub answer: usize,
    /// All events but the last.
    pub run: usize,
    /// Events; deltas that go on with the one before count as one.
    pub events: usize,
    /// Tool calls.
    pub tools: usize,
}

impl RunBounds {
    /// No bounds.
    pub const NONE: Self = Self {
        tool_result: usize::MAX,
        event: usize::MAX,
        answer: usize::MAX,
        run: usize::MAX,
        events: usize::MAX,
        tools: usize::MAX,
    };
}

impl From<&Limits> for RunBounds {
    fn from(limits: &Limits) -> Self {
        let bound = |setting| if setting == 0 { usize::MAX } else { setting };
        Self {
            tool_result: bound(limits.tool_result_bytes),
            event: bound(limits.event_bytes),
            answer: bound(limits.answer_bytes),
            run: bound(limits.run_bytes),
            events: bound(limits.run_events),
            tools: bound(limits.run_tools),
        }
    }
}

/// A bound that an agent went beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BoundExceeded {
    /// One event.
    #[error("The agent said more at once than the {0} bytes that one event may have.")]
    Event(usize),
    /// The name of a tool, or a word for programs.
    #[error("The agent used a name that is longer than {0} bytes.")]
    Name(usize),
    /// The answer.
    #[error("The agent's answer is longer than the {0} bytes that are allowed.")]
    Answer(usize),
    /// The events of the run together.
    #[error("The agent said more than the {0} bytes that one run may have.")]
    Run(usize),
    /// The number of events.
    #[error("The agent reported more than the {0} events that one run may have.")]
    Events(usize),
    /// The number of tool calls.
    #[error("The agent called more than the {0} tools that one run may call.")]
    Tools(usize),
}

impl BoundExceeded {
    /// The code of a run that ends for it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Event(_) | Self::Name(_) => "event_too_large",
            Self::Answer(_) => "answer_too_large",
            Self::Run(_) => "run_too_large",
            Self::Events(_) => "too_many_events",
            Self::Tools(_) => "too_many_tool_calls",
        }
    }
}

impl From<BoundExceeded> for AgentError {
    fn from(exceeded: BoundExceeded) -> Self {
        Self::failed(exceeded.code(), exceeded.to_string())
    }
}

/// How an event stands to the one said before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// It is an event of its own.
    Apart,
    /// It goes on with the delta before, which has gone out already.
    Continues,
    /// It is put together with the delta before.
    Joined,
}

/// The bounds of a run and what it used up of them.
pub struct Budget {
    bounds: RunBounds,
    bytes: usize,
    events: usize,
    tools: usize,
    answer: usize,
}

impl Budget {
    /// A run that said nothing yet.
    pub fn new(bounds: RunBounds) -> Self {
        Self { bounds, bytes: 0, events: 0, tools: 0, answer: 0 }
    }

    /// Cuts what may be cut and measures the rest: the bytes of what the agent says in it.
    pub fn measure(&self, emission: &mut Emission) -> Result<usize, BoundExceeded> {
        let most = self.bounds.event;
        let mut bytes = 0_usize;
        for part in emission.parts_mut() {
            bytes = bytes.saturating_add(match part {
                EmissionPart::ToolName(text) => name(text, TOOL_NAME_BYTES)?,
                EmissionPart::Word(text) => name(text, WORD_BYTES)?,
                EmissionPart::Text(text) => text_extent(text, most),
                EmissionPart::Value(value) => self.cut(value),
                EmissionPart::Error(error) => self.cut_error(error),
            });
        }
        if bytes > most { Err(BoundExceeded::Event(most)) } else { Ok(bytes) }
    }

    /// Charges for an event of a run, or says which bound it is beyond and charges nothing.
    pub fn charge(
        &mut self,
        emission: &Emission,
        bytes: usize,
        follows: Follows,
    ) -> Result<(), BoundExceeded> {
        let Self { bounds, .. } = *self;
        let (overhead, event) = match follows {
            Follows::Apart => (EVENT_OVERHEAD, 1),
            Follows::Continues => (PART_OVERHEAD, 0),
            Follows::Joined => (0, 0),
        };
        let answer = self.answer + if matches!(emission, Emission::MessageDelta { .. }) { bytes } else { 0 };
        let tools = self.tools + usize::from(matches!(emission, Emission::ToolExecuting { .. }));
        let (all, events) = (self.bytes + bytes + overhead, self.events + event);
        let within = |used: usize, most: usize, beyond: fn(usize) -> BoundExceeded| {
            if used > most { Err(beyond(most)) } else { Ok(()) }
        };
        within(answer, bounds.answer, BoundExceeded::Answer)?;
        within(tools, bounds.tools, BoundExceeded::Tools)?;
        within(events, bounds.events, BoundExceeded::Events)?;
        within(all, bounds.run, BoundExceeded::Run)?;
        (self.answer, self.tools, self.bytes, self.events) = (answer, tools, all, events);
        Ok(())
    }

    /// Whether two deltas of this size together may be one event.
    pub fn joins(&self, bytes: usize, more: usize) -> bool {
        bytes + more <= self.bounds.event
    }

    /// Whether this may be the answer of a run.
    pub fn check_answer(&self, answer: &str) -> Result<(), BoundExceeded> {
        let most = self.bounds.answer;
        if text_extent(answer, most) > most { Err(BoundExceeded::Answer(most)) } else { Ok(()) }
    }

    /// Puts a value that is too large behind a mark with its size and its beginning. Gives the bytes of what is left.
    fn cut(&self, value: &mut Value) -> usize {
        let most = self.bounds.tool_result;
        let bytes = json_extent(value, most);
        if bytes <= most {
            return bytes;
        }
        // The beginning stands as a text inside the mark, where its quotation marks take two bytes each.
        let mut start = json_start(value, most);
        while text_extent(&start, most) > most {
            start.truncate(cut(&start, start.len() / 2).len());
        }
        *value = json!({ "truncated": true, "bytes": json_extent(value, COUNTED_BYTES), "start": start });
        json_extent(value, usize::MAX)
    }

    fn cut_error(&self, error: &mut ToolError) -> usize {
        shorten_bytes(&mut error.code, WORD_BYTES);
        shorten_bytes(&mut error.message, self.bounds.tool_result);
        text_extent(&error.code, usize::MAX) + text_extent(&error.message, usize::MAX)
    }
}

fn name(name: &str, most: usize) -> Result<usize, BoundExceeded> {
    let bytes = text_extent(name, most);
    if bytes > most { Err(BoundExceeded::Name(most)) } else { Ok(bytes) }
}

/// Cuts a text that is longer than `most` bytes as JSON, and marks the place.
fn shorten_bytes(text: &mut String, most: usize) {
    if text_extent(text, most) <= most {
        return;
    }
    let mut end = cut(text, most.saturating_sub('…'.len_utf8())).len();
    while text_extent(&text[..end], most) > most {
        end = cut(text, end / 2).len();
    }
    text.truncate(end);
    text.push('…');
}

/// What an agent says when it begins, in a bounded form.
pub fn greeting(mut text: String) -> String {
    shorten_bytes(&mut text, SENTENCE_BYTES);
    text
}

/// Why a run failed, in a bounded form.
pub fn failure(mut code: String, mut message: String) -> (String, String) {
    shorten_bytes(&mut code, WORD_BYTES);
    shorten_bytes(&mut message, SENTENCE_BYTES);
    (code, message)
}

#[cfg(test)]
mod tests {
    use wireproof_protocol::{StatusUpdate, ToolCallId, ToolCompleted};

    use super::*;

    fn budget() -> Budget {
        Budget::new(RunBounds {
            tool_result: 1_000,
            event: 2_000,
            answer: 3_000,
            run: 10_000,
            events: 5,
            tools: 2,
        })
    }

    fn completed(result: Result<Value, ToolError>) -> Emission {
        Emission::ToolCompleted(ToolCompleted::new(ToolCallId::new(), "t", result, 0.0))
    }

    /// A tool's result of any size was stored and sent whole.
    #[test]
    fn a_result_is_cut_with_a_mark() {
        for (value, size) in [
            (json!("x".repeat(100_000)), 100_002),
            (json!("\"".repeat(5_000)), 10_002),
            (json!({ "a": vec!["é"; 1_000] }), 5_007),
        ] {
            let mut emission = completed(Ok(value.clone()));
            let bytes = budget().measure(&mut emission).unwrap();
            assert!(bytes <= 1_100, "{bytes}");
            let Emission::ToolCompleted(ToolCompleted { result: Some(cut), .. }) = emission else {
                panic!("a result stays one")
            };
            assert_eq!((&cut["truncated"], &cut["bytes"]), (&json!(true), &json!(size)));
            let start = cut["start"].as_str().unwrap();
            assert!(start.len() > 100 && value.to_string().starts_with(start));
        }
        let mut emission = completed(Ok(json!({ "a": 1 })));
        budget().measure(&mut emission).unwrap();
        assert!(matches!(emission, Emission::ToolCompleted(call) if call.result == Some(json!({ "a": 1 }))));
    }

    #[test]
    fn a_failure_is_cut_and_a_name_is_not() {
        let failure = ToolError::new("c".repeat(10_000), "\u{1}".repeat(10_000));
        assert!(budget().measure(&mut completed(Err(failure))).unwrap() <= 1_200);
        let mut emission = Emission::Status(StatusUpdate { status: "s".repeat(200), detail: None });
        assert_eq!(budget().measure(&mut emission), Err(BoundExceeded::Name(WORD_BYTES)));
        let mut emission = Emission::Thinking { reasoning: "x".repeat(2_001) };
        assert_eq!(budget().measure(&mut emission), Err(BoundExceeded::Event(2_000)));
    }

    #[test]
    fn each_sum_has_its_bound() {
        let said = Emission::MessageDelta { delta: String::new() };
        let thought = Emission::ThinkingDelta { delta: String::new() };
        let mut spent = budget();
        assert_eq!(spent.charge(&said, 2_500, Follows::Apart), Ok(()));
        assert_eq!(spent.charge(&said, 501, Follows::Continues), Err(BoundExceeded::Answer(3_000)));
        assert_eq!(spent.charge(&thought, 7_000, Follows::Apart), Err(BoundExceeded::Run(10_000)));
        for _ in 0..4 {
            assert_eq!(spent.charge(&thought, 1, Follows::Apart), Ok(()));
        }
        assert_eq!(spent.charge(&thought, 1, Follows::Joined), Ok(()), "no event of its own");
        assert_eq!(spent.charge(&thought, 1, Follows::Apart), Err(BoundExceeded::Events(5)));
        assert_eq!(spent.check_answer(&"x".repeat(3_001)), Err(BoundExceeded::Answer(3_000)));
    }
}
