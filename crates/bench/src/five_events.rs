//! The five events of a run with a tool, as a client sees them come: each once and in order, or not.

use anyhow::{Result, ensure};

use crate::{server::Process, wire::contains};

const QUOTED: [&[u8]; 5] = [
    b"\"agent_started\"",
    b"\"agent_thinking\"",
    b"\"tool_executing\"",
    b"\"tool_completed\"",
    b"\"agent_completed\"",
];

/// What came of one run so far.
#[derive(Default)]
pub struct Seen {
    next: usize,
    /// Events that came again.
    pub twice: u64,
    /// Events that did not come before a later one did.
    pub missing: u64,
}

impl Seen {
    /// Takes a frame; frames that are none of the five are passed over.
    pub fn take(&mut self, frame: &[u8]) {
        let Some(place) = QUOTED.iter().position(|name| contains(frame, name)) else { return };
        if place < self.next {
            self.twice += 1;
        } else {
            self.missing += (place - self.next) as u64;
            self.next = place + 1;
        }
    }

    /// True when the last of them has come.
    pub fn is_over(&self) -> bool {
        self.next == QUOTED.len()
    }

    /// True when all five came, each once.
    pub fn is_whole(&self) -> bool {
        self.is_over() && self.twice == 0 && self.missing == 0
    }
}

/// One run of a user of its own, before anything is measured: a server that does not say the five events is not compared.
pub async fn check(server: &Process) -> Result<()> {
    let (mut wire, mut seen) = (server.connect("first", 0).await?, Seen::default());
    wire.send(&server.kind.dialect().ask()).await?;
    while !seen.is_over() {
        seen.take(&wire.frame().await?);
    }
    ensure!(seen.is_whole(), "{} events of the run were missing, {} came again", seen.missing, seen.twice);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(names: &[&str]) -> Seen {
        let mut seen = Seen::default();
        names.iter().for_each(|name| seen.take(format!(r#"{{"type":"{name}"}}"#).as_bytes()));
        seen
    }

    #[test]
    fn a_run_is_whole_when_each_came_once_and_in_order() {
        let all = ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"];
        assert!(seen(&all).is_whole());
        assert!(!seen(&all[..4]).is_over());
        let gap = seen(&["agent_started", "tool_completed", "agent_completed"]);
        assert_eq!((gap.missing, gap.is_over(), gap.is_whole()), (2, true, false));
        let again = seen(&["agent_started", "agent_started", "pong", "agent_thinking"]);
        assert_eq!((again.twice, again.missing), (1, 0));
    }
}
