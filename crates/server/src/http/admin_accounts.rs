//! The accounts, for administrators. A change that takes rights away ends the user's connections.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use wireproof_protocol::{ErrorBody, ErrorCode, UserId};

use super::{
    accounts::refused,
    extract::{Authenticated, Id, Object, Parameters},
};
use crate::{
    app::Context,
    auth::{
        Permission, Permissions,
        accounts::{AccountError, AccountView, Alteration},
        passwords::{LONGEST, SHORTEST},
    },
    broker::Notice,
    error::Refusal,
    store::Window,
};

/// Accounts in a page when no limit is given, and at most.
const PAGE: (u64, u64) = (50, 500);

/// A page of the list.
#[derive(Deserialize)]
pub struct AccountPaging {
    limit: Option<u64>,
    offset: Option<u64>,
}

/// A new account.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "NewAccount")]
pub struct New {
    /// The name.
    #[schemars(with = "UserId")]
    user_id: String,
    /// 8 to 1024 characters.
    #[schemars(length(min = SHORTEST, max = LONGEST))]
    password: String,
    /// What its tokens grant; a user's usual permissions when absent.
    #[schemars(with = "Option<Vec<Grant>>")]
    permissions: Option<Vec<String>>,
}

/// What becomes different in an account.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "AccountChange")]
pub struct AccountChangeBody {
    /// 8 to 1024 characters.
    #[schemars(length(min = SHORTEST, max = LONGEST))]
    password: Option<String>,
    /// What its tokens grant from now on.
    #[schemars(with = "Option<Vec<Grant>>")]
    permissions: Option<Vec<String>>,
    /// Whether nobody can log in as it.
    disabled: Option<bool>,
}

/// A permission, or all of `admin`.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it is for the document only")]
enum Grant {
    /// One.
    One(Permission),
    /// All of `admin`.
    Admin(#[schemars(extend("const" = "admin:*"))] String),
}

type Shared = State<Arc<Context>>;

fn unusable(sentence: String, field: &str) -> Refusal {
    ErrorBody::new(ErrorCode::InvalidFrame, sentence).detail("field", field).into()
}

/// The permissions of the names; an unknown name is refused, so that no administrator believes to have granted it.
fn permissions(names: Option<Vec<String>>) -> Result<Option<Permissions>, Refusal> {
    let Some(names) = names else { return Ok(None) };
    match names.iter().find(|name| Permissions::named([name.as_str()]) == Permissions::NONE) {
        None => Ok(Some(Permissions::named(names.iter().map(String::as_str)))),
        Some(name) => Err(unusable(format!("There is no permission {name:?}."), "permissions")),
    }
}

/// Refuses to make or change an account with more permissions than the administrator has, or else one permission would
/// be worth all.
fn within(own: Permissions, others: Permissions) -> Result<(), Refusal> {
    if own.cover(others) { Ok(()) } else { Err(AccountError::Beyond.into()) }
}

fn user_id(text: &str) -> Result<UserId, AccountError> {
    UserId::new(text).map_err(|_| AccountError::Unknown)
}

/// `GET /api/admin/users?limit=&offset=`
pub async fn list(
    State(context): Shared,
    Parameters(page): Parameters<AccountPaging>,
) -> Result<Json<Value>, Refusal> {
    let (usual, most) = PAGE;
    let window = Window { limit: page.limit.unwrap_or(usual).min(most), offset: page.offset.unwrap_or(0) };
    let (users, total) = context.logins.accounts.list(window).await?;
    Ok(Json(json!({ "users": users, "total": total, "limit": window.limit, "offset": window.offset })))
}

/// `POST /api/admin/users` `{user_id, password, permissions?}`
pub async fn create(
    State(context): Shared,
    Authenticated(admin): Authenticated,
    Object(new): Object<New>,
) -> Result<Response, Refusal> {
    let user_id = UserId::new(&new.user_id).map_err(|e| unusable(format!("The name {e}."), "user_id"))?;
    let permissions = permissions(new.permissions)?.unwrap_or_else(Permissions::of_a_user);
    within(admin.permissions, permissions)?;
    Ok(match context.logins.accounts.create(user_id, new.password, permissions, false).await {
        Ok(account) => (StatusCode::CREATED, Json(AccountView::from(account))).into_response(),
        Err(error) => refused(error),
    })
}

/// `GET /api/admin/users/{id}`
pub async fn show(State(context): Shared, Id(id): Id) -> Result<Json<AccountView>, Refusal> {
    Ok(Json(context.logins.accounts.get(&user_id(&id)?).await?))
}

/// `PATCH /api/admin/users/{id}` `{password?, permissions?, disabled?}`: with a new password, fewer permissions or
/// disabled, all tokens of the user end, and with them the connections.
pub async fn change(
    State(context): Shared,
    Authenticated(admin): Authenticated,
    Id(id): Id,
    Object(change): Object<AccountChangeBody>,
) -> Result<Response, Refusal> {
    let AccountChangeBody { password, disabled, .. } = change;
    let (user_id, permissions) = (user_id(&id)?, permissions(change.permissions)?);
    within(admin.permissions, permissions.unwrap_or(Permissions::NONE))?;
    let alteration = Alteration { password, permissions, disabled };
    Ok(match context.logins.accounts.alter(&user_id, alteration, admin.permissions).await {
        Ok((account, revocation)) => {
            context.settle_account(&user_id, Some(account.disabled)).await;
            context.publisher.tell(Notice::Disabled(user_id));
            if let Some(revocation) = revocation {
                // Once more, now that no login is left: tokens that were refreshed while the change was stored end too.
                context.revoke(revocation.what, revocation.until).await?;
            }
            Json(account).into_response()
        }
        Err(error) => refused(error),
    })
}
