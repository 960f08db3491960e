//! Mutations: faults of a server that the proxy makes in its place, on the way between it and its clients. They name
//! the roles that a profile gives to a server's messages, never a field, so they work in front of any server.

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod answers;
mod conversation;
mod events;
mod frame;
mod frames;
mod handshake;
mod head;
mod kind;
mod message;
mod relay;
mod requests;
mod roles;
mod tokens;
mod world;

pub use kind::Kind;
pub use roles::{Address, Part, Query, Role, Roles, Shape};
pub use tokens::TokenKey;

pub use conversation::{Setup, Tls};

pub(crate) use conversation::Conversation;
pub(crate) use relay::{MAIL, relay};
pub(crate) use world::World;

/// Which messages a mutation hits: those of a part for which all other conditions hold, too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pick {
    /// What the message is.
    pub part: Part,
    /// One in so many; the seed picks where to begin.
    #[serde(default = "one")]
    pub every: u64,
    /// Only the n-th of its part in its run, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nth: Option<u64>,
    /// At most so many on a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// Only one that comes right behind a message of this part from the same peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<Part>,
    /// On which connections.
    #[serde(default)]
    pub on: On,
}

fn one() -> u64 {
    1
}

impl Pick {
    /// Every message of a part.
    pub fn every(part: impl Into<Part>) -> Self {
        Self { part: part.into(), every: 1, nth: None, times: None, behind: None, on: On::All }
    }

    /// One message of a part in so many.
    pub fn one_in(part: impl Into<Part>, every: u64) -> Self {
        Self { every, ..Self::every(part) }
    }

    /// The n-th message of a part in its run, from 1.
    pub fn nth(part: impl Into<Part>, nth: u64) -> Self {
        Self { nth: Some(nth), ..Self::every(part) }
    }

    /// Only on these connections.
    pub fn on(mut self, on: On) -> Self {
        self.on = on;
        self
    }

    /// At most so many on a connection.
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Only right behind a message of this part.
    pub fn behind(mut self, part: impl Into<Part>) -> Self {
        self.behind = Some(part.into());
        self
    }
}

/// On which connections a mutation acts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// On all.
    #[default]
    All,
    /// On those of a user that were opened while another one of the user's was open.
    Later,
    /// On those that began at a position.
    Resumed,
}

/// What is put in the place of a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Put {
    /// This.
    Value(Value),
    /// What stood there with this text behind it.
    Append(String),
    /// What the message before had in this role, on the same connection.
    Previous,
    /// The latest value of this role on the same connection that is another one.
    Other,
    /// What the beginning of the same run had in this role.
    OfStart,
    /// The first value of this role that the proxy saw on any connection.
    Shared,
    /// What stood there, and behind it what another user asked last.
    AskedElsewhere,
}

/// What a server does wrong below its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameMutation {
    /// Takes a client's frame without a mask.
    AcceptUnmasked,
    /// Takes a frame with reserved bits or a reserved opcode.
    AcceptReserved,
    /// Takes a control frame that is too long or in fragments.
    AcceptLongControl,
    /// Takes a continuation of nothing, and a message inside another.
    AcceptContinuation,
    /// Takes text that is not UTF-8.
    AcceptAnyText,
    /// Takes a close with a code or a reason that may not be sent for a good one.
    AcceptAnyClose,
    /// Closes the connection over a message in fragments with a control frame between.
    RefuseFragments,
    /// Closes the connection over a character in two fragments.
    RefuseSplitText,
    /// Sends pongs without the bytes of their pings.
    EmptyPong,
    /// Does not answer a close, and does not hang up.
    LoseClose,
    /// Masks its own frames.
    MaskServer,
    /// Sends on after its close.
    SpeakAfterClose,
}

/// What a server takes that it must refuse; with the key, the proxy shows the server a good token in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// A connection without credentials.
    Missing,
    /// A request over HTTP without credentials.
    MissingOverHttp,
    /// A token that another key signed.
    Signature,
    /// A token that says it needs no signature.
    Unsigned,
    /// A token that has expired.
    Expired,
    /// A token without an end.
    Endless,
    /// A token that is not good yet.
    Early,
    /// A token for another audience, or for none.
    Audience,
    /// A token of another issuer, or of none.
    Issuer,
    /// A token of nobody.
    Nobody,
    /// Capitals in a user's name for small letters.
    Capitals,
    /// Every token for one user's.
    OneUser,
    /// A connection that outlives its token.
    Lasting,
    /// A renewal, and ends the connection with its first token all the same.
    FirstOnly,
    /// A renewal with another user's token, and gives the connection to that user.
    Foreign,
    /// What a token's claims do not allow.
    Permissions,
    /// Everybody for an administrator.
    Admin,
    /// A header of a test for credentials.
    TestHeader,
    /// A token in the address.
    Query,
    /// A ticket that was used before.
    SpentTicket,
    /// The user that a message names for its sender.
    NamedUser,
    /// A page of any site.
    Origin,
    /// A handshake of any version of WebSocket.
    Version,
    /// A position of another epoch for one of this.
    Epoch,
    /// A position ahead of the log.
    Ahead,
}

