//! The client that keeps itself connected: what its user sees is each event once, in order, and what happened between.
//! Nothing runs in the background: `next` drives it, and dropping a `next` loses nothing.

use std::{mem, time::Duration};

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout_at};
use wireproof_protocol::{ClientFrame, Control, Event, Position, RequestId};

use crate::{
    connection::{Connection, write_frame},
    error::{ClientError, Ended, OpenError, RecvError, SendError},
    handshake::{Connect, Credentials},
    reconnect::{Backoff, GiveUp},
    resume::{Break, Resume, Start},
    unanswered::{MAX_UNANSWERED, Unanswered},
    welcome::Welcome,
};

/// Something a user of a client should know.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// The next event of the log: each comes once, in order.
    Event(Box<Event>),
    /// A state that stands for all events up to its position: what was folded before is void.
    Snapshot(Box<Control>),
    /// Another control frame: an answer, an error, the end of a replay.
    Control(Box<Control>),
    /// A frame of a type that this client does not know; an event among them has moved the position.
    Unknown(Value),
    /// The connection is lost, or an attempt to reconnect failed; the next attempt follows after the wait.
    Lost {
        /// How it ended.
        ended: Box<Ended>,
        /// How long the client waits.
        wait: Duration,
    },
    /// A new connection stands; events go on where they stopped, or a snapshot follows.
    Reconnected {
        /// What it says.
        welcome: Box<Welcome>,
        /// How the log goes on.
        start: Start,
    },
}

type Opened = Result<(Connection, Welcome), OpenError>;

pub(crate) enum Link {
    Up(Box<Connection>),
    Lost(Box<Ended>),
    Down { until: Instant },
    Opening(BoxFuture<'static, Opened>),
    Over(GiveUp),
}

/// A connection that comes back by itself and resumes where it stopped.
pub struct Client {
    pub(crate) connect: Connect,
    pub(crate) backoff: Backoff,
    pub(crate) link: Link,
    pub(crate) welcome: Welcome,
    pub(crate) resume: Resume,
    /// Requests with an id and no answer yet: sent again on the next connection, where the id keeps them single.
    pub(crate) unanswered: Unanswered,
    /// Attempts since the last connection that brought something.
    pub(crate) attempt: u32,
    /// The wait that the server asked for.
    pub(crate) announced: Option<Duration>,
    pub(crate) ended: Box<Ended>,
    pub(crate) broke_at: Option<Break>,
    /// True for a token that no handshake has shown yet.
    pub(crate) renewed: bool,
}

impl Client {
    /// Connects and waits for the welcome; a first connection that fails is an error and not tried again.
    pub async fn connect(connect: Connect, backoff: Backoff) -> Result<Self, OpenError> {
        let mut resume = connect.position().map_or_else(Resume::new, Resume::at);
        let (connection, welcome) = connect.open_welcomed().await?;
        resume.welcome(welcome.epoch, welcome.seq, welcome.resumed);
        Ok(Self {
            connect,
            backoff,
            link: Link::Up(Box::new(connection)),
            welcome,
            resume,
            unanswered: Unanswered::default(),
            attempt: 0,
            announced: None,
            ended: Box::default(),
            broke_at: None,
            renewed: false,
        })
    }

    /// The latest welcome.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// The last event that the user has seen, or where the log was joined.
    pub fn position(&self) -> Option<Position> {
        self.resume.position()
    }

    /// The frame behind the latest update, as it was on the wire; nothing while the connection is down.
    pub fn text(&self) -> Option<&str> {
        match &self.link {
            Link::Up(connection) => Some(connection.last_text()),
            Link::Lost(_) | Link::Down { .. } | Link::Opening(_) | Link::Over(_) => None,
        }
    }

