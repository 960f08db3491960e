//! Sends what a recorded client sent, and waits for what it was told. It speaks through a foreign WebSocket library: the
//! client of today knows too much.

use std::collections::{HashMap, VecDeque};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use super::compare::{Ids, is_later, still_says};
use crate::process::WITHIN;

/// Pieces of a text: how many there are is a matter of time. What they come to is in `agent_completed`.
const DELTAS: [&str; 3] = ["message_delta", "thinking_delta", "tool_arguments_delta"];

pub(super) struct Replay {
    url: String,
    token: String,
    ids: Ids,
    connections: HashMap<String, Connection>,
    /// What the log's numbers of then are now, for the events that were compared.
    numbers: HashMap<u64, u64>,
    /// Frames that were compared.
    pub(super) compared: usize,
}

struct Connection {
    socket: WebSocketStream<TcpStream>,
    /// What came and was not asked for yet: events, and what is none. Their order among each other is a matter of time.
    events: VecDeque<Value>,
    controls: VecDeque<Value>,
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of[key].as_str().unwrap_or_default()
}

fn is_event(frame: &Value) -> bool {
    frame.get("event_id").is_some()
}

/// False for the end of another tool: of tools that work at once, the one that is quicker ends first.
fn may_be(then: &Value, now: &Value) -> bool {
    let both_end = [then, now].iter().all(|frame| frame["type"] == "tool_completed");
    !both_end || then["tool_name"] == now["tool_name"]
}

impl Replay {
    pub(super) fn new(url: &str, token: &str) -> Self {
        let (url, token) = (url.to_owned(), token.to_owned());
        Self {
            url,
            token,
            ids: Ids::default(),
            connections: HashMap::new(),
            numbers: HashMap::new(),
            compared: 0,
        }
    }

    /// Does what the op says, or holds what comes against it.
    pub(super) async fn take(&mut self, op: &Value) -> Result<()> {
        let name = text(op, "conn");
        match text(op, "f") {
            "connect" => self.connect(name, None).await,
            // One that is asked for in a frame: it is sent as such.
            "resume" if op["type"] == "invoke" => Ok(()),
            "resume" => {
                let epoch = self.ids.now(text(op, "epoch")).to_owned();
                let then = op["seq"].as_u64().context("a number")?;
                let after = self.numbers.get(&then).copied().unwrap_or(then);
                self.connect(name, Some(format!("epoch={epoch}&after={after}"))).await
            }
            "send" => {
                let said = self.as_now(text(op, "text"));
                let connection = self.connections.get_mut(name).context("it is not open")?;
                Ok(connection.socket.send(Message::text(said)).await?)
            }
            "recv" if DELTAS.contains(&text(op, "ev")) => Ok(()),
            "recv" => {
                let then: Value = serde_json::from_str(text(op, "text"))?;
                let connection = self.connections.get_mut(name).context("it is not open")?;
                let now = connection.next(&then).await?;
                still_says(&then, &now, &mut self.ids).with_context(|| format!("now: {now}"))?;
                if is_event(&then) {
                    self.numbers.extend(then["seq"].as_u64().zip(now["seq"].as_u64()));
                }
                self.compared += 1;
                Ok(())
            }
            "close" => {
                self.connections.remove(name);
                Ok(())
            }
            other => bail!("an op of a kind that no client writes: {other}"),
        }
    }

    async fn connect(&mut self, name: &str, query: Option<String>) -> Result<()> {
        let address = match query {
            Some(query) => format!("{}?{query}", self.url),
            None => self.url.clone(),
        };
        let mut request = address.into_client_request()?;
        let host = request.uri().authority().context("a host")?.as_str().to_owned();
        request.headers_mut().insert("authorization", format!("Bearer {}", self.token).parse()?);
        let (socket, _) = timeout(WITHIN, client_async(request, TcpStream::connect(host).await?)).await??;
        let connection = Connection { socket, events: VecDeque::new(), controls: VecDeque::new() };
        self.connections.insert(name.to_owned(), connection);
        Ok(())
    }

    /// What was sent then, with the ids and numbers of now.
    fn as_now(&self, said: &str) -> String {
        let said = self.ids.replace(said).replace("GOOD-TOKEN", &self.token);
        let Ok(mut frame) = serde_json::from_str::<Value>(&said) else { return said };
        let after = frame["after"].as_u64().and_then(|then| self.numbers.get(&then));
        if let Some(after) = after.copied() {
            frame["after"] = after.into();
        }
        frame.to_string()
    }
}

impl Connection {
    /// The next frame of this one's kind, event or not, that a client of then would look at.
    async fn next(&mut self, then: &Value) -> Result<Value> {
        loop {
            let queue = if is_event(then) { &mut self.events } else { &mut self.controls };
            // A client passes over what it does not know.
            queue.retain(|frame| !is_later(frame));
            if let Some(place) = queue.iter().position(|frame| may_be(then, frame)) {
                return queue.remove(place).context("a frame");
            }
            let message = timeout(WITHIN, self.socket.next()).await.context("nothing came in time")?;
            let Message::Text(text) = message.context("the connection is over")?? else { continue };
            let frame: Value = serde_json::from_str(&text)?;
            if DELTAS.contains(&self::text(&frame, "type")) {
                continue;
            }
            if is_event(&frame) { self.events.push_back(frame) } else { self.controls.push_back(frame) }
        }
    }
}
