//! The table of permissions, walked whole: every frame and every route, with just enough and with all but that.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use wireproof_server::auth::{
    Permission, Permissions,
    table::{self, Need},
};
use wireproof_testkit::{Rest, TestServer, error};

use crate::front_door::{assert_refused, open};

const NOBODYS: &str = "01a1fdeb-eaee-77a1-b0f2-0e9b68677da5";

/// A token of a user that grants just these.
pub fn token_with(server: &TestServer, name: &str, granted: Permissions) -> String {
    let user = server.user(name);
    let mut claims = server.keys().claims(user.id(), Duration::from_secs(600));
    claims.permissions = Some(granted.names().into_iter().map(str::to_owned).collect());
    server.keys().sign_claims(&claims)
}

/// For every permission: that one alone, and all but that one. A name for the user, so that each has its own limits.
fn sets() -> Vec<(String, Permissions)> {
    let alone = Permission::ALL.map(|one| (format!("only-{}", one.name()), [one].into_iter().collect()));
    let without = Permission::ALL.map(|one| {
        let others = Permission::ALL.into_iter().filter(|other| *other != one).collect();
        (format!("without-{}", one.name()), others)
    });
    alone.into_iter().chain(without).chain([("all".to_owned(), Permissions::all())]).collect()
}

fn lacking(need: Need, granted: Permissions) -> Option<&'static str> {
    match need {
        Need::Permission(permission) if !granted.has(permission) => Some(permission.name()),
        _ => None,
    }
}

/// A frame of this type that is understood, whatever comes of it.
fn sample(kind: &str, token: &str) -> Value {
    let mut frame = match kind {
        "authenticate" => json!({ "token": token }),
        "resume" => json!({ "epoch": "0000000000000000", "after": 0 }),
        "chat" => json!({ "content": "What is 1+1?" }),
        "start_agent" => json!({ "user_request": "What is 1+1?" }),
        "approve" => json!({ "approval_id": NOBODYS, "decision": "denied" }),
        "cancel_run" => json!({ "run_id": NOBODYS }),
        "rename_thread" | "delete_thread" | "switch_thread" | "get_thread_history" => {
            json!({ "thread_id": NOBODYS })
        }
        "typing" => json!({ "thread_id": NOBODYS, "active": true }),
        "ping" | "heartbeat" | "create_thread" => json!({}),
        new => panic!("{new} is in the table of permissions and has no sample here"),
    };
    frame["type"] = kind.into();
    frame
}

#[tokio::test]
async fn every_frame_takes_what_the_table_says_and_no_less() {
    let server = TestServer::start().await;
    for (name, granted) in sets() {
        // Threads:read is what a connection takes: the others are asked with it.
        let granted: Permissions = Permission::ALL
            .into_iter()
            .filter(|one| granted.has(*one) || *one == Permission::ThreadsRead)
            .collect();
        let token = token_with(&server, &name, granted);
        let client = open(server.connect().token(&token)).await;
        client.expect("connection_established").await;
        for (kind, need) in table::FRAMES {
            let answer = client.ask(sample(kind, &token)).await;
            match lacking(*need, granted) {
                Some(permission) => {
                    assert_eq!(answer["error_code"], "forbidden", "{name} {kind}: {}", answer.text);
                    assert_eq!(answer["details"]["permission"], permission, "{name} {kind}");
                }
                None => {
                    assert_ne!(answer["error_code"], "forbidden", "{name} {kind}: {}", answer.text);
                    assert_ne!(answer["error_code"], "invalid_frame", "{name} {kind}: {}", answer.text);
                }
            }
        }
        client.barrier().await;
    }
}

/// A connection is given the whole log: without `threads:read` there is none, by whatever way the token is shown.
#[tokio::test]
async fn a_connection_takes_the_right_to_read() {
    use wireproof_client::Credentials::{FirstFrame, Header, Subprotocol};
    let server = TestServer::start().await;
    for (name, granted) in sets() {
        let token = token_with(&server, &name, granted);
        for shown in [Header(token.clone()), Subprotocol(token.clone()), FirstFrame(token.clone())] {
            let client = open(server.connect().credentials(shown)).await;
            if granted.has(Permission::ThreadsRead) {
                client.expect("connection_established").await;
                continue;
            }
            assert_refused(&client, "forbidden").await;
            assert_eq!(client.frames()[0]["details"]["permission"], "threads:read");
        }
    }
}

