//! Puts the pieces of tool calls together. Servers leave out the index or the id, give one index to all, or send objects
//! as arguments.

use serde_json::{Map, Value};

use crate::StreamError;

/// One call that a model asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// The id, unique in its turn; made here if the server gave none or gave it twice.
    pub id: String,
    /// The name of the tool; never empty.
    pub name: String,
    /// The arguments; the text as it came where it is not a JSON object, which is for the model to hear.
    pub arguments: Result<Map<String, Value>, String>,
}

#[derive(Debug, Default)]
struct Slot {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl Slot {
    fn is_whole(&self) -> bool {
        object(&self.arguments).is_some()
    }
}

/// The calls of a turn so far.
#[derive(Debug, Default)]
pub(crate) struct ToolCalls(Vec<Slot>);

impl ToolCalls {
    /// Adds a piece; errs when it opens more than `most` calls. Returns the number of bytes that it added.
    pub(crate) fn add(&mut self, piece: &Value, most: usize) -> Result<usize, StreamError> {
        let function = &piece["function"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (index, id, name) = (piece["index"].as_u64(), text(&piece["id"]), text(&function["name"]));
        let arguments = match &function["arguments"] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if id.is_empty() && name.is_empty() && arguments.is_empty() {
            return Ok(0);
        }
        let place = self.place(index, &id).filter(|place| {
            let slot = &self.0[*place];
            let other_id = !id.is_empty() && !slot.id.is_empty() && id != slot.id;
            let new_name = !name.is_empty() && !slot.name.is_empty();
            let another_call = new_name && (name != slot.name || (slot.is_whole() && !arguments.is_empty()));
            !other_id && !another_call
        });
        let slot = match place {
            Some(place) => &mut self.0[place],
            None if self.0.len() >= most => return Err(StreamError::TooLarge),
            None => {
                self.0.push(Slot { index, ..Slot::default() });
                self.0.last_mut().ok_or(StreamError::Malformed)?
            }
        };
        let added = id.len() + name.len() + arguments.len();
        if slot.id.is_empty() {
            slot.id = id;
        }
        if slot.name.is_empty() {
            slot.name = name;
        }
        slot.arguments.push_str(&arguments);
        Ok(added)
    }

    /// The slot that a piece may belong to: the last of its index, else of its id; without both, the last of all.
    fn place(&self, index: Option<u64>, id: &str) -> Option<usize> {
        match index {
            Some(_) => self.0.iter().rposition(|slot| slot.index == index),
            None if !id.is_empty() => self.0.iter().rposition(|slot| slot.id == id),
            None => self.0.len().checked_sub(1),
        }
    }

    /// The calls in the order of their beginning; ids made here are `PREFIX_NUMBER`, with a number that is free.
    pub(crate) fn finish(self, prefix: &str) -> Result<Vec<ToolCall>, StreamError> {
        let mut calls: Vec<ToolCall> = Vec::new();
        for (number, slot) in self.0.into_iter().enumerate() {
            if slot.name.is_empty() {
                return Err(StreamError::Malformed);
            }
            let mut id = slot.id;
            let mut made = number;
            while id.is_empty() || calls.iter().any(|call| call.id == id) {
                id = format!("{prefix}_{made}");
                made += 1;
            }
            calls.push(ToolCall {
                id,
                name: slot.name,
                arguments: match slot.arguments.trim() {
                    "" => Ok(Map::new()),
                    text => object(text).ok_or(slot.arguments),
                },
            });
        }
        Ok(calls)
    }
}

fn object(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text).ok()
}
