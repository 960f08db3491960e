//! What a proxy is told: which fault, in which direction, to whom, and from when on. The same shapes are the JSON of the
//! control API.

use serde::{Deserialize, Serialize};

use super::fault::{Cut, Fault};

/// The way that bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// Which connections are meant. They are numbered from 1 in the order in which the proxy accepts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Connections {
    /// All that are open and all to come.
    #[default]
    All,
    /// The one that is accepted next; `add` turns it into its number.
    Next,
    /// This one.
    Number(u64),
    /// From the first to the last, both included.
    Range {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
}

impl Connections {
    /// True when the connection of this number is meant.
    pub fn include(self, number: u64) -> bool {
        match self {
            Connections::All => true,
            Connections::Next => false,
            Connections::Number(only) => only == number,
            Connections::Range { first, last } => (first..=last).contains(&number),
        }
    }
}

/// From when on a fault acts. Bytes and messages are counted per connection and direction, from its first byte; a
/// message is a whole text or binary message, its fragments together, and the first one is number 1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// At once, or with the connection's first byte.
    #[default]
    Now,
    /// So many milliseconds after the toxic came into force for the connection.
    AfterMs(u64),
    /// Once exactly so many bytes have been passed on.
    AfterBytes(u64),
    /// Right before the n-th message; a fault of messages hits that one.
    AtMessage(u64),
    /// Right behind the n-th message.
    AfterMessage(u64),
    /// Right before a message whose payload has this text in it, such as `"type":"agent_completed"`; a fault of messages
    /// hits that one.
    AtText(String),
    /// Right behind a message whose payload has this text in it.
    AfterText(String),
}

impl Trigger {
    /// True when it is told by messages, so that the frames of a WebSocket have to be followed.
    pub(crate) fn is_of_messages(&self) -> bool {
        use Trigger::{AfterMessage, AfterText, AtMessage, AtText};
        matches!(self, AtMessage(_) | AfterMessage(_) | AtText(_) | AfterText(_))
    }
}

/// One fault with its where and when. In JSON only `fault` is required.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toxic {
    /// What is done.
    pub fault: Fault,
    /// In which direction; in both when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// To which connections.
    #[serde(default)]
    pub connections: Connections,
    /// To which share of them, chosen by the proxy's seed.
    #[serde(default = "all")]
    pub share: f64,
    /// From when on.
    #[serde(default)]
    pub when: Trigger,
    /// How many messages of a connection and direction are hit. Absent: one when `when` names a message by number or
    /// text, otherwise all. Faults of bytes act once, or on and on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

fn all() -> f64 {
    1.0
}

impl Toxic {
    /// The fault in both directions of all connections, from the first byte on.
    pub fn new(fault: Fault) -> Self {
        let (connections, when) = (Connections::All, Trigger::Now);
        Self { fault, direction: None, connections, share: 1.0, when, times: None }
    }

    /// The fault on the way to the server.
    pub fn to_server(fault: Fault) -> Self {
        Self { direction: Some(Direction::ToServer), ..Self::new(fault) }
    }

    /// The fault on the way to the client.
    pub fn to_client(fault: Fault) -> Self {
        Self { direction: Some(Direction::ToClient), ..Self::new(fault) }
    }

    /// Only for these connections.
    pub fn on(mut self, connections: Connections) -> Self {
        self.connections = connections;
        self
    }

    /// Only for the connection that is accepted next.
    pub fn on_next(self) -> Self {
        self.on(Connections::Next)
    }

    /// Only for this share of the connections, chosen by the proxy's seed.
    pub fn share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// From then on.
    pub fn when(mut self, when: Trigger) -> Self {
        self.when = when;
        self
    }

    /// Only so many messages of a connection and direction.
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// How many times it acts on a direction of a connection.
    pub(crate) fn most(&self) -> u64 {
        let once = self.when.is_of_messages() || self.fault.is_between_messages();
        self.times.unwrap_or(if once || !self.fault.is_of_messages() { 1 } else { u64::MAX })
    }

