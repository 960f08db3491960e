//! The faults: what can be done to the bytes and the messages of a connection.

use serde::{Deserialize, Serialize};

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

impl Cut {
    /// Its name, as in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Cut::Reset => "reset",
            Cut::Fin => "fin",
            Cut::BlackHole => "black_hole",
        }
    }

    /// What an order to cut is written down as.
    pub(crate) fn ordered(self) -> &'static str {
        match self {
            Cut::Reset => "ordered_reset",
            Cut::Fin => "ordered_fin",
            Cut::BlackHole => "ordered_black_hole",
        }
    }
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

/// What is done. Those of the first part need no WebSocket. Those of the second follow the frames of an unencrypted one
/// and leave other connections alone. `Drop`, `Double`, `Swap` and `Replace` change what was said, which no network does: they
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
    /// Says something else in place of a text, wherever a message holds it; messages without it are not hit. Altered:
    /// never judges a server.
    Replace {
        /// The text.
        find: String,
        /// What is said in its place.
        with: String,
    },
}

impl Fault {
    /// True when it works on messages.
    pub fn is_of_messages(&self) -> bool {
        use Fault::{
            CloseWithoutCode, CutInCharacter, CutInHeader, DelayMessage, Double, Drop, Fragment, Pings,
            Pongs, Replace, Swap,
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
                | Replace { .. }
        )
    }

    /// True when it puts something between messages and touches none.
    pub(crate) fn is_between_messages(&self) -> bool {
        matches!(self, Fault::Pings { .. } | Fault::Pongs { .. } | Fault::CloseWithoutCode)
    }

    /// True when it changes what was said, so that nothing that follows may be held against a server.
    pub fn alters(&self) -> bool {
        matches!(self, Fault::Drop | Fault::Double | Fault::Swap | Fault::Replace { .. })
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
            Fault::Replace { .. } => "replace",
        }
    }
}
