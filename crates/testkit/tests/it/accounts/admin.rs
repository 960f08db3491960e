//! Accounts as their administrator makes and changes them, and what ends by that at once.

use std::time::Instant;

use serde_json::json;
use wireproof_server::auth::Permissions;
use wireproof_testkit::TestServer;

use super::{PASSWORD, assert_closed, assert_error, assert_over, login};
use crate::permissions::token_with;

#[tokio::test]
async fn an_administrator_makes_shows_and_lists_accounts() {
    let server = TestServer::start().await;
    let admin = server.admin();
    for name in ["bob", "Ada Lovelace", "auth0|7"] {
        let made = admin.post("/api/admin/users", json!({ "user_id": name, "password": PASSWORD })).await;
        assert_eq!(made.status, 201, "{}", made.body);
        assert_eq!((&made.json["user_id"], &made.json["disabled"]), (&json!(name), &json!(false)));
        assert!(!made.body.contains("argon2") && !made.body.contains(PASSWORD));
    }
    let list = admin.get("/api/admin/users?limit=2&offset=1").await;
    assert_eq!(
        (&list.json["total"], &list.json["limit"], &list.json["offset"]),
        (&json!(3), &json!(2), &json!(1))
    );
    let names: Vec<_> = list.json["users"].as_array().unwrap().iter().map(|user| &user["user_id"]).collect();
    assert_eq!(names, ["auth0|7", "bob"]);
    assert_eq!(admin.get("/api/admin/users/Ada%20Lovelace").await.json["user_id"], "Ada Lovelace");
    assert_error(&admin.get("/api/admin/users/nobody").await, 404, "not_found", "nobody");
    assert_error(&admin.patch("/api/admin/users/nobody", json!({})).await, 404, "not_found", "nobody");
    let again = admin.post("/api/admin/users", json!({ "user_id": "bob", "password": PASSWORD })).await;
    assert_error(&again, 409, "name_taken", "a second bob");
    for (body, field) in [
        (json!({ "user_id": "", "password": PASSWORD }), "user_id"),
        (json!({ "user_id": "x", "password": "short" }), "password"),
        (json!({ "user_id": "x", "password": PASSWORD, "permissions": ["chat", "fly"] }), "permissions"),
    ] {
        let reply = admin.post("/api/admin/users", body.clone()).await;
        assert_error(&reply, 422, "invalid_frame", &body.to_string());
        assert_eq!(reply.json["details"]["field"], field);
    }
    for body in
        [json!({ "password": "short" }), json!({ "permissions": ["fly"] }), json!({ "disabled": "yes" })]
    {
        let reply = admin.patch("/api/admin/users/bob", body.clone()).await;
        assert_error(&reply, 422, "invalid_frame", &body.to_string());
    }
    assert_eq!(admin.get("/api/admin/users?limit=x").await.status, 422);
}

#[tokio::test]
async fn a_disabled_user_is_out_within_the_second_and_back_when_enabled() {
    let mut server = TestServer::start().await;
    let (ada, eve) = (server.account("ada", PASSWORD).await, server.account("eve", PASSWORD).await);
    let (phone, other, eves) = (ada.connect().await, server.user("ada").connect().await, eve.connect().await);
    let since = Instant::now();
    let path = "/api/admin/users/ada";
    assert_eq!(server.admin().patch(path, json!({ "disabled": true })).await.json["disabled"], true);
    assert_closed(&phone, since).await;
    assert_closed(&other, since).await;
    assert_over(&ada).await;
    assert_error(&login(&server, "ada", PASSWORD).await, 401, "unauthenticated", "disabled");
    // A token that the operator or another issuer makes meanwhile is no way around it.
    assert_eq!(server.user("ada").get("/api/threads").await.status, 401);
    server.restart().await;
    assert_error(&login(&server, "ada", PASSWORD).await, 401, "unauthenticated", "disabled, after a restart");
    assert_over(&ada).await;
    assert_eq!(server.user("ada").get("/api/threads").await.status, 401);
    assert_eq!(server.admin().patch(path, json!({ "disabled": false })).await.json["disabled"], false);
    assert_over(&ada).await;
    server.account("ada", PASSWORD).await.connect().await.barrier().await;
    drop(eves);
    assert_eq!(eve.rest().get("/auth/me").await.status, 200);
}

