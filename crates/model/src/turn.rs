//! From the bytes of a response to a turn of the model: a stream of chunks, or one JSON body in its place.

use serde_json::Value;
use wireproof_protocol::Usage;

use crate::{StreamError, ToolCall, sse::Parser, tool_calls::ToolCalls};

/// How large an answer may be.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes of one line or event of the stream, and of a JSON body in its place.
    pub line_bytes: usize,
    /// Bytes of the texts and tool calls of a turn together.
    pub turn_bytes: usize,
    /// Tool calls of a turn.
    pub tool_calls: usize,
}

impl Default for Bounds {
    /// 1 MiB a line, 4 MiB a turn, 64 tool calls.
    fn default() -> Self {
        Self { line_bytes: 1 << 20, turn_bytes: 4 << 20, tool_calls: 64 }
    }
}

/// What a reader can show before the turn is whole; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A piece of reasoning.
    Reasoning(String),
    /// A piece of the answer.
    Text(String),
}

/// A whole turn of the model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Turn {
    /// All reasoning.
    pub reasoning: String,
    /// All text of the answer.
    pub text: String,
    /// The calls it asks for, whatever its `finish_reason` says.
    pub tool_calls: Vec<ToolCall>,
    /// What it cost, if the server said so; the last report counts.
    pub usage: Option<Usage>,
    /// The last `finish_reason` that was not empty, in the server's word.
    pub finish_reason: Option<String>,
}

#[derive(Debug)]
enum Form {
    Unknown,
    Stream(Parser),
    Json(Vec<u8>),
}

/// Reads one response; after an error it is of no more use.
#[derive(Debug)]
pub struct TurnReader {
    bounds: Bounds,
    form: Form,
    head: Vec<u8>,
    done: bool,
    bytes: usize,
    turn: Turn,
    calls: ToolCalls,
}

impl TurnReader {
    /// A reader for a response that begins.
    pub fn new(bounds: Bounds) -> Self {
        let (turn, calls) = (Turn::default(), ToolCalls::default());
        Self { bounds, form: Form::Unknown, head: Vec::new(), done: false, bytes: 0, turn, calls }
    }

