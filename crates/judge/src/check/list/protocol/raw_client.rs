//! A connection by hand: every byte of the client is the check's own, and every frame of the server is seen as it came.

use std::time::{Duration, Instant};

use wireproof_faultproxy::wire::{
    CLOSE, CONTINUATION, FIN, PING, PONG, RawFrame, TEXT, Wire, WireError, masked, strict::Strict,
};

use super::{probe::Probe, raw_handshake::shake};
use crate::{
    check::{CheckContext, Failure, ReceivedFrame, TestPrincipal, broken},
    profile::Kind,
    record::{Action, Op, OpOutcome},
};

/// The most bytes of a message that are kept.
const LARGEST: usize = 16 << 20;

/// A WebSocket, its bytes, and where in a message of the server it is.
pub struct RawClient<'a> {
    context: &'a CheckContext<'a>,
    wire: Wire,
    user: String,
    /// The fragments of a message that is not over.
    fragments: Vec<u8>,
    messages: usize,
}

/// What came.
pub enum Came {
    /// A whole message.
    Message(ReceivedFrame),
    /// A pong.
    Pong(Vec<u8>),
    /// A close, with its code if it has one.
    Close(Option<u16>),
    /// The end of the connection.
    End,
}

/// A server that does not do what is right cannot be asked to refuse what is wrong.
pub fn unsound(fault: Failure) -> Failure {
    match fault {
        Failure::Broken(why) => Failure::NotDone(format!("what is right is not served either: {why}")),
        other => other,
    }
}

/// What a failure of the wire is to the judge.
pub fn fault(error: WireError) -> Failure {
    match error {
        WireError::Dial { .. } => Failure::Gone(error.to_string()),
        _ => Failure::Broken(error.to_string()),
    }
}

impl<'a> RawClient<'a> {
    /// The hand on a connection on which nothing came yet but the answer to a handshake.
    pub fn on(context: &'a CheckContext<'a>, wire: Wire, principal: &TestPrincipal) -> Self {
        Self { context, wire, user: principal.user.clone(), fragments: Vec::new(), messages: 0 }
    }

    /// An open connection of a user, welcomed where the server welcomes.
    pub async fn open(context: &'a CheckContext<'a>, principal: &TestPrincipal) -> Result<Self, Failure> {
        let mut hand = Self::entered(context, principal).await?;
        if context.profile.events.welcome.is_empty() {
            return Ok(hand);
        }
        loop {
            match hand.next().await? {
                Came::Message(seen) if seen.kind == Kind::Welcome => return Ok(hand),
                Came::Message(_) | Came::Pong(_) => {}
                Came::Close(code) => return broken(format!("closed with {code:?} before the welcome")),
                Came::End => return broken("the connection ended before the welcome"),
            }
        }
    }

    /// The same; the welcome is still to come.
    pub async fn entered(context: &'a CheckContext<'a>, principal: &TestPrincipal) -> Result<Self, Failure> {
        let (mut hand, head) = shake(context, principal, |request| request).await?;
        if head.status != 101 {
            return broken(format!("a good handshake was answered with {}", head.status));
        }
        if let Some(frame) =
            context.profile.first_frame(context.profile.auth.place, principal.token.as_deref())
        {
            hand.send(&masked(FIN | TEXT, frame.as_bytes()), "authenticate").await?;
        }
        Ok(hand)
    }

    /// Sends bytes; `what` is what the history says of them.
    pub async fn send(&mut self, bytes: &[u8], what: &str) -> Result<(), Failure> {
        self.note(Action::Send, OpOutcome::Invoke, what);
        self.wire.write(bytes).await.map_err(fault)
    }

    /// The next frame, as it came; nothing when the connection is over, in the middle of a frame or not.
    pub async fn frame(&mut self) -> Result<Option<RawFrame>, Failure> {
        let frame = match self.wire.frame().await {
            Err(WireError::Ended { .. }) => None,
            frame => frame.map_err(fault)?,
        };
        let bytes = frame.as_ref().map_or(0, |frame| frame.header.len() + frame.payload.len());
        self.context.frame_budget.take(bytes).map_err(|why| {
            self.note(Action::Close, OpOutcome::Ok, &why);
            Failure::Broken(why)
        })?;
        Ok(frame)
    }