    /// True while a connection stands, as far as the client noticed.
    pub fn is_connected(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    /// Asks for something under an id of its own, which the answer echoes. The request outlives the connection: it is
    /// sent again after a reconnect until its answer came, and the id makes the server carry it out once. A refusal that may
    /// pass is the answer of a request that was sent once; one that was sent again waits as the refusal says and goes out
    /// once more, for two minutes at most, since its first sending may have been carried out. Requests keep their order: behind
    /// one that is sent again the later ones wait for its answer.
    pub async fn request(&mut self, frame: &ClientFrame) -> Result<RequestId, ClientError> {
        if self.unanswered.len() >= MAX_UNANSWERED {
            return Err(ClientError::TooManyRequests(MAX_UNANSWERED));
        }
        let id = new_request_id();
        let text = write_frame(frame, Some(&id));
        self.check_size(text.len())?;
        self.unanswered.push(id.clone(), text, Instant::now());
        self.send_waiting().await;
        Ok(id)
    }

    /// Sends a frame without an id, once, on the connection that stands now.
    pub async fn send(&mut self, frame: &ClientFrame) -> Result<(), ClientError> {
        let text = write_frame(frame, None);
        self.check_size(text.len())?;
        let Link::Up(connection) = &mut self.link else {
            return Err(ClientError::NotConnected(self.ended.clone()));
        };
        connection.send_text(text).await.map_err(|error| {
            ClientError::NotConnected(match error {
                SendError::Ended(ended) => ended,
                SendError::Timeout(_) => Box::new(Ended::broken(error)),
            })
        })
    }

    /// A frame over the server's limit would be refused without its id, or end the connection: it is not sent.
    fn check_size(&self, bytes: usize) -> Result<(), ClientError> {
        match self.welcome.limits.message_bytes {
            limit if limit > 0 && bytes > limit => Err(ClientError::TooLarge { bytes, limit }),
            _ => Ok(()),
        }
    }

    /// Shows a new token on this connection and on all later ones. A server that ends the connection for its old token meanwhile
    /// is asked once more with the new one.
    pub async fn renew(&mut self, token: impl Into<String>) -> Result<RequestId, ClientError> {
        let token = token.into();
        self.connect = self.connect.clone().credentials(match self.connect.shown() {
            Credentials::Subprotocol(_) => Credentials::Subprotocol(token.clone()),
            Credentials::FirstFrame(_) => Credentials::FirstFrame(token.clone()),
            _ => Credentials::Header(token.clone()),
        });
        self.renewed = true;
        self.request(&ClientFrame::Authenticate { token }).await
    }

    /// The next thing that happened. Cancel-safe; a reconnect goes on where a dropped call left it.
    pub async fn next(&mut self, within: Duration) -> Result<Update, ClientError> {
        let deadline = Instant::now() + within;
        loop {
            let late = |_| ClientError::Timeout(within);
            let update = match &mut self.link {
                Link::Up(_) => {
                    self.send_waiting().await;
                    self.receive(deadline).await?
                }
                Link::Lost(ended) => {
                    let ended = mem::take(ended);
                    Some(self.lost(ended)?)
                }
                Link::Down { until } => {
                    let until = *until;
                    timeout_at(deadline, sleep_until(until)).await.map_err(late)?;
                    let connect = self.connect.clone().resume(self.resume.position());
                    self.renewed = false;
                    // Kept across calls: a caller with short deadlines still gets a slow handshake done.
                    self.link = Link::Opening(Box::pin(async move { connect.open_welcomed().await }));
                    None
                }
                Link::Opening(opening) => {
                    let opened = timeout_at(deadline, opening).await.map_err(late)?;
                    self.opened(opened)?
                }
                Link::Over(why) => {
                    return Err(ClientError::Over { ended: self.ended.clone(), why: *why });
                }
            };
            match update {
                Some(update) => return Ok(update),
                None if Instant::now() >= deadline => return Err(ClientError::Timeout(within)),
                None => {}
            }
        }
    }

    /// Ends the connection as a lost network would; the next `next` tells so and reconnects.
    pub fn cut(&mut self) {
        let ended = Link::Lost(Box::new(Ended::broken("cut by the client")));
        if self.is_connected()
            && let Link::Up(connection) = mem::replace(&mut self.link, ended)
        {
            connection.cut();
        }
    }

    /// Says goodbye and waits for the server's own, if a connection stands.
    pub async fn close(self) -> Result<(), RecvError> {
        match self.link {
            Link::Up(connection) => connection.close(1000, "").await.map(|_| ()),
            Link::Lost(_) | Link::Down { .. } | Link::Opening(_) | Link::Over(_) => Ok(()),
        }
    }
}

fn new_request_id() -> RequestId {
    let text = format!("{:032x}", rand::random::<u128>());
    RequestId::new(text).expect("32 hex digits are a request id")
}
