//! Changes of one account that come at the same instant: the store, the memory and the connections agree on the last.

use serde_json::json;
use wireproof_testkit::TestServer;

use super::PASSWORD;

/// Bug: of disabling and enabling an account at the same instant, the store kept one and the memory the other, until a
/// restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_store_says_of_an_account_is_what_holds() {
    let mut server = TestServer::start_with(|config| {
        config.limits.messages_per_minute = 0;
        config.limits.other_frames_per_minute = 0;
    })
    .await;
    server.account("ada", PASSWORD).await;
    let admin = server.admin();
    let change = async |change| {
        let reply = admin.patch("/api/admin/users/ada", change).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    };
    let mut disabled_rounds = 0;
    for round in 0..300 {
        let (yes, no) = (json!({ "disabled": true }), json!({ "disabled": false }));
        match round % 3 {
            0 => drop(tokio::join!(change(yes.clone()), change(no.clone()))),
            1 => drop(tokio::join!(change(no.clone()), change(yes.clone()))),
            _ => drop(tokio::join!(change(yes.clone()), change(no.clone()), change(yes), change(no))),
        }
        let stored = admin.get("/api/admin/users/ada").await.json["disabled"].as_bool().unwrap();
        disabled_rounds += u32::from(stored);
        // A token of somebody else, made now: nothing but the account keeps it out.
        let status = server.user("ada").get("/auth/me").await.status;
        assert_eq!(
            status,
            if stored { 401 } else { 200 },
            "round {round}: the store says disabled = {stored}"
        );
    }
    println!("disabled after {disabled_rounds} of 300 rounds");
    let stored = admin.get("/api/admin/users/ada").await.json["disabled"].as_bool().unwrap();
    server.restart().await;
    assert_eq!(server.user("ada").get("/auth/me").await.status, if stored { 401 } else { 200 });
}

/// Of a permission that is granted and one that is taken away at the same instant none is left that the account lacks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_grants_what_was_taken_away_at_the_same_instant() {
    let server = TestServer::start_with(|config| config.limits.messages_per_minute = 0).await;
    server.account("ada", PASSWORD).await;
    let admin = server.admin();
    let grant = async |names: serde_json::Value| {
        let reply = admin.patch("/api/admin/users/ada", json!({ "permissions": names })).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    };
    for round in 0..12 {
        let (more, fewer) = (json!(["threads:read", "chat"]), json!(["threads:read"]));
        let (_, _, account) = tokio::join!(grant(more), grant(fewer), server.account("ada", PASSWORD));
        let stored = admin.get("/api/admin/users/ada").await.json["permissions"].clone();
        let me = account.rest().get("/auth/me").await;
        if me.status == 200 && stored == json!(["threads:read"]) {
            assert_eq!(me.json["permissions"], stored, "round {round}");
        }
    }
}
