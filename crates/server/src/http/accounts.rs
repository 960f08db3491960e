//! Register, login, refresh, logout, me: the routes of a user's own account. Answers are never cached.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use wireproof_protocol::{ErrorCode, UserId};

use super::extract::{Authenticated, Object};
use crate::{
    app::Context,
    auth::{
        AuthError,
        accounts::AccountError,
        logins::{Logins, Tokens},
        passwords::PasswordError,
        token,
    },
    broker::Notice,
    error::Refusal,
    limits::ClientAddress,
};

/// Largest body of these requests in bytes.
pub const BODY_BYTES: usize = 16 << 10;

const NO_STORE: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// A name and its password.
#[derive(Deserialize, JsonSchema)]
pub struct Credentials {
    /// The name.
    user_id: String,
    /// Its password.
    password: String,
}

/// A refresh token.
#[derive(Deserialize, JsonSchema)]
pub struct Renewal {
    /// Good once.
    refresh_token: String,
}

/// What to log out.
#[derive(Deserialize, JsonSchema)]
pub struct Leave {
    /// Of the login to end; that of the bearer token when absent.
    refresh_token: Option<String>,
}

type Shared = State<Arc<Context>>;
/// The address of the client, from the accept loop.
type From = axum::Extension<ClientAddress>;

/// An answer with tokens, or why there are none.
struct TokensAnswer(StatusCode, Result<Tokens, AccountError>);

impl IntoResponse for TokensAnswer {
    fn into_response(self) -> Response {
        match self.1 {
            Ok(tokens) => (self.0, [NO_STORE], Json(tokens)).into_response(),
            Err(error) => refused(error),
        }
    }
}

/// A refusal; when the server itself is overloaded, it is 503, not 429.
pub fn refused(error: AccountError) -> Response {
    let busy = matches!(error, AccountError::Password(PasswordError::Busy));
    let mut response = ([NO_STORE], Refusal::from(error)).into_response();
    if busy {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

fn count(context: &Context, door: &'static str, tokens: &Result<Tokens, AccountError>) {
    let result = match tokens {
        Ok(_) => "ok",
        Err(AccountError::Wrong | AccountError::NoLogin | AccountError::Unknown) => "wrong",
        Err(AccountError::Taken) => "taken",
        Err(AccountError::Unusable(_)) => "unusable",
        Err(AccountError::Wait(_) | AccountError::TooMany(_)) => "delayed",
        Err(AccountError::Password(PasswordError::Busy)) => "busy",
        Err(AccountError::Closed) => "closed",
        Err(AccountError::Reused(_)) => "reused",
        Err(_) => "failed",
    };
    context.metrics.login(door, result);
}

fn logins(context: &Context) -> &Logins {
    &context.logins
}

/// `POST /auth/register` `{user_id, password}`
pub async fn register(State(context): Shared, from: From, Object(who): Object<Credentials>) -> Response {
    let tokens = registered(&context, who, from.0).await;
    count(&context, "register", &tokens);
    TokensAnswer(StatusCode::CREATED, tokens).into_response()
}

/// Registers within the limit of the address, under a name that no user of a token has now.
async fn registered(
    context: &Context,
    who: Credentials,
    from: ClientAddress,
) -> Result<Tokens, AccountError> {
    let logins = logins(context);
    logins.may_register()?;
    context.rates.try_registration(from, Instant::now()).map_err(AccountError::TooMany)?;
    let is_in_use = |user_id: &UserId| context.hub.has(user_id) || context.auth.keys.remembers(user_id);
    let tokens = logins.register(&who.user_id, who.password, from, is_in_use).await;
    if tokens.is_err() {
        context.rates.forgive_registration(from);
    }
    tokens
}

/// `POST /auth/login` `{user_id, password}`
pub async fn login(State(context): Shared, from: From, Object(who): Object<Credentials>) -> Response {
    let tokens = logins(&context).login(&who.user_id, who.password, from.0).await;
    count(&context, "login", &tokens);
    TokensAnswer(StatusCode::OK, tokens).into_response()
}

/// `POST /auth/refresh` `{refresh_token}`: a token that was used before ends its login, and all connections of it.
pub async fn refresh(State(context): Shared, Object(renewal): Object<Renewal>) -> Response {
    let tokens = logins(&context).refresh(&renewal.refresh_token).await;
    count(&context, "refresh", &tokens);
    if let Err(AccountError::Reused(revocation)) = &tokens {
        context.enforce(revocation);
        context.publisher.tell(Notice::Revoked(revocation.clone()));
    }
    TokensAnswer(StatusCode::OK, tokens).into_response()
}

/// `POST /auth/logout` `{refresh_token?}`: ends the login of the refresh token, or else of the bearer token. A refresh
/// token that does not exist is no error, so that answers tell nothing about tokens that do.
pub async fn logout(
    State(context): Shared,
    from: From,
    headers: HeaderMap,
    Object(leave): Object<Leave>,
) -> Result<Response, Refusal> {
    let ended = match leave.refresh_token {
        Some(token) => logins(&context).ended_by_refresh_token(&token).await?,
        None => {
            let bearer = token::bearer(&headers).ok_or(AuthError::Missing)?;
            let principal = context.authenticate(&bearer, from.0).await?;
            context.rates.allowance(&principal.user_id, from.0).message(Instant::now())?;
            let ended = logins(&context).ended_by(principal);
            let nameless = "This token has no id by which it could be revoked; it ends by itself.";
            Some(ended.ok_or_else(|| Refusal::new(ErrorCode::InvalidFrame, nameless))?)
        }
    };
    if let Some((what, until)) = ended {
        context.may_revoke(&what)?;
        context.revoke(what, until).await?;
    }
    Ok((StatusCode::NO_CONTENT, [NO_STORE]).into_response())
}

/// `GET /auth/me`: the user of the token, and the account if there is one.
pub async fn me(
    State(context): Shared,
    Authenticated(principal): Authenticated,
) -> Result<Response, Refusal> {
    let mut me = json!({
        "user_id": principal.user_id,
        "permissions": principal.permissions.names(),
        "expires_at": principal.expires_at,
        "quotas": context.store.quotas(&principal.user_id).await?,
    });
    if let Some(session_id) = principal.session_id {
        me["session_id"] = Value::from(session_id);
    }
    match logins(&context).accounts.get(&principal.user_id).await {
        Ok(account) => me["account"] = json!(account),
        Err(AccountError::Unknown) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(([NO_STORE], Json(me)).into_response())
}