/// An end that the administrator puts to a login, or to all of a user's, is one for its refresh token too.
#[tokio::test]
async fn what_an_administrator_revokes_cannot_be_refreshed() {
    let server = TestServer::start().await;
    let (one, two) = (server.account("ada", PASSWORD).await, server.account("ada", PASSWORD).await);
    let session = one.rest().get("/auth/me").await.json["session_id"].clone();
    assert_eq!(server.admin().post("/api/admin/revoke", json!({ "session_id": session })).await.status, 200);
    assert_over(&one).await;
    assert_eq!(two.rest().get("/auth/me").await.status, 200);
    assert_eq!(server.admin().post("/api/admin/revoke", json!({ "user_id": "ada" })).await.status, 200);
    assert_over(&two).await;
    server.account("ada", PASSWORD).await.connect().await.barrier().await;
}

/// Bug to prevent: times of whole seconds would take a login for older than the change that it followed.
#[tokio::test]
async fn a_new_password_ends_what_the_old_one_opened_and_is_good_at_once() {
    let server = TestServer::start().await;
    let ada = server.account("ada", PASSWORD).await;
    let client = ada.connect().await;
    let since = Instant::now();
    let changed = server.admin().patch("/api/admin/users/ada", json!({ "password": "another one" })).await;
    assert_eq!(changed.status, 200);
    let new = server.account("ada", "another one").await;
    assert_eq!(new.rest().get("/auth/me").await.status, 200);
    new.connect().await.barrier().await;
    assert_closed(&client, since).await;
    assert_over(&ada).await;
    assert_error(&login(&server, "ada", PASSWORD).await, 401, "unauthenticated", "the old password");
}

#[tokio::test]
async fn permissions_that_are_granted_come_with_the_next_token_and_those_taken_away_end_all() {
    let server = TestServer::start().await;
    let ada = server.account("ada", PASSWORD).await;
    let client = ada.connect().await;
    let grant = async |names: &[&str]| {
        let reply = server.admin().patch("/api/admin/users/ada", json!({ "permissions": names })).await;
        assert_eq!((reply.status, &reply.json["permissions"]), (200, &json!(names)));
    };
    grant(&["chat", "threads:read", "threads:write", "runs:cancel", "admin:read"]).await;
    client.barrier().await;
    assert_eq!(ada.rest().get("/api/admin/users").await.status, 403);
    let more = ada.with(&ada.try_refresh().await);
    assert_eq!(more.rest().get("/api/admin/users").await.status, 200);
    let since = Instant::now();
    grant(&["threads:read"]).await;
    assert_closed(&client, since).await;
    assert_over(&more).await;
    let less = server.account("ada", PASSWORD).await;
    assert_eq!(less.rest().get("/api/threads").await.status, 200);
    assert_error(
        &less.rest().post("/api/threads", json!({})).await,
        403,
        "forbidden",
        "threads:write is gone",
    );
}

/// Bug: an account under the name of the commands' own user could be made and disabled, and kept them out.
#[tokio::test]
async fn nobody_takes_a_name_of_the_servers_own() {
    let server = TestServer::start().await;
    let body = json!({ "user_id": "wireproof:operator", "password": PASSWORD });
    let reply = server.admin().post("/api/admin/users", body).await;
    assert_error(&reply, 422, "invalid_frame", "the operator's name");
}

/// Who may change accounts would otherwise make himself, or take over, one that may do everything.
#[tokio::test]
async fn nobody_grants_or_takes_over_more_than_he_has() {
    let server = TestServer::start().await;
    server.account("boss", PASSWORD).await;
    let all = json!({ "permissions": Permissions::all().names() });
    assert_eq!(server.admin().patch("/api/admin/users/boss", all).await.status, 200);
    let clerk = Permissions::named([
        "admin:users",
        "admin:read",
        "chat",
        "threads:read",
        "threads:write",
        "runs:cancel",
    ]);
    let clerk = server.rest().token(token_with(&server, "clerk", clerk));
    let mut body = json!({ "user_id": "eve", "password": PASSWORD });
    assert_eq!(clerk.post("/api/admin/users", body.clone()).await.status, 201);
    body["permissions"] = json!(["admin:server"]);
    assert_error(&clerk.post("/api/admin/users", body.clone()).await, 403, "forbidden", "making one");
    for (name, change) in [
        ("eve", json!({ "permissions": ["admin:*"] })),
        ("boss", json!({ "password": "mine from now on" })),
        ("boss", json!({ "disabled": true })),
        ("boss", json!({ "permissions": ["chat"] })),
    ] {
        let reply = clerk.patch(&format!("/api/admin/users/{name}"), change.clone()).await;
        assert_error(&reply, 403, "forbidden", &format!("{name} {change}"));
    }
    assert_eq!(login(&server, "boss", PASSWORD).await.status, 200);
}
