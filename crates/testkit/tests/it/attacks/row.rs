//! A row of the table: what is tried, and the one answer that it may get.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use http::Method;
use serde_json::{Value, json};

use super::site::Site;
use crate::wire::{FIN, TEXT, Wire, handshake, masked};

/// What an attacker saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saw {
    /// An HTTP answer: its status, and its error code.
    Http(u16, String),
    /// A WebSocket whose first frame was an error, and that was closed then.
    Closed(String, u16),
    /// An error on a WebSocket that stays open.
    Refused(String),
    /// The connection ended without any answer.
    Cut,
    /// Anything else: the attacker got in, or got something.
    In(String),
}

/// One try of an attack: by which way, what may be seen, and what was.
#[derive(Debug)]
pub struct Try {
    pub way: String,
    pub wanted: Saw,
    pub saw: Saw,
}

type Act = Arc<dyn Fn(Arc<Site>) -> BoxFuture<'static, Vec<Try>> + Send + Sync>;

/// One attack.
pub struct Row {
    pub name: &'static str,
    pub act: Act,
}

fn row<F>(name: &'static str, act: impl Fn(Arc<Site>) -> F + Send + Sync + 'static) -> Row
where
    F: Future<Output = Vec<Try>> + Send + 'static,
{
    Row { name, act: Arc::new(move |site| act(site).boxed()) }
}

/// A token that must not count, by every way that a token can go.
pub fn token(name: &'static str, code: &'static str, make: fn(&Site) -> String) -> Row {
    row(name, move |site| async move {
        let token = make(&site);
        let closed = Saw::Closed(code.to_owned(), 1008);
        let mut tries = Vec::new();
        for way in WAYS {
            let saw = by_way(&site, way, &token).await;
            tries.push(Try { way: way.to_owned(), wanted: closed.clone(), saw });
        }
        let reply = site.server.rest().token(&token).get("/api/threads").await;
        let saw = Saw::http(reply.status, reply.error_code(), &reply.body);
        tries.push(Try { way: "REST".to_owned(), wanted: Saw::Http(401, code.to_owned()), saw });
        tries
    })
}

/// The ways of a token into a WebSocket.
pub const WAYS: [&str; 3] = ["header", "subprotocol", "first frame"];

/// Shows a token by one of the ways.
pub async fn by_way(site: &Site, way: &str, token: &str) -> Saw {
    let frame = json!({ "type": "authenticate", "token": token }).to_string();
    match way {
        "header" => socket(site, "/ws", &[format!("Authorization: Bearer {token}")], &[]).await,
        "subprotocol" => {
            socket(site, "/ws", &[format!("Sec-WebSocket-Protocol: wireproof.v1, jwt.{token}")], &[]).await
        }
        _ => socket(site, "/ws", &[], &[frame]).await,
    }
}

/// A WebSocket whose head is not to be let in, whatever its lines say. A chat follows at once, as one who got in would.
pub fn head(name: &'static str, wanted: Saw, make: fn(&Site) -> (String, Vec<String>)) -> Row {
    row(name, move |site| {
        let wanted = wanted.clone();
        async move {
            let (path, lines) = make(&site);
            let chat = json!({ "type": "chat", "content": "What is 2+2?" }).to_string();
            let saw = socket(&site, &path, &lines, &[chat]).await;
            vec![Try { way: path, wanted, saw }]
        }
    })
}

/// A frame of the attacker on an open connection of the attacker's own.
pub fn asks(name: &'static str, code: &'static str, make: fn(&Site) -> Value) -> Row {
    row(name, move |site| async move {
        let client = site.attacker.connect().await;
        let answer = client.ask(make(&site)).await;
        let saw = match answer.kind() {
            "error" => Saw::Refused(answer.text_of("error_code").to_owned()),
            _ => Saw::In(answer.text.to_string()),
        };
        // Refused means refused, not thrown out: the connection goes on.
        client.barrier().await;
        vec![Try { way: "frame".to_owned(), wanted: Saw::Refused(code.to_owned()), saw }]
    })
}

/// A request of the attacker with the attacker's own token.
pub fn requests(
    name: &'static str,
    wanted: (u16, &'static str),
    make: fn(&Site) -> (Method, String, String),
) -> Row {
    row(name, move |site| async move {
        let (method, path, body) = make(&site);
        let way = format!("{method}");
        let reply = site.attacker.send(method, &path, &body).await;
        let saw = Saw::http(reply.status, reply.error_code(), &reply.body);
        vec![Try { way, wanted: Saw::Http(wanted.0, wanted.1.to_owned()), saw }]
    })
}

/// Anything that takes more than one step.
pub fn steps<F>(
    name: &'static str,
    wanted: Saw,
    act: impl Fn(Arc<Site>) -> F + Send + Sync + Clone + 'static,
) -> Row
where
    F: Future<Output = Vec<Saw>> + Send + 'static,
{
    row(name, move |site| {
        let (act, wanted) = (act.clone(), wanted.clone());
        async move {
            let seen = act(site).await;
            assert!(!seen.is_empty(), "{name}: nothing was tried");
            seen.into_iter().map(|saw| Try { way: "steps".to_owned(), wanted: wanted.clone(), saw }).collect()
        }
    })
}

impl Saw {
    pub fn http(status: u16, code: &str, body: &str) -> Self {
        if status < 400 { Self::In(body.to_owned()) } else { Self::Http(status, code.to_owned()) }
    }
}

pub fn http(status: u16, code: &str) -> Saw {
    Saw::Http(status, code.to_owned())
}

pub fn closed(code: &str, close: u16) -> Saw {
    Saw::Closed(code.to_owned(), close)
}

pub fn refused(code: &str) -> Saw {
    Saw::Refused(code.to_owned())
}

/// Opens a WebSocket with these lines and sends these frames in the segment behind the head; what comes of it.
pub async fn socket(site: &Site, path: &str, lines: &[String], frames: &[String]) -> Saw {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut bytes = handshake(path, &lines).into_bytes();
    for frame in frames {
        bytes.extend(masked(FIN | TEXT, frame.as_bytes()));
    }
    raw(site, &bytes).await
}

/// Sends bytes to the front door; what comes of it.
pub async fn raw(site: &Site, bytes: &[u8]) -> Saw {
    let mut wire = Wire::dial(site.server.address()).await;
    wire.write(bytes).await;
    answer(&mut wire).await
}

/// What a server says to who sent a head, and perhaps frames.
pub async fn answer(wire: &mut Wire) -> Saw {
    let Some(head) = wire.head_or_end().await else { return Saw::Cut };
    if head.status != 101 {
        let body = wire.body(&head).await;
        let json: Value = serde_json::from_str(&body).unwrap_or_default();
        return Saw::http(head.status, json["error_code"].as_str().unwrap_or_default(), &body);
    }
    let Some(frame) = wire.frame().await else { return Saw::Cut };
    let json: Value = serde_json::from_slice(&frame.payload).unwrap_or_default();
    if json["type"] != "error" {
        return Saw::In(frame.text());
    }
    match wire.close_code().await {
        Some(code) => Saw::Closed(json["error_code"].as_str().unwrap_or_default().to_owned(), code),
        None => Saw::In("an error without a close".to_owned()),
    }
}
