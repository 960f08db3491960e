//! The one table of routes for the document; who may use them is in the table of permissions.

use serde_json::{Value, json};

use super::{
    answers,
    bodies::{self, Body},
    schemas::{SchemaOf, Schemas},
};
use crate::{
    auth::{accounts::AccountView, logins::Tokens},
    http::{accounts, admin_accounts, threads},
    store::RunRecord,
};

/// Name, description and schema of each parameter of a query.
type Query = &'static [(&'static str, &'static str, fn() -> Value)];

/// What a route says of itself.
pub struct Route {
    pub method: &'static str,
    pub path: &'static str,
    pub id: &'static str,
    pub tag: &'static str,
    pub summary: &'static str,
    pub query: Query,
    pub body: Option<Body>,
    pub answers: &'static [RouteAnswer],
}

/// An answer that no rule brings about.
pub struct RouteAnswer {
    pub status: u16,
    pub description: &'static str,
    /// Media types and the one schema.
    pub content: Option<(&'static [&'static str], SchemaOf)>,
}

pub const TAGS: [(&str, &str); 5] = [
    ("threads", "Threads, their messages, and the runs that answer them."),
    ("accounts", "Registering and logging in."),
    ("sockets", "Opening a WebSocket."),
    ("operation", "How the server is."),
    ("admin", "Who is connected, and sending them away."),
];

const JSON: &[&str] = &["application/json"];
const METRICS: &[&str] = &["text/plain", "application/openmetrics-text"];

const fn json_of(status: u16, description: &'static str, schema: SchemaOf) -> RouteAnswer {
    RouteAnswer { status, description, content: Some((JSON, schema)) }
}

fn tokens(schemas: &mut Schemas) -> Value {
    schemas.written::<Tokens>()
}

fn account(schemas: &mut Schemas) -> Value {
    schemas.written::<AccountView>()
}

const fn error(status: u16, description: &'static str) -> RouteAnswer {
    json_of(status, description, |schemas| schemas.control("error"))
}

const fn plain(status: u16, description: &'static str) -> RouteAnswer {
    RouteAnswer { status, description, content: None }
}

fn whole() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX })
}

fn text() -> Value {
    json!({ "type": "string" })
}

const PAGE_OF_THREADS: Query = &[
    ("limit", "Threads a page: 20 when absent; above 100 it counts as 100, 0 as 1.", whole),
    ("offset", "Threads to pass over.", whole),
];
const PAGE_OF_MESSAGES: Query = &[
    ("limit", "Messages a page: 50 when absent; above 100 it counts as 100, 0 as 1.", whole),
    ("offset", "Messages to pass over, counted from the oldest; the latest page when absent.", whole),
];
const POSITION: Query = &[
    ("epoch", "The number line of the position to resume from.", text),
    ("after", "The last number seen.", text),
    ("ticket", "A ticket of POST /ws/ticket.", text),
];
const PAGE_OF_ACCOUNTS: Query = &[
    ("limit", "Accounts a page: 50 when absent; above 500 it counts as 500.", whole),
    ("offset", "Accounts to pass over.", whole),
];
const PAGE_OF_CONNECTIONS: Query = &[
    ("user_id", "Only those of this user.", text),
    ("limit", "Connections a page: 50 when absent; above 1000 it counts as 1000, 0 as 1.", whole),
    ("offset", "Connections to pass over.", whole),
];

const UPGRADE: &[RouteAnswer] = &[
    plain(101, "The connection is a WebSocket; see /asyncapi.json."),
    error(400, "The handshake is broken."),
    error(426, "The request does not ask for a WebSocket."),
    error(503, "No new connections now."),
];

const fn get(path: &'static str, id: &'static str, tag: &'static str, summary: &'static str) -> Route {
    Route { method: "GET", path, id, tag, summary, query: &[], body: None, answers: &[] }
}

const fn post(path: &'static str, id: &'static str, tag: &'static str, summary: &'static str) -> Route {
    Route { method: "POST", ..get(path, id, tag, summary) }
}

