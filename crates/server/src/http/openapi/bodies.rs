//! Bodies whose rules are not all in the type that reads them.

use schemars::JsonSchema;

use super::schemas::SchemaOf;
use crate::auth::passwords::{LONGEST, SHORTEST};

/// What a route reads.
pub struct Body {
    pub required: bool,
    pub schema: SchemaOf,
}

impl Body {
    /// A body that cannot be left out.
    pub const fn required(schema: SchemaOf) -> Self {
        Self { required: true, schema }
    }

    /// A body of which nothing counts as an empty object.
    pub const fn optional(schema: SchemaOf) -> Self {
        Self { required: false, schema }
    }
}

/// A name that nobody has yet, and a password for it.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub struct Registration {
    /// The name.
    #[schemars(regex(pattern = r"^[a-z0-9._@+-]{1,128}$"))]
    user_id: String,
    /// 8 to 1024 characters.
    #[schemars(length(min = SHORTEST, max = LONGEST))]
    password: String,
}

/// What shall no longer count: one of the three.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub enum Revoke {
    /// One token.
    Token {
        /// The token's `jti`.
        #[schemars(length(min = 1, max = 1024))]
        token_id: String,
        /// Not there.
        #[serde(default)]
        session_id: (),
        /// Not there.
        #[serde(default)]
        user_id: (),
    },
    /// All tokens of one login.
    Session {
        /// Not there.
        #[serde(default)]
        token_id: (),
        /// The login.
        #[schemars(length(min = 1, max = 1024))]
        session_id: String,
        /// Not there.
        #[serde(default)]
        user_id: (),
    },
    /// All tokens that a user has now.
    User {
        /// Not there.
        #[serde(default)]
        token_id: (),
        /// Not there.
        #[serde(default)]
        session_id: (),
        /// The user.
        user_id: wireproof_protocol::UserId,
    },
}

/// How the server shall go away; what is absent is as the settings say.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub struct Drain {
    /// How long runs may go on, in seconds.
    #[schemars(range(min = 0, max = 86400))]
    seconds: Option<f64>,
    /// Over which time clients are told to come back, in seconds.
    #[schemars(range(min = 0, max = 86400))]
    spread_seconds: Option<f64>,
}
