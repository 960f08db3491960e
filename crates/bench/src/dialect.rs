//! How servers are spoken to: JSON frames with a `type`, or the packets that Socket.IO puts around named events.

use crate::wire::{contains, number, text};

/// What a server speaks over its WebSocket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// A frame is an object whose `type` says what it is.
    Plain,
    /// Engine.IO 4 over WebSocket alone: an event is `42["name",{…}]`, and a server's `2` wants a `3`.
    SocketIo,
}

/// Where a client stopped: what it shows to go on from there. Empty with a server that knows no such thing.
#[derive(Clone, Default)]
pub struct Position {
    /// The log's `epoch`, or the `pid` of a session of Socket.IO.
    line: String,
    /// The `seq` of the last event, or the offset that Socket.IO puts behind it.
    last: String,
}

impl Position {
    /// True when nothing was noted yet that came after the beginning of the line.
    pub fn is_open(&self) -> bool {
        self.last.is_empty()
    }
}

impl Dialect {
    /// What is behind the host in the address.
    pub fn path(self, position: &Position) -> String {
        let Position { line, last } = position;
        match self {
            Dialect::Plain if line.is_empty() => "/ws".to_owned(),
            Dialect::Plain => format!("/ws?epoch={line}&after={last}"),
            Dialect::SocketIo => "/socket.io/?EIO=4&transport=websocket".to_owned(),
        }
    }

    /// The packet that joins Socket.IO's namespace; in the plain dialect nothing is sent before the welcome.
    pub fn join(self, position: &Position) -> Option<String> {
        let Position { line, last } = position;
        match self {
            Dialect::Plain => None,
            Dialect::SocketIo if line.is_empty() => Some("40".to_owned()),
            Dialect::SocketIo => Some(format!(r#"40{{"pid":"{line}","offset":"{last}"}}"#)),
        }
    }

    /// A frame of one field, whose value needs no escapes.
    pub fn frame(self, kind: &str, field: &str, value: &str) -> String {
        match self {
            Dialect::Plain => format!(r#"{{"type":"{kind}","{field}":"{value}"}}"#),
            Dialect::SocketIo => format!(r#"42["{kind}",{{"{field}":"{value}"}}]"#),
        }
    }

    /// The run of five events that is asked for everywhere.
    pub fn ask(self) -> String {
        self.frame("chat", "content", "What is 17*23?")
    }

    /// The same with an id, by which a server that knows such ids keeps a question single that is asked again.
    pub fn ask_as(self, id: &str) -> String {
        match self {
            Dialect::Plain => format!(r#"{{"type":"chat","content":"What is 17*23?","id":"{id}"}}"#),
            Dialect::SocketIo => self.ask(),
        }
    }

    /// Takes what a frame says of the position: the first ones name the line, each event its place on it.
    pub fn note(self, frame: &[u8], position: &mut Position) {
        match self {
            Dialect::Plain => {
                if contains(frame, b"\"connection_established\"") {
                    position.line = text(frame, "epoch").unwrap_or_default();
                } else if !frame.starts_with(b"{\"seq\":") {
                    // Control frames have a `seq` as well, and it is not where the reader is.
                    return;
                }
                if let Some(seq) = number(frame, "seq") {
                    position.last = (seq as u64).to_string();
                }
            }
            Dialect::SocketIo if frame.starts_with(b"40") => {
                let session = text(frame, "pid").unwrap_or_default();
                if session != position.line {
                    *position = Position { line: session, last: String::new() };
                }
            }
            Dialect::SocketIo => {
                // `42["name",{…},"offset"]`
                let offset =
                    frame.strip_suffix(b"\"]").and_then(|rest| rest.rsplit(|byte| *byte == b'"').next());
                position.last =
                    offset.map(|offset| String::from_utf8_lossy(offset).into_owned()).unwrap_or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_of_the_plain_dialect_is_an_epoch_and_a_seq() {
        let (dialect, mut position) = (Dialect::Plain, Position::default());
        assert_eq!(dialect.path(&position), "/ws");
        dialect.note(br#"{"type":"connection_established","epoch":"81ee","seq":4}"#, &mut position);
        dialect.note(br#"{"seq":5,"event_id":"x","type":"agent_started"}"#, &mut position);
        dialect.note(br#"{"type":"accepted","run_id":"r","seq":2}"#, &mut position);
        assert_eq!(dialect.path(&position), "/ws?epoch=81ee&after=5");
        assert_eq!(dialect.join(&position), None);
    }

    #[test]
    fn a_server_without_an_epoch_is_shown_no_position() {
        let (dialect, mut position) = (Dialect::Plain, Position::default());
        dialect.note(br#"{"type":"connection_established","user_id":"u"}"#, &mut position);
        dialect.note(br#"{"seq":5,"type":"agent_started"}"#, &mut position);
        assert_eq!(dialect.path(&position), "/ws");
    }

    #[test]
    fn a_position_of_socket_io_is_a_session_and_an_offset() {
        let (dialect, mut position) = (Dialect::SocketIo, Position::default());
        assert_eq!(dialect.join(&position).as_deref(), Some("40"));
        dialect.note(br#"40{"sid":"a","pid":"b"}"#, &mut position);
        dialect.note(br#"42["agent_started",{"message":"x"},"o-1"]"#, &mut position);
        assert_eq!(dialect.join(&position).as_deref(), Some(r#"40{"pid":"b","offset":"o-1"}"#));
        assert_eq!(dialect.frame("chat", "content", "hi"), r#"42["chat",{"content":"hi"}]"#);
    }
}
