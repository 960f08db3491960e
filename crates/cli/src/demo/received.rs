//! What the client saw, event by event, and how it compares with the server's log.

use wireproof_protocol::{Event, FoldError, UserState};

use crate::transcript::{BAD, BOLD, GOOD};

/// The events of a user from the first on, numbered and folded as they were shown.
#[derive(Default)]
pub(super) struct Received {
    state: UserState,
    /// The last number before the connection died.
    pub(super) cut_at: u64,
    /// How many events the log grew by while the client was away.
    pub(super) missed: u64,
}

impl Received {
    /// Takes the next event; an error if it is not the next of the log or breaks a rule of its run.
    pub(super) fn see(&mut self, event: &Event) -> Result<(), FoldError> {
        self.state.apply(event)
    }

    /// The last number seen.
    pub(super) fn seq(&self) -> u64 {
        self.state.seq
    }

    /// The latest answer so far.
    pub(super) fn answer(&self) -> &str {
        let messages = self.state.threads.values().flat_map(|thread| &thread.messages);
        messages.max_by_key(|message| message.message_id).map_or("", |message| &message.content)
    }

    /// The comparison, a line each.
    pub(super) fn compare(&self, log: &[Event]) -> Vec<String> {
        let seq = self.seq();
        let (before, after) = (self.cut_at, seq - self.cut_at);
        let folded = match fold(log) {
            Ok(state) if state == self.state => format!("{GOOD}equal{GOOD:#}"),
            Ok(_) => format!("{BAD}different{BAD:#}"),
            Err(error) => format!("{BAD}impossible: {error}{BAD:#}"),
        };
        let in_log: u64 = log.iter().map(|event| event.range()).map(|(first, last)| last - first + 1).sum();
        vec![
            format!(
                "seen by the client     seq 1 to {seq}, each once: {before} before the cut, {after} after it ({} missed and replayed)",
                self.missed
            ),
            format!(
                "in the server's log    {BOLD}{in_log}{BOLD:#} events, read from seq 0 on a fresh connection"
            ),
            format!("folded to a state      {folded}"),
        ]
    }

    /// True when the log holds what the client saw, no more and no less, and means the same.
    pub(super) fn agrees_with(&self, log: &[Event]) -> bool {
        fold(log).is_ok_and(|state| state == self.state)
    }
}

fn fold(log: &[Event]) -> Result<UserState, FoldError> {
    let mut state = UserState::default();
    for event in log {
        state.apply(event)?;
    }
    Ok(state)
}