    /// Takes the next bytes, however they are cut, and returns what they add to show.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Piece>, StreamError> {
        let head; // what came before the form was known
        let bytes = if matches!(self.form, Form::Unknown) {
            self.head.extend_from_slice(bytes);
            let Some(form) = form_of(&self.head)? else {
                let too_large = self.head.len() > self.bounds.line_bytes;
                return if too_large { Err(StreamError::TooLarge) } else { Ok(Vec::new()) };
            };
            self.form = form;
            head = std::mem::take(&mut self.head);
            head.as_slice()
        } else {
            bytes
        };
        let most = self.bounds.line_bytes;
        let events = match &mut self.form {
            Form::Json(body) if body.len() + bytes.len() > most => return Err(StreamError::TooLarge),
            Form::Json(body) => {
                body.extend_from_slice(bytes);
                Vec::new()
            }
            Form::Stream(parser) => parser.push(bytes, most)?,
            Form::Unknown => Vec::new(),
        };
        let mut pieces = Vec::new();
        for event in events {
            self.event(&event, &mut pieces)?;
        }
        Ok(pieces)
    }

    /// True after `[DONE]`: what follows is not read, and the request can be closed.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The turn, once the response has ended or is done, with the last pieces to show. Ids that are missing become
    /// `PREFIX_NUMBER`. Errs with `Cut` when nothing said that the answer was whole.
    pub fn finish(mut self, prefix: &str) -> Result<(Vec<Piece>, Turn), StreamError> {
        let mut pieces = Vec::new();
        match std::mem::replace(&mut self.form, Form::Unknown) {
            Form::Unknown => return Err(StreamError::Cut),
            Form::Stream(parser) => {
                if let Some(event) = parser.finish(self.bounds.line_bytes)? {
                    self.event(&event, &mut pieces)?;
                }
            }
            Form::Json(body) => {
                let body = String::from_utf8(body).map_err(|_| StreamError::Malformed)?;
                self.event(body.trim_start_matches('\u{feff}'), &mut pieces)?;
                self.done = true; // a body that can be parsed is whole
            }
        }
        if !self.done && self.turn.finish_reason.is_none() {
            return Err(StreamError::Cut);
        }
        self.turn.tool_calls = self.calls.finish(prefix)?;
        Ok((pieces, self.turn))
    }

    fn event(&mut self, data: &str, pieces: &mut Vec<Piece>) -> Result<(), StreamError> {
        let data = data.trim();
        if self.done || data.is_empty() {
            return Ok(());
        }
        if data == "[DONE]" {
            self.done = true;
            return Ok(());
        }
        let chunk: Value = serde_json::from_str(data).map_err(|_| StreamError::Malformed)?;
        if !chunk.is_object() {
            return Err(StreamError::Malformed);
        }
        if !chunk["error"].is_null() {
            return Err(StreamError::Reported);
        }
        if let Some(usage) = usage(&chunk["usage"]) {
            self.turn.usage = Some(usage);
        }
        // Choices beyond the first were not asked for.
        let choices = chunk["choices"].as_array().into_iter().flatten();
        for choice in choices.filter(|choice| choice["index"].as_u64().unwrap_or(0) == 0) {
            self.choice(choice, pieces)?;
        }
        Ok(())
    }

    fn choice(&mut self, choice: &Value, pieces: &mut Vec<Piece>) -> Result<(), StreamError> {
        let part = if choice["delta"].is_object() { &choice["delta"] } else { &choice["message"] };
        // Some servers send the same reasoning under two names.
        let names = ["reasoning_content", "reasoning", "thinking"];
        let reasoning = names.iter().map(|name| text_of(&part[*name])).find(|text| !text.is_empty());
        let (reasoning, text) = (reasoning.unwrap_or_default(), text_of(&part["content"]));
        self.count(reasoning.len() + text.len())?;
        self.turn.reasoning.push_str(&reasoning);
        self.turn.text.push_str(&text);
        pieces.extend((!reasoning.is_empty()).then_some(Piece::Reasoning(reasoning)));
        pieces.extend((!text.is_empty()).then_some(Piece::Text(text)));
        for call in part["tool_calls"].as_array().into_iter().flatten() {
            let added = self.calls.add(call, self.bounds.tool_calls)?;
            self.count(added)?;
        }
        if let Some(reason) = choice["finish_reason"].as_str().filter(|reason| !reason.is_empty()) {
            self.turn.finish_reason = Some(reason.to_owned());
        }
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<(), StreamError> {
        self.bytes += bytes;
        if self.bytes > self.bounds.turn_bytes { Err(StreamError::TooLarge) } else { Ok(()) }
    }
}

/// What the first bytes that are no space say; none while there are none.
fn form_of(head: &[u8]) -> Result<Option<Form>, StreamError> {
    let bom = "\u{feff}".as_bytes();
    if head.len() < bom.len() && bom.starts_with(head) {
        return Ok(None);
    }
    let head = head.strip_prefix(bom).unwrap_or(head).trim_ascii_start();
    match head.first() {
        None => Ok(None),
        Some(b'{') => Ok(Some(Form::Json(Vec::new()))),
        Some(b'<' | b'[' | b'"') => Err(StreamError::NotAStream),
        Some(_) => Ok(Some(Form::Stream(Parser::default()))),
    }
}

/// A text, or the texts of its parts put together.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

/// The report of a chunk; none where it has no numbers.
fn usage(report: &Value) -> Option<Usage> {
    let number = |names: [&str; 2]| names.iter().find_map(|name| report[*name].as_u64());
    let input = number(["prompt_tokens", "input_tokens"]);
    let output = number(["completion_tokens", "output_tokens"]);
    if input.is_none() && output.is_none() {
        return None;
    }
    let (input_tokens, output_tokens) = (input.unwrap_or(0), output.unwrap_or(0));
    let total_tokens = input_tokens.saturating_add(output_tokens);
    Some(Usage { input_tokens, output_tokens, total_tokens, estimated: false })
}
