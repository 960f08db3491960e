//! The admin API: who is connected, and sending them away.

use std::time::Duration;

use serde_json::json;
use wireproof_server::auth::{Claims, Permissions};
use wireproof_testkit::{Rest, TestServer, error};

use crate::permissions::token_with;

fn admin(server: &TestServer) -> Rest {
    server.rest().token(token_with(server, "root", Permissions::named(["admin:*"])))
}

#[tokio::test]
async fn the_connections_are_listed_by_page_and_by_user() {
    let server = TestServer::start().await;
    let (ada, eve) = (server.user("ada"), server.user("eve"));
    let claims = Claims {
        jti: Some("t1".into()),
        sid: Some("s1".into()),
        ..server.keys().claims(ada.id(), Duration::from_secs(60))
    };
    let token = server.keys().sign_claims(&claims);
    let first = ada.open(ada.connection().token(&token)).await;
    first.expect("connection_established").await;
    let _others = (ada.connect().await, eve.connect().await);
    let list = admin(&server).get("/api/admin/connections").await;
    assert_eq!((list.status, &list.json["total"]), (200, &json!(3)));
    let shown = &list.json["connections"][0];
    for (name, value) in [
        ("connection_id", json!(first.welcome().connection_id)),
        ("user_id", json!("ada")),
        ("address", json!("127.0.0.1")),
        ("token_id", json!("t1")),
        ("session_id", json!("s1")),
        ("queued_bytes", json!(0)),
        ("permissions", json!(["chat", "threads:read", "threads:write", "runs:cancel"])),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
    assert!(shown["since"].is_f64() && shown["expires_at"].is_f64());
    assert!(!list.body.contains(&token));
    let page = admin(&server).get("/api/admin/connections?user_id=ada&limit=1&offset=1").await;
    assert_eq!(
        (&page.json["total"], &page.json["limit"], &page.json["offset"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!(page.json["connections"].as_array().unwrap().len(), 1);
    assert_eq!(page.json["connections"][0]["user_id"], "ada");
    assert_eq!(admin(&server).get("/api/admin/connections?user_id=nobody").await.json["total"], 0);
    assert_eq!(admin(&server).get("/api/admin/connections?limit=x").await.status, 422);
}

#[tokio::test]
async fn an_administrator_ends_one_connection_or_all_of_a_user() {
    let server = TestServer::start().await;
    let (ada, eve) = (server.user("ada"), server.user("eve"));
    let (one, two, other) = (ada.connect().await, ada.connect().await, eve.connect().await);
    let id = one.welcome().connection_id;
    let path = format!("/api/admin/connections/{id}");
    assert_eq!(ada.delete(&path).await.status, 403);
    assert_eq!(admin(&server).delete(&path).await.status, 204);
    one.expect(error("forbidden")).await;
    assert_eq!(one.expect_closed().await.code, Some(1008));
    server.until("it has left", |server| server.connections() == 2).await;
    for gone in [path.as_str(), "/api/admin/connections/nonsense"] {
        assert_eq!(admin(&server).delete(gone).await.status, 404, "{gone}");
    }
    two.barrier().await;
    let reply = admin(&server).post("/api/admin/users/ada/disconnect", json!({})).await;
    assert_eq!((reply.status, &reply.json["disconnected"]), (200, &json!(1)));
    assert_eq!(two.expect_closed().await.code, Some(1008));
    let none = admin(&server).post("/api/admin/users/nobody/disconnect", json!({})).await;
    assert_eq!((none.status, &none.json["disconnected"]), (200, &json!(0)));
    other.barrier().await;
    // Sent away is not locked out.
    ada.connect().await.barrier().await;
}

#[tokio::test]
async fn a_revocation_names_one_thing() {
    let server = TestServer::start().await;
    for body in [
        json!({}),
        json!({ "token_id": "a", "user_id": "b" }),
        json!({ "token_id": "" }),
        json!({ "token_id": 7 }),
        json!({ "session_id": "x".repeat(1025) }),
    ] {
        let reply = admin(&server).post("/api/admin/revoke", body.clone()).await;
        assert_eq!(reply.status, 422, "{body}");
    }
    assert_eq!(admin(&server).post("/api/admin/revoke", json!({ "user_id": "" })).await.status, 404);
    for body in [json!({ "seconds": -1 }), json!({ "seconds": 1e9 }), json!({ "spread_seconds": "x" })] {
        let reply = admin(&server).post("/api/admin/drain", body.clone()).await;
        assert_eq!(reply.status, 422, "{body}");
    }
    assert_eq!(admin(&server).get("/ready").await.status, 200);
}
