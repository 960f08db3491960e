//! The first frame of a connection: until it came, a client is not let in.

use tokio::time::Instant;
use wireproof_protocol::{ActiveRun, ConnectionId, Control, ControlBody, Epoch, Incoming, Limits, UserId};

use crate::{
    connection::Connection,
    error::{OpenError, RecvError},
    handshake::Connect,
};

/// What a connection's first frame says.
#[derive(Debug, Clone, PartialEq)]
pub struct Welcome {
    /// The connection.
    pub connection_id: ConnectionId,
    /// Whose log it is.
    pub user_id: UserId,
    /// The log's number line.
    pub epoch: Epoch,
    /// The log's head at that time.
    pub seq: u64,
    /// True when the position that was asked for is served.
    pub resumed: bool,
    /// The user's runs that were not over.
    pub active_runs: Vec<ActiveRun>,
    /// What the connection may do.
    pub limits: Limits,
    /// What the server can do beyond the first version of the protocol, in its words.
    pub features: Vec<String>,
    /// True when the server lets everybody in.
    pub insecure_no_auth: bool,
}

impl Welcome {
    /// The welcome in a control frame, if it is one.
    pub fn of(control: Control) -> Option<Self> {
        let ControlBody::ConnectionEstablished {
            connection_id,
            user_id,
            epoch,
            seq,
            resumed,
            active_runs,
            limits,
            features,
            insecure_no_auth,
            ..
        } = control.body
        else {
            return None;
        };
        Some(Self {
            connection_id,
            user_id,
            epoch,
            seq,
            resumed,
            active_runs,
            limits,
            features,
            insecure_no_auth,
        })
    }
}

impl Connect {
    /// Opens the connection and waits for the welcome, each within the deadline of the handshake.
    pub async fn open_welcomed(&self) -> Result<(Connection, Welcome), OpenError> {
        let mut connection = self.open().await?;
        let deadline = Instant::now() + self.within;
        loop {
            let late = OpenError::Timeout { address: self.address(), within: self.within };
            let why = match connection.recv_until(deadline).await.ok_or(late)? {
                Ok(frame) => match frame.incoming {
                    // A refusal: the close that follows is what ends the attempt, and keeps this frame.
                    Incoming::Control(control) if matches!(control.body, ControlBody::Error(_)) => continue,
                    Incoming::Control(control) => match Welcome::of(*control) {
                        Some(welcome) => return Ok((connection, welcome)),
                        None => "the first frame is no welcome".to_owned(),
                    },
                    _ => "the first frame is no welcome".to_owned(),
                },
                Err(RecvError::Ended(ended)) => {
                    return Err(OpenError::Ended { address: self.address(), ended });
                }
                Err(other) => other.to_string(),
            };
            return Err(OpenError::NotUnderstood { address: self.address(), why });
        }
    }
}