async fn send(rest: &Rest, method: &str, route: &str) -> wireproof_testkit::Reply {
    let path = route.replace("{id}", NOBODYS);
    rest.send(method.parse::<Method>().unwrap(), &path, "").await
}

#[tokio::test]
async fn every_route_takes_what_the_table_says_and_no_less() {
    let server = TestServer::start().await;
    for (method, route, need) in table::ROUTES {
        let reply = send(&server.rest(), method, route).await;
        assert!(
            reply.status != 405 && !reply.body.contains("nothing at this address"),
            "{method} {route} has no handler"
        );
        if *need == Need::Anyone {
            assert_ne!(reply.status, 403, "{method} {route}");
        } else {
            assert_eq!((reply.status, reply.error_code()), (401, "unauthenticated"), "{method} {route}");
        }
    }
    for (name, granted) in sets() {
        let rest = server.rest().token(token_with(&server, &name, granted));
        for (method, route, need) in table::ROUTES.iter().filter(|(_, _, need)| *need != Need::Anyone) {
            let reply = send(&rest, method, route).await;
            match lacking(*need, granted) {
                Some(permission) => {
                    let saw = (reply.status, reply.error_code(), &reply.json["details"]["permission"]);
                    assert_eq!(saw, (403, "forbidden", &json!(permission)), "{name}: {method} {route}");
                }
                None => {
                    assert!(![401, 403, 405].contains(&reply.status), "{name}: {method} {route}: {reply:?}")
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_in_the_table_is_refused() {
    let server = TestServer::start().await;
    let rest = server.rest().token(token_with(&server, "root", Permissions::all()));
    for (_, route, _) in table::ROUTES {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
            if table::of_route(method, route).is_some() {
                continue;
            }
            let reply = send(&rest, method, route).await;
            assert_eq!(reply.status, 405, "{method} {route}");
            assert_eq!(reply.header("allow"), Some(table::methods_of(route).join(", ").as_str()));
        }
    }
    for path in
        ["/", "/api", "/api/threads/", "/api/admin", "/ws/", "//ws", "/API/threads", "/api/../metrics"]
    {
        assert_eq!(rest.get(path).await.status, 404, "{path}");
    }
    let client = open(server.connect().token(token_with(&server, "root", Permissions::all()))).await;
    client.expect("connection_established").await;
    assert_eq!(client.ask(json!({ "type": "drop_tables" })).await["error_code"], "unknown_type");
}

/// A renewal may take rights away or give some: what is sent behind it is judged by the new ones, without a gap.
#[tokio::test]
async fn a_renewal_changes_what_its_connection_may_do_at_once() {
    let server = TestServer::start().await;
    let read = Permissions::named(["threads:read"]);
    let (all, less) =
        (token_with(&server, "ada", Permissions::of_a_user()), token_with(&server, "ada", read));
    let ada = open(server.connect().token(&all)).await;
    ada.expect("connection_established").await;
    for (token, may) in [(&less, false), (&all, true), (&less, false)] {
        ada.send(json!({ "type": "authenticate", "token": token })).await;
        let answer = ada.ask(json!({ "type": "create_thread", "title": "x" })).await;
        assert_eq!(answer.kind() == "ack", may, "{}", answer.text);
    }
    let none = token_with(&server, "ada", Permissions::named(["chat", "threads:write"]));
    let refused = ada.ask(json!({ "type": "authenticate", "token": none })).await;
    assert_eq!(
        (&refused["error_code"], &refused["details"]["permission"]),
        (&json!("forbidden"), &json!("threads:read"))
    );
    // A renewal that was refused changed nothing.
    ada.barrier().await;
    assert_eq!(ada.ask(json!({ "type": "create_thread", "title": "x" })).await["error_code"], "forbidden");
    ada.expect_none(error("internal")).await;
    assert_eq!(server.runs(), 0);
}
