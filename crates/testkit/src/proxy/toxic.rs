//! What a proxy is told to do to a connection: which fault, in which direction, to whom, and from when on. The same
//! shapes are the JSON of the control API.

use serde::{Deserialize, Serialize};

/// The way that bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// How a connection is ended or silenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// Both legs get a reset (RST); what no peer has taken yet is lost.
    Reset,
    /// Both legs are closed (FIN) behind what was passed on.
    Fin,
    /// Nothing goes through any more and both sockets stay open, until the connection is cut otherwise or the proxy
    /// ends.
    BlackHole,
}

/// What follows a black hole that ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Afterwards {
    /// What was held goes through, as TCP would send it again.
    #[default]
    GoOn,
    /// A reset.
    Reset,
    /// A close.
    Fin,
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

/// What is done. Those of the first part need no WebSocket. Those of the second follow the frames of an unencrypted one
/// and leave other connections alone. `Drop`, `Double` and `Swap` change what was said, which no network does: they
/// show that clients and checkers notice, and never say anything about a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Everything arrives later, by a time between `ms` and `ms + jitter_ms`; the order stays.
    Latency {
        /// The least delay.
        ms: u64,
        /// What may come on top.
        #[serde(default)]
        jitter_ms: u64,
    },
    /// No more bytes a second than this.
    Bandwidth {
        /// Bytes a second.
        bytes_per_second: u64,
    },
    /// Writes of so many bytes, each a packet of its own.
    Slice {
        /// Bytes a write.
        bytes: usize,
        /// Pause between two writes; a timer has a millisecond at the finest.
        #[serde(default)]
        pause_ms: u64,
    },
    /// Holds bytes until there are so many, or the first has waited so long, and sends them at once.
    Coalesce {
        /// Bytes to collect, at most 1 MiB.
        bytes: usize,
        /// Longest wait of a byte.
        within_ms: u64,
    },
    /// Half-open: stops reading in this direction; the other one goes on. Without a time until the toxic is removed.
    Stall {
        /// How long.
        #[serde(default)]
        for_ms: Option<u64>,
    },
    /// Ends the connection, or silences it for good.
    Cut(Cut),
    /// Silence in both directions with both sockets open, for a time or until the toxic is removed.
    BlackHole {
        /// How long.
        #[serde(default)]
        for_ms: Option<u64>,
        /// What follows.
        #[serde(default)]
        then: Afterwards,
    },
    /// Accepts a connection and ends it at once; the server never hears of it. Takes no trigger.
    AcceptThenClose(Cut),

    /// Ends the connection inside the header of the chosen message's first frame.
    CutInHeader(Cut),
    /// Ends the connection inside a character of more than one byte, in the first message from the chosen one on that
    /// has such a character.
    CutInCharacter(Cut),
    /// Sends a message in so many frames, cut anywhere: an honest change, which every peer must bear.
    Fragment {
        /// Frames a message.
        frames: usize,
    },
    /// Sends pings to the receiver of this direction; its answers to them are swallowed.
    Pings {
        /// How many.
        count: u32,
    },
    /// Sends pongs that nobody asked for to the receiver of this direction, who must ignore them.
    Pongs {
        /// How many.
        count: u32,
    },
    /// Holds a message, and what is behind it, for a time.
    DelayMessage {
        /// How long.
        ms: u64,
    },
    /// Sends a close frame without a code to the receiver of this direction, and nothing after it.
    CloseWithoutCode,
    /// Leaves a message out. Altered: never judges a server.
    Drop,
    /// Sends a message twice. Altered: never judges a server.
    Double,
    /// Holds a message until the one behind it has passed. Altered: never judges a server.
    Swap,
}

impl Fault {
    /// True when it works on messages.
    pub fn is_of_messages(&self) -> bool {
        use Fault::{
            CloseWithoutCode, CutInCharacter, CutInHeader, DelayMessage, Double, Drop, Fragment, Pings,
            Pongs, Swap,
        };
        matches!(
            self,
            CutInHeader(_)
                | CutInCharacter(_)
                | Fragment { .. }
                | Pings { .. }
                | Pongs { .. }
                | DelayMessage { .. }
                | CloseWithoutCode
                | Drop
                | Double
                | Swap
        )
    }

    /// True when it puts something between messages and touches none.
    pub(crate) fn is_between_messages(&self) -> bool {
        matches!(self, Fault::Pings { .. } | Fault::Pongs { .. } | Fault::CloseWithoutCode)
    }

    /// True when it changes what was said, so that nothing that follows may be held against a server.
    pub fn alters(&self) -> bool {
        matches!(self, Fault::Drop | Fault::Double | Fault::Swap)
    }

    /// Its name, as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Fault::Latency { .. } => "latency",
            Fault::Bandwidth { .. } => "bandwidth",
            Fault::Slice { .. } => "slice",
            Fault::Coalesce { .. } => "coalesce",
            Fault::Stall { .. } => "stall",
            Fault::Cut(_) => "cut",
            Fault::BlackHole { .. } => "black_hole",
            Fault::AcceptThenClose(_) => "accept_then_close",
            Fault::CutInHeader(_) => "cut_in_header",
            Fault::CutInCharacter(_) => "cut_in_character",
            Fault::Fragment { .. } => "fragment",
            Fault::Pings { .. } => "pings",
            Fault::Pongs { .. } => "pongs",
            Fault::DelayMessage { .. } => "delay_message",
            Fault::CloseWithoutCode => "close_without_code",
            Fault::Drop => "drop",
            Fault::Double => "double",
            Fault::Swap => "swap",
        }
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

const MOST_COALESCED: usize = 1 << 20;
const MOST_FRAMES: usize = 4096;
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