    /// All times in it.
    fn times_ms(&self) -> [u64; 3] {
        let (one, other) = match self.fault {
            Fault::Latency { ms, jitter_ms } => (ms, jitter_ms),
            Fault::Slice { pause_ms, .. } => (pause_ms, 0),
            Fault::Coalesce { within_ms, .. } => (within_ms, 0),
            Fault::Stall { for_ms } | Fault::BlackHole { for_ms, .. } => (for_ms.unwrap_or_default(), 0),
            Fault::DelayMessage { ms } => (ms, 0),
            _ => (0, 0),
        };
        let after = if let Trigger::AfterMs(ms) = self.when { ms } else { 0 };
        [one, other, after]
    }

    /// Why it makes no sense, if it does not.
    pub fn check(&self) -> Result<(), Invalid> {
        let wrong = |field, why| Err(Invalid { field, why });
        match &self.fault {
            Fault::Bandwidth { bytes_per_second: 0 } => {
                return wrong(
                    "fault.bandwidth.bytes_per_second",
                    "must be 1 or more; for none at all use stall",
                );
            }
            Fault::Slice { bytes: 0, .. } => return wrong("fault.slice.bytes", "must be 1 or more"),
            Fault::Coalesce { bytes, .. } if !(1..=MOST_COALESCED).contains(bytes) => {
                return wrong("fault.coalesce.bytes", "must be between 1 and 1048576");
            }
            Fault::Fragment { frames } if !(1..=MOST_FRAMES).contains(frames) => {
                return wrong("fault.fragment.frames", "must be between 1 and 4096");
            }
            Fault::Pings { count } | Fault::Pongs { count } if !(1..=MOST_PINGS).contains(count) => {
                return wrong("fault.count", "must be between 1 and 100000");
            }
            Fault::Replace { find, with }
                if find.is_empty() || find.len().max(with.len()) > MOST_REPLACED =>
            {
                return wrong(
                    "fault.replace",
                    "both texts must be at most 65536 bytes, and `find` not empty",
                );
            }
            Fault::AcceptThenClose(_) if self.when != Trigger::Now => {
                return wrong("when", "accept_then_close acts before there are bytes: leave it out");
            }
            Fault::AcceptThenClose(Cut::BlackHole) => {
                return wrong("fault.accept_then_close", "must be reset or fin");
            }
            Fault::CutInHeader(Cut::BlackHole) | Fault::CutInCharacter(Cut::BlackHole) => {
                return wrong("fault", "a cut inside a message must be reset or fin");
            }
            _ => {}
        }
        if self.times_ms().into_iter().any(|ms| ms > LONGEST_MS) {
            return wrong("fault", "a time must be a day (86400000 ms) or less");
        }
        if !(0.0..=1.0).contains(&self.share) {
            return wrong("share", "must be between 0 and 1");
        }
        if self.times == Some(0) {
            return wrong("times", "must be 1 or more");
        }
        match (&self.when, self.connections) {
            (Trigger::AtMessage(0) | Trigger::AfterMessage(0), _) => {
                wrong("when", "messages are counted from 1")
            }
            (Trigger::AtText(text) | Trigger::AfterText(text), _) if text.is_empty() => {
                wrong("when", "an empty text is in every message")
            }
            (_, Connections::Range { first, last }) if first > last => {
                wrong("connections.range", "the last must not be before the first")
            }
            _ => Ok(()),
        }
    }
}

/// The longest time of a fault.
const LONGEST_MS: u64 = 24 * 60 * 60 * 1000;
const MOST_COALESCED: usize = 1 << 20;
const MOST_FRAMES: usize = 4096;
const MOST_REPLACED: usize = 64 << 10;
const MOST_PINGS: u32 = 100_000;

/// A toxic that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Invalid {
    /// The field that is wrong.
    pub field: &'static str,
    /// What it must be.
    pub why: &'static str,
}