/// Every route of HTTP.
pub const ROUTES: &[Route] = &[
    Route { query: POSITION, answers: UPGRADE, ..get("/ws", "connect", "sockets", "Opens a WebSocket") },
    Route {
        query: POSITION,
        answers: UPGRADE,
        ..get("/websocket", "connect_alias", "sockets", "Opens a WebSocket; the same as /ws")
    },
    Route {
        answers: &[json_of(200, "A ticket, good once.", |s| s.written::<answers::Ticket>())],
        ..post("/ws/ticket", "buy_ticket", "sockets", "A ticket that opens one WebSocket")
    },
    Route {
        answers: &[json_of(200, "Who it is.", |s| s.written::<answers::Health>())],
        ..get("/health", "health", "operation", "The process is alive; asks no dependency")
    },
    Route {
        answers: &[
            json_of(200, "Ready.", |s| s.written::<answers::Ready>()),
            json_of(503, "Not ready.", |s| s.written::<answers::Ready>()),
        ],
        ..get("/ready", "ready", "operation", "New connections are welcome, and the store answers")
    },
    Route {
        answers: &[
            RouteAnswer {
                status: 200,
                description: "The metrics as text.",
                content: Some((METRICS, |_| json!({ "type": "string" }))),
            },
            error(403, "The metrics are not for this address."),
        ],
        ..get("/metrics", "metrics", "operation", "The server in numbers, for Prometheus")
    },
    Route {
        answers: &[
            json_of(200, "Clients are served; `degraded` when the store failed lately.", |s| {
                s.written::<answers::SocketHealth>()
            }),
            json_of(503, "Clients are not served.", |s| s.written::<answers::SocketHealth>()),
        ],
        ..get("/ws/health", "socket_health", "operation", "How clients are served, with numbers")
    },
    Route {
        answers: &[json_of(200, "OpenAPI 3.1.", |_| json!({ "type": "object" })), plain(304, "Not changed.")],
        ..get("/openapi.json", "openapi", "operation", "This document")
    },
    Route {
        answers: &[
            json_of(200, "AsyncAPI 3.0.", |_| json!({ "type": "object" })),
            plain(304, "Not changed."),
        ],
        ..get("/asyncapi.json", "asyncapi", "operation", "The frames of the WebSocket")
    },
    Route {
        query: PAGE_OF_THREADS,
        answers: &[json_of(200, "The latest changed first.", |s| s.written::<answers::ThreadPage>())],
        ..get("/api/threads", "list_threads", "threads", "The user's threads")
    },
    Route {
        body: Some(Body::optional(|s| s.read::<threads::NewThread>())),
        answers: &[
            json_of(200, "The thread of that name, which was there and stays as it is.", |s| {
                s.written::<wireproof_protocol::Thread>()
            }),
            json_of(201, "The thread.", |s| s.written::<wireproof_protocol::Thread>()),
        ],
        ..post("/api/threads", "create_thread", "threads", "Begins a thread")
    },
    Route {
        answers: &[json_of(200, "The thread.", |s| s.written::<wireproof_protocol::Thread>())],
        ..get("/api/threads/{id}", "get_thread", "threads", "One thread")
    },
    Route {
        method: "PATCH",
        body: Some(Body::optional(|s| s.read::<threads::Retitled>())),
        answers: &[json_of(200, "The thread.", |s| s.written::<wireproof_protocol::Thread>())],
        ..get("/api/threads/{id}", "update_thread", "threads", "Changes a thread's title or metadata")
    },
    Route {
        method: "DELETE",
        answers: &[plain(204, "Gone.")],
        ..get("/api/threads/{id}", "delete_thread", "threads", "Deletes a thread with its messages")
    },
    Route {
        query: PAGE_OF_MESSAGES,
        answers: &[json_of(200, "The oldest first.", |s| s.written::<answers::MessagePage>())],
        ..get("/api/threads/{id}/messages", "list_messages", "threads", "A thread's messages")
    },
    Route {
        body: Some(Body::required(|s| s.read::<threads::NewMessage>())),
        answers: &[
            json_of(202, "The run was taken.", |s| s.control("accepted")),
            error(409, "The id was used with another body."),
        ],
        ..post("/api/threads/{id}/messages", "send_message", "threads", "Sends a message, which starts a run")
    },
    Route {
        answers: &[json_of(200, "The run.", |s| s.written::<RunRecord>())],
        ..get("/api/runs/{id}", "get_run", "threads", "One run")
    },
    Route {
        answers: &[json_of(200, "It is being ended, or how it ended.", |s| s.control("ack"))],
        ..post("/api/runs/{id}/cancel", "cancel_run", "threads", "Cancels a run")
    },
    Route {
        body: Some(Body::required(|s| s.read::<bodies::Registration>())),
        answers: &[json_of(201, "Registered and logged in.", tokens), error(409, "The name is taken.")],
        ..post("/auth/register", "register", "accounts", "Makes an account, where registration is open")
    },
    Route {
        body: Some(Body::required(|s| s.read::<accounts::Credentials>())),
        answers: &[json_of(200, "Logged in.", tokens), error(401, "The name or the password is wrong.")],
        ..post("/auth/login", "login", "accounts", "Tokens for a name and its password")
    },
    Route {
        body: Some(Body::required(|s| s.read::<accounts::Renewal>())),
        answers: &[json_of(200, "New tokens.", tokens), error(401, "The token is not valid, or was used.")],
        ..post("/auth/refresh", "refresh", "accounts", "New tokens for a refresh token, which ends with it")
    },
    Route {
        body: Some(Body::optional(|s| s.read::<accounts::Leave>())),
        answers: &[plain(204, "Logged out."), error(401, "There is no token, or it is not good.")],
        ..post(
            "/auth/logout",
            "logout",
            "accounts",
            "Ends the login of the refresh token, or of the bearer token",
        )
    },
    Route {
        answers: &[json_of(200, "Who it is.", |s| s.written::<answers::Me>())],
        ..get("/auth/me", "me", "accounts", "Who the token is for")
    },
    Route {
        query: PAGE_OF_ACCOUNTS,
        answers: &[json_of(200, "By name.", |s| s.written::<answers::AccountPage>())],
        ..get("/api/admin/users", "list_accounts", "admin", "The accounts")
    },
    Route {
        body: Some(Body::required(|s| s.read::<admin_accounts::New>())),
        answers: &[json_of(201, "The account.", account), error(409, "The name is taken.")],
        ..post("/api/admin/users", "create_account", "admin", "Makes an account")
    },
    Route {
        answers: &[json_of(200, "The account.", account)],
        ..get("/api/admin/users/{id}", "get_account", "admin", "One account")
    },
    Route {
        method: "PATCH",
        body: Some(Body::optional(|s| s.read::<admin_accounts::AccountChangeBody>())),
        answers: &[json_of(200, "The account.", account)],
        ..get("/api/admin/users/{id}", "change_account", "admin", "Changes an account; less ends its tokens")
    },
    Route {
        query: PAGE_OF_CONNECTIONS,
        answers: &[json_of(200, "The oldest first.", |s| s.written::<answers::ConnectionPage>())],
        ..get("/api/admin/connections", "list_connections", "admin", "Who is connected here")
    },
    Route {
        method: "DELETE",
        answers: &[plain(204, "It is being closed.")],
        ..get("/api/admin/connections/{id}", "end_connection", "admin", "Closes a connection")
    },
    Route {
        answers: &[json_of(200, "How many there were.", |s| s.written::<answers::Disconnected>())],
        ..post("/api/admin/users/{id}/disconnect", "disconnect_user", "admin", "Closes a user's connections")
    },
    Route {
        body: Some(Body::required(|s| s.read::<bodies::Revoke>())),
        answers: &[
            json_of(200, "How many connections it ended.", |s| s.written::<answers::Disconnected>()),
            error(404, "There can be no such user."),
        ],
        ..post("/api/admin/revoke", "revoke", "admin", "Revokes a token, a login or a user's tokens")
    },
    Route {
        body: Some(Body::optional(|s| s.read::<bodies::Drain>())),
        answers: &[json_of(202, "The server is going away.", |s| s.written::<answers::Draining>())],
        ..post("/api/admin/drain", "drain", "admin", "Drains the server and stops it")
    },
    Route {
        answers: &[json_of(202, "The server is restarting.", |s| s.written::<answers::Restarting>())],
        ..post("/api/admin/restart", "restart", "admin", "Starts the server again in its process")
    },
];
