//! Bare axum with `tokio-tungstenite`, no store: what the network and the JSON alone cost in Rust. It checks no token:
//! whoever connects is a new user, and what was said while a connection was away is lost.

#![allow(clippy::print_stdout)] // the first line says where it listens

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
    serve::ListenerExt,
};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded, on};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// `wireproof-bench-axum ADDRESS`: serves until it is killed.
fn main() -> Result<()> {
    let listen = std::env::args().nth(1).context("the address to listen on is missing")?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = tokio::net::TcpListener::bind(listen).await?;
        println!("ready ws://{}/ws", listener.local_addr()?);
        // The other peers' libraries do this by themselves.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, Router::new().route("/ws", get(open))).await.context("cannot serve")
    })
}

/// Answers the handshake; the conversation begins when it is through.
async fn open(mut request: Request) -> Response {
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let accept = derive_accept_key(key.as_bytes());
    // A connection that breaks is nobody's fault.
    tokio::spawn(converse(on(&mut request)));
    let headers = [
        (header::UPGRADE, "websocket"),
        (header::CONNECTION, "Upgrade"),
        (header::SEC_WEBSOCKET_ACCEPT, accept.as_str()),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response()
}

async fn converse(upgrade: OnUpgrade) -> Result<()> {
    let io = TokioIo::new(upgrade.await?);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
    let (user, mut seq) = (format!("user_{}", Uuid::now_v7()), 0);
    let welcome = json!({ "type": "connection_established", "user_id": user, "timestamp": now() });
    send(&mut socket, &welcome).await?;
    while let Some(message) = socket.next().await {
        let Message::Text(text) = message? else { continue };
        let frame: Value = serde_json::from_str(&text)?;
        match frame["type"].as_str() {
            Some("chat") => {
                run(&mut socket, &user, frame["content"].as_str().unwrap_or_default(), seq).await?;
                seq += 5;
            }
            Some("ping") => send(&mut socket, &json!({ "type": "pong", "timestamp": now() })).await?,
            _ => {}
        }
    }
    Ok(())
}

/// The five events of one run, of the fields and sizes that wireproof's have.
async fn run(socket: &mut Socket, user: &str, content: &str, seq: u64) -> Result<()> {
    let (thread, run, call, answer) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let began = Instant::now();
    let ms = || began.elapsed().as_secs_f64() * 1e3;
    let event = |number: u64, kind: &str, body: Value| {
        let mut event = json!({
            "seq": seq + number, "event_id": Uuid::now_v7(), "user_id": user, "thread_id": thread,
            "timestamp": now(), "run_id": run, "run_seq": number, "agent_name": "builtin", "type": kind,
        });
        if let (Value::Object(event), Value::Object(body)) = (&mut event, body) {
            event.extend(body);
        }
        event
    };
    let message = "The builtin agent, which follows fixed rules, is working on your message.";
    send(socket, &event(1, "agent_started", json!({ "message": message }))).await?;
    let expression =
        content.split(' ').find(|word| word.contains('*')).unwrap_or("0*0").trim_end_matches('?');
    let reasoning = format!("My rules read one ask in this message: (1) calculate: {expression}");
    send(socket, &event(2, "agent_thinking", json!({ "reasoning": reasoning, "step_number": 1 }))).await?;
    let (left, right) = expression.split_once('*').unwrap_or_default();
    let product = left.parse::<u64>()? * right.parse::<u64>()?;
    let executing = json!({
        "tool_call_id": call, "tool_name": "calculate", "parameters": { "expression": expression },
    });
    send(socket, &event(3, "tool_executing", executing)).await?;
    let result = json!({ "exact": true, "expression": expression, "result": product.to_string() });
    let completed = json!({
        "tool_call_id": call, "tool_name": "calculate", "result": result, "duration_ms": ms(),
    });
    send(socket, &event(4, "tool_completed", completed)).await?;
    let text = format!("{expression} = {product}.\n(I follow fixed rules; no language model took part.)");
    let usage = json!({ "input_tokens": 0, "output_tokens": 0, "total_tokens": 0 });
    let done = json!({
        "outcome": "success", "message_id": answer, "final_response": text, "usage": usage, "duration_ms": ms(),
    });
    send(socket, &event(5, "agent_completed", done)).await
}

async fn send(socket: &mut Socket, frame: &Value) -> Result<()> {
    Ok(socket.send(Message::text(frame.to_string())).await?)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
