//! Where a client stands in its user's log, and which arriving events are new to it. Pure.
//! Delivery is at least once and in order; what passes here comes exactly once.

use wireproof_protocol::{Epoch, Event, Position};

/// The last event that the user of a client has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resume {
    position: Option<Position>,
    /// The head of a connection that does not serve the position. It counts once the state has come in its place, or
    /// the first event that follows it: cut before that, the client asks for its old position again.
    restart: Option<Position>,
}

/// Where a welcome puts the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the head of the log: the client had no position.
    Head,
    /// Where it stood: a replay follows.
    Resumed,
    /// At the head, though the client stood elsewhere: a snapshot follows, or an error that says why there is none.
    Restarted,
}

/// An event that does not follow on the last one: something is missing before it, or it overlaps what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("seq {first} to {last} arrived where {expected} comes next")]
pub struct Break {
    /// The number that was due.
    pub expected: u64,
    /// The first number that the event stands for.
    pub first: u64,
    /// The last number that the event stands for.
    pub last: u64,
}

impl Break {
    /// True when numbers are missing; false when a merged event holds some that were seen already.
    pub fn is_gap(&self) -> bool {
        self.first > self.expected
    }
}

impl Resume {
    /// A client that has seen nothing and wants what is new.
    pub fn new() -> Self {
        Self::default()
    }

    /// A client that has seen all up to the position.
    pub fn at(position: Position) -> Self {
        Self { position: Some(position), restart: None }
    }

    /// What to ask the next connection for.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// Takes the welcome of a new connection: its number line, head, and whether it serves the asked position.
    pub fn welcome(&mut self, epoch: Epoch, head: u64, resumed: bool) -> Start {
        let head = Position { epoch, seq: head };
        self.restart = None;
        match self.position {
            Some(position) if resumed && position.epoch == epoch => Start::Resumed,
            Some(_) => {
                self.restart = Some(head);
                Start::Restarted
            }
            None => {
                self.position = Some(head);
                Start::Head
            }
        }
    }

    /// True when the event is new to the user, false for a duplicate, and a break when it does not follow on.
    /// A break moves nothing: the position it leaves is the one to resume from, and the server then sends the rest.
    pub fn take(&mut self, event: &Event) -> Result<bool, Break> {
        self.take_range(event.range())
    }

    /// The same for the numbers, first and last, of an event of any type.
    pub fn take_range(&mut self, (first, last): (u64, u64)) -> Result<bool, Break> {
        if let Some(head) = self.restart.take() {
            self.position = Some(head);
        }
        let Some(position) = &mut self.position else {
            return Err(Break { expected: 0, first, last });
        };
        if last <= position.seq {
            return Ok(false);
        }
        let expected = position.seq + 1;
        if first != expected {
            return Err(Break { expected, first, last });
        }
        position.seq = last;
        Ok(true)
    }

    /// Takes a snapshot's position: the events up to it are told by the state.
    pub fn snapshot(&mut self, epoch: Epoch, seq: u64) {
        self.restart = None;
        self.position = Some(Position { epoch, seq });
    }

    /// Takes the end of a replay; a break when it ended short of the position that it says it reached.
    pub fn caught_up(&self, seq: u64) -> Result<(), Break> {
        match self.position {
            Some(position) if position.seq < seq => {
                Err(Break { expected: position.seq + 1, first: seq + 1, last: seq })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "resume_tests.rs"]
mod tests;