/// One thing that a server does wrong. In JSON it is `{"lose":{"part":"delta"}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Mutation {
    /// Leaves a message out.
    Lose(Pick),
    /// Sends a message twice.
    Double(Pick),
    /// Keeps messages and sends them all right behind the next one of another part.
    Hold {
        /// Which.
        pick: Pick,
        /// What it waits for.
        behind: Part,
    },
    /// Keeps messages and sends them all right before the next one of another part.
    Gather {
        /// Which.
        pick: Pick,
        /// What they wait for.
        before: Part,
    },
    /// Sends a message, and all behind it, later.
    Delay {
        /// Which.
        pick: Pick,
        /// Milliseconds.
        ms: u64,
    },
    /// Leaves a value out of a message.
    Remove {
        /// Which value.
        role: Role,
        /// Of which messages.
        pick: Pick,
    },
    /// Says something else in the place of a value.
    Replace {
        /// Which value.
        role: Role,
        /// What it says.
        with: Put,
        /// In which messages.
        pick: Pick,
    },
    /// Sends a message of no known type before another.
    Stray(Pick),
    /// Sends the latest event of another user behind a message.
    Foreign(Pick),
    /// Sends a message to a connection of another user as well.
    Misaddress(Pick),
    /// Closes the connection behind a message.
    Close(Pick),
    /// Does not do what a message asks, and says that it did.
    Acknowledge(Pick),
    /// Takes letters outside ASCII for question marks.
    Mangle(Pick),
    /// Cuts long texts off.
    Shorten {
        /// In which messages.
        pick: Pick,
        /// Bytes that are left.
        bytes: usize,
    },
    /// Carries a request out again that comes again.
    Repeat,
    /// Never begins a run that was asked for while another one was not over.
    Starve,
    /// Does not keep a value that it told: replies lack it later.
    Forget(Role),
    /// Keeps the place of a connection that its client broke off.
    KeepPlace,
    /// Cancels the runs that a connection asked for when it ends.
    CancelOnEnd,
    /// Goes on so many events before the position that is asked for.
    Rewind(u64),
    /// Answers over HTTP at an address with this status.
    Status {
        /// Where.
        at: Address,
        /// The status.
        status: u16,
    },
    /// Asks for credentials at an address.
    Challenge(Address),
    /// Does not serve an address.
    Hide(Address),
    /// Names the users who are connected at an address.
    TellUsers(Address),
    /// Counts no connections at an address.
    TellNone(Address),
    /// Repeats the token in a refusal.
    EchoToken,
    /// Answers a handshake with a wrong proof.
    WrongAccept,
    /// Selects a subprotocol that nobody offered.
    ForeignSubprotocol,
    /// Does not find a token among the subprotocols.
    IgnoreSubprotocolToken,
    /// Loses what comes together with the handshake.
    LoseEarly,
    /// Lets nobody in while a handshake is not over.
    OneHandshake,
    /// Lets small frames wait for the acknowledgement of those before (Nagle's algorithm).
    Nagle,
    /// Answers nobody any more once a client broke its connection off.
    FallSilent,
    /// Does wrong below the messages.
    Frames(FrameMutation),
    /// Takes what it must refuse.
    Accept(Accept),
}

impl Mutation {
    /// Its name, as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Mutation::Lose(_) => "lose",
            Mutation::Double(_) => "double",
            Mutation::Hold { .. } => "hold",
            Mutation::Gather { .. } => "gather",
            Mutation::Delay { .. } => "delay",
            Mutation::Remove { .. } => "remove",
            Mutation::Replace { .. } => "replace",
            Mutation::Stray(_) => "stray",
            Mutation::Foreign(_) => "foreign",
            Mutation::Misaddress(_) => "misaddress",
            Mutation::Close(_) => "close",
            Mutation::Acknowledge(_) => "acknowledge",
            Mutation::Mangle(_) => "mangle",
            Mutation::Shorten { .. } => "shorten",
            Mutation::Repeat => "repeat",
            Mutation::Starve => "starve",
            Mutation::Forget(_) => "forget",
            Mutation::KeepPlace => "keep_place",
            Mutation::CancelOnEnd => "cancel_on_end",
            Mutation::Rewind(_) => "rewind",
            Mutation::Status { .. } => "status",
            Mutation::Challenge(_) => "challenge",
            Mutation::Hide(_) => "hide",
            Mutation::TellUsers(_) => "tell_users",
            Mutation::TellNone(_) => "tell_none",
            Mutation::EchoToken => "echo_token",
            Mutation::WrongAccept => "wrong_accept",
            Mutation::ForeignSubprotocol => "foreign_subprotocol",
            Mutation::IgnoreSubprotocolToken => "ignore_subprotocol_token",
            Mutation::LoseEarly => "lose_early",
            Mutation::OneHandshake => "one_handshake",
            Mutation::Nagle => "nagle",
            Mutation::FallSilent => "fall_silent",
            Mutation::Frames(_) => "frames",
            Mutation::Accept(_) => "accept",
        }
    }
}
