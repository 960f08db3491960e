//! What the fields of a client's frame must be, and what is said of one that is not.

use serde_json::{Map, Value};

use super::{MAX_HISTORY_LIMIT, MAX_TITLE, Retitle};
use crate::{codes::ErrorCode, ids::ThreadId, position::Epoch, server_frame::ErrorBody};

/// What a field must hold.
#[derive(Clone, Copy)]
pub(crate) enum FieldKind {
    Text,
    Filled,
    Title,
    /// A thread's name, for a thread that is made when it is not there.
    Thread,
    Epoch,
    Decision,
    Number,
    Limit,
    Flag,
    Object,
    /// The fields of [`Retitle`], which stand beside the others.
    Retitle,
    Any,
}

/// A field with what it must hold, and whether it must be there.
type Field = (&'static str, FieldKind, bool);

const OF_RETITLE: [Field; 2] = [("title", FieldKind::Title, false), ("metadata", FieldKind::Object, false)];

/// A frame: its names, and its fields, those first that must be there.
pub(crate) struct Shape {
    pub(crate) names: &'static [&'static str],
    pub(crate) fields: &'static [Field],
}

/// Whether a field of this type must be there.
pub(crate) trait Presence {
    const REQUIRED: bool = true;
}

impl Presence for String {}
impl Presence for u64 {}
impl Presence for bool {}
impl Presence for Retitle {
    const REQUIRED: bool = false;
}
impl<T> Presence for Option<T> {
    const REQUIRED: bool = false;
}

impl Shape {
    /// The first thing that is wrong with the fields of a frame.
    pub(crate) fn check(&self, fields: &Map<String, Value>) -> Result<(), ErrorBody> {
        let present = |name: &str| fields.get(name).filter(|value| !value.is_null());
        if let Some((name, ..)) = self.fields.iter().find(|(name, _, must)| *must && present(name).is_none())
        {
            return Err(missing(name));
        }
        let all = self.fields.iter().flat_map(|field| match field.1 {
            FieldKind::Retitle => &OF_RETITLE[..],
            _ => std::slice::from_ref(field),
        });
        for (name, kind, _) in all {
            if let Some(why) = present(name).and_then(|value| kind.objection(value)) {
                return Err(unfit(name, why));
            }
        }
        Ok(())
    }
}

impl FieldKind {
    /// What is wrong with a value, if something is.
    fn objection(self, value: &Value) -> Option<&'static str> {
        let text = value.as_str();
        let (good, why) = match self {
            FieldKind::Text => (text.is_some(), "must be text"),
            FieldKind::Filled => {
                (text.is_some_and(|text| !text.trim().is_empty()), "must be text, not empty")
            }
            FieldKind::Title => (
                text.is_some_and(|text| text.chars().count() <= MAX_TITLE),
                "must be text of at most 200 characters",
            ),
            FieldKind::Thread => (
                text.is_some_and(|text| ThreadId::new(text).is_ok()),
                "must be text of 1 to 128 characters without control characters",
            ),
            FieldKind::Epoch => (
                text.is_some_and(|text| text.parse::<Epoch>().is_ok()),
                "must be text of 16 lower-case hex digits",
            ),
            FieldKind::Decision => {
                (matches!(text, Some("approved" | "denied")), "must be \"approved\" or \"denied\"")
            }
            FieldKind::Number => (value.is_u64(), "must be a whole number from 0"),
            FieldKind::Limit => (
                value.as_u64().is_some_and(|limit| (1..=MAX_HISTORY_LIMIT).contains(&limit)),
                "must be a whole number from 1 to 100",
            ),
            FieldKind::Flag => (value.is_boolean(), "must be true or false"),
            FieldKind::Object => (value.is_object(), "must be an object"),
            FieldKind::Retitle | FieldKind::Any => (true, ""),
        };
        (!good).then_some(why)
    }
}

/// A field that must be there is not.
pub(crate) fn missing(field: &str) -> ErrorBody {
    ErrorBody::new(ErrorCode::MissingField, format!("The field {field:?} is missing.")).detail("field", field)
}

/// A field is not what it must be.
pub(crate) fn unfit(field: &str, why: &str) -> ErrorBody {
    ErrorBody::new(ErrorCode::InvalidFrame, format!("The field {field:?} {why}.")).detail("field", field)
}
