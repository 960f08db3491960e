//! Typed identifiers: what names what can not be confused by accident.
//! Generated ids are UUIDv7, so they sort by time of birth; ids given by others are checked text.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is not a UUID.
    #[error("not a UUID")]
    NotAUuid,
    /// The text is empty or longer than [`MAX_TEXT_ID`] characters.
    #[error("must have 1 to {MAX_TEXT_ID} characters")]
    Length,
    /// The text holds a control character.
    #[error("must not hold control characters")]
    ControlCharacter,
}

/// Longest user id, request id or thread id, in characters.
pub const MAX_TEXT_ID: usize = 128;

const NO_CONTROL_CHARACTER: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(#[schemars(with = "UuidText")] Uuid);

        impl $name {
            /// A new id, later in order than those made before it on this machine.
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id as 16 bytes, for stores.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The id from its 16 bytes.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::parse_str(text).map(Self).map_err(|_| IdError::NotAUuid)
            }
        }
    )*};
}

/// How a UUID looks in a JSON Schema.
struct UuidText;

impl JsonSchema for UuidText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Uuid".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "uuid"})
    }
}

uuid_id! {
    /// One message of a thread; the deltas of an answer share it.
    MessageId
    /// One run of an agent.
    RunId
    /// One stored event.
    EventId
    /// One socket's life on a node.
    ConnectionId
    /// One call of a tool in a run.
    ToolCallId
    /// One approval that an agent asks the user for.
    ApprovalId
}

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(extend("minLength" = 1, "maxLength" = MAX_TEXT_ID, "pattern" = NO_CONTROL_CHARACTER))]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Checks and wraps a text of 1 to [`MAX_TEXT_ID`] characters without control characters.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                let text = text.as_ref();
                if text.is_empty() || text.chars().count() > MAX_TEXT_ID {
                    return Err(IdError::Length);
                }
                if text.chars().any(char::is_control) {
                    return Err(IdError::ControlCharacter);
                }
                Ok(Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }
    )*};
}

text_id! {
    /// Whose log it is: the `sub` of the token.
    UserId
    /// The idempotency key that a client gives a request; known per user.
    RequestId
    /// A conversation of one user: the name that the client gave it, or one that the server made. The same text of two
    /// users names two threads.
    ThreadId
}

impl ThreadId {
    /// A new name that no other thread has: the text of a UUIDv7.
    pub fn generate() -> Self {
        Self(Uuid::now_v7().to_string().into())
    }

    /// The name as the server writes UUIDs, if it is one in another spelling: in capitals, in braces, without hyphens.
    pub fn canonical(&self) -> Option<Self> {
        let written = Uuid::parse_str(&self.0).ok()?.to_string();
        (*written != *self.0).then(|| Self(written.into()))
    }
}
