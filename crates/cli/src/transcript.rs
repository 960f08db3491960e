//! How events look in a terminal: one line each, pieces of an answer as they come.

use std::{
    io::{self, Write},
    time::Duration,
};

use anstyle::{AnsiColor, Style};
use serde_json::Value;
use wireproof_protocol::{
    CRITICAL_EVENTS, Event, EventBody, MessageId, Outcome, RunError, printable, printable_line,
};

use crate::terminal;

/// What stands back.
pub(crate) const DIM: Style = Style::new().dimmed();
/// What stands out.
pub(crate) const BOLD: Style = Style::new().bold();
/// What went well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// What did not.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What deserves a look.
pub(crate) const NOTE: Style = AnsiColor::Yellow.on_default();

const CRITICAL: Style = AnsiColor::Cyan.on_default().bold();

/// Below what an event says.
const INDENT: &str = "                      ";

/// Longest text on a line, in characters.
const WIDTH: usize = 88;

/// An event as a line: its number, when it came, its name, and what it says; the five critical ones have a mark.
pub(crate) fn event_line(event: &Event, after: Duration) -> String {
    line(event, after, &says(&event.body))
}

/// An event as a line that says something else of it. Where stdout is a terminal, the line fits it.
pub(crate) fn line(event: &Event, after: Duration, says: &str) -> String {
    let name = event.body.name();
    let (style, mark) = if CRITICAL_EVENTS.contains(&name) { (CRITICAL, '●') } else { (DIM, '·') };
    let (first, last) = event.range();
    let seq = if first == last { last.to_string() } else { format!("{first}-{last}") };
    let after = after.as_secs_f64() * 1e3;
    let line = format!("{DIM}{seq:>7} {after:>7.1} ms{DIM:#}  {style}{mark} {name:<15}{style:#}  {says}");
    terminal::columns().map_or_else(|| line.clone(), |columns| terminal::cut(&line, columns))
}

/// What an event says, on one line.
pub(crate) fn says(body: &EventBody) -> String {
    match body {
        EventBody::ThreadCreated { title, .. }
        | EventBody::ThreadUpdated { title, .. }
        | EventBody::ThreadDeleted { title, .. } => quoted(title),
        EventBody::MessageCreated { content, .. } => quoted(content),
        EventBody::AgentStarted { message } => short(message),
        EventBody::AgentThinking { reasoning, .. } => short(reasoning),
        EventBody::ThinkingDelta { delta, .. } | EventBody::MessageDelta { delta, .. } => quoted(delta),
        EventBody::ToolArgumentsDelta(piece) => quoted(&piece.delta),
        EventBody::ToolExecuting(call) => short(&format!("{} {}", call.tool_name, call.parameters)),
        EventBody::ToolCompleted(call) => {
            let outcome = match &call.error {
                Some(error) => format!("failed: {}", error.message),
                None => call.result.as_ref().unwrap_or(&Value::Null).to_string(),
            };
            let ended = short(&format!("{} → {outcome}", call.tool_name));
            format!("{ended} {DIM}({:.1} ms){DIM:#}", call.duration_ms)
        }
        EventBody::ApprovalRequested { approval_id, .. } => format!("may I? {approval_id}"),
        EventBody::ApprovalResolved { decision, .. } => decision.as_str().to_owned(),
        EventBody::StatusUpdate(update) => match &update.detail {
            Some(detail) => short(&format!("{}: {detail}", update.status)),
            None => short(&update.status),
        },
        EventBody::AgentCompleted { outcome, error, duration_ms, .. } => {
            ending(*outcome, error.as_ref(), *duration_ms)
        }
        other => short(&serde_json::to_string(other).unwrap_or_default()),
    }
}

fn ending(outcome: Outcome, error: Option<&RunError>, duration_ms: f64) -> String {
    let (style, word) = match outcome {
        Outcome::Success => (GOOD, outcome.as_str()),
        Outcome::Failed => (BAD, outcome.as_str()),
        _ => (NOTE, outcome.as_str()),
    };
    let why = error.map(|error| format!(": {}", printable_line(&error.message))).unwrap_or_default();
    format!("{style}{word}{style:#}{why} {DIM}(the run took {duration_ms:.1} ms){DIM:#}")
}

/// A text on one line, cut when it is long.
pub(crate) fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    wireproof_protocol::shorten(&printable_line(&line), WIDTH)
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", short(text))
}

/// The output of a conversation: a line an event, and the answer as text that grows.
pub(crate) struct Transcript<W: Write> {
    out: W,
    /// The answer whose pieces the current line holds.
    answer: Option<MessageId>,
}

impl<W: Write> Transcript<W> {
    /// A transcript that begins on a fresh line.
    pub(crate) fn new(out: W) -> Self {
        Self { out, answer: None }
    }

    /// Shows an event; deltas of an answer become running text.
    pub(crate) fn event(&mut self, event: &Event, after: Duration) -> io::Result<()> {
        let EventBody::MessageDelta { message_id, delta } = &event.body else {
            return self.line(&event_line(event, after));
        };
        if self.answer != Some(*message_id) {
            self.end_answer()?;
            write!(self.out, "{INDENT}")?;
            self.answer = Some(*message_id);
        }
        write!(self.out, "{BOLD}{}{BOLD:#}", printable(delta).replace('\n', &format!("\n{INDENT}")))?;
        self.out.flush()
    }

    /// Shows a line of its own.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        self.end_answer()?;
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }

    fn end_answer(&mut self) -> io::Result<()> {
        match self.answer.take() {
            Some(_) => writeln!(self.out),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line_and_is_cut_between_characters() {
        assert_eq!(short("a\n  b\tc"), "a b c");
        let long = "é".repeat(WIDTH + 1);
        assert_eq!(short(&long), format!("{}…", "é".repeat(WIDTH)));
        assert_eq!(short(&"é".repeat(WIDTH)), "é".repeat(WIDTH));
        assert_eq!(short("a\u{1b}]0;x\u{7}\u{202e}b"), "a\u{fffd}]0;x\u{fffd}\u{fffd}b");
    }
}