    /// What comes next: fragments are put together, pings left alone.
    pub async fn next(&mut self) -> Result<Came, Failure> {
        loop {
            let Some(frame) = self.frame().await? else { return Ok(Came::End) };
            match frame.opcode {
                CLOSE => {
                    self.note(Action::Close, OpOutcome::Ok, &format!("close {:?}", frame.close_code()));
                    Strict::new().frame(&frame).map_err(|violation| {
                        Failure::Broken(format!("the server's own close is not as it must be: {violation}"))
                    })?;
                    return Ok(Came::Close(frame.close_code()));
                }
                PONG => return Ok(Came::Pong(frame.payload)),
                PING => {}
                _ => {
                    if let Some(seen) = self.fragment(&frame) {
                        return Ok(Came::Message(seen));
                    }
                }
            }
        }
    }

    /// Adds a fragment; the message, once it is over.
    pub fn fragment(&mut self, frame: &RawFrame) -> Option<ReceivedFrame> {
        if frame.opcode != CONTINUATION {
            self.fragments.clear();
        }
        self.fragments.extend(&frame.payload);
        // A message without an end is not kept whole; as none of its fragments is the last it is never looked at.
        self.fragments.truncate(LARGEST);
        if !frame.fin {
            return None;
        }
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.fragments)).into_owned();
        self.note(Action::Recv, OpOutcome::Ok, &text);
        self.messages += 1;
        Some(ReceivedFrame::read(&self.context.profile, self.messages - 1, Instant::now(), &text))
    }

    /// Waits for the answer to a question; what else comes is let pass.
    pub async fn answered(&mut self, question: &Probe, what: &str) -> Result<(), Failure> {
        loop {
            match self.next().await? {
                Came::Message(seen) if question.is_answered_by(&seen, self.context) => return Ok(()),
                Came::Message(_) | Came::Pong(_) => {}
                Came::Close(code) => {
                    return broken(format!("{what} was answered with a close, code {code:?}"));
                }
                Came::End => return broken(format!("{what} ended the connection")),
            }
        }
    }

    /// Holds that a good message is answered here: that a bad one is not says something only then.
    pub async fn is_sound(&mut self) -> Result<(), Failure> {
        let question = Probe::new(self.context, "")?;
        let answered = async {
            self.send(&masked(FIN | TEXT, question.text.as_bytes()), "a good message").await?;
            self.answered(&question, "a good message").await
        };
        answered.await.map_err(unsound)
    }

    /// Sends what must fail the connection, and behind it a question. Holds that neither is answered and the connection
    /// ends; gives how, in words.
    pub async fn fails(&mut self, bytes: &[u8], bad: &Probe, what: &str) -> Result<String, Failure> {
        let behind = Probe::new(self.context, "")?;
        let bytes = [bytes, &masked(FIN | TEXT, behind.text.as_bytes())].concat();
        self.send(&bytes, &format!("{what}, and a good message behind it")).await?;
        loop {
            match self.next().await {
                Ok(Came::Message(seen)) => {
                    let is_answer = |question: &Probe| question.is_answered_by(&seen, self.context);
                    if is_answer(bad) || is_answer(&behind) {
                        return broken(format!("{what} was taken: the answer is {}", seen.brief()));
                    }
                }
                Ok(Came::Pong(_)) => return broken(format!("{what} was answered with a pong")),
                Ok(Came::Close(Some(1000))) => {
                    return broken(format!("{what} was answered with close 1000, as if all were well"));
                }
                Ok(Came::Close(Some(code))) => return Ok(format!("close {code}")),
                Ok(Came::Close(None)) => return Ok("a close".to_owned()),
                Ok(Came::End) => return Ok("the connection ended".to_owned()),
                Err(Failure::Broken(why)) => {
                    return broken(format!("{what} did not end the connection as it must: {why}"));
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// Has the kernel acknowledge what comes at once, or as late as it may; every byte that goes or comes undoes it.
    pub fn acknowledge_at_once(&self, at_once: bool) -> std::io::Result<()> {
        self.wire.acknowledge_at_once(at_once)
    }

    /// True when the connection ends within this time.
    pub async fn ends_within(&mut self, time: Duration) -> bool {
        self.wire.ends_within(time).await
    }

    fn note(&self, f: Action, outcome: OpOutcome, text: &str) {
        let (user, text) = (self.user.clone(), text.to_owned());
        self.context.recorder.note(Op {
            conn: format!("{user}#hand"),
            user,
            outcome,
            f,
            text,
            ..Op::default()
        });
    }
}
