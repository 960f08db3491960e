//! Frames one a line, with the fault beside its line: how a failed check shows what was seen instead.

use std::{fmt::Write, sync::Arc};

use super::ReceivedFrame;
use crate::profile::Kind;

/// Lines of a story; what is beyond stays in the history.
const LINES: usize = 40;

/// Frames in a row, pieces of an answer put together; a note is told beside the frame at its place.
pub fn timeline(frames: &[Arc<ReceivedFrame>], notes: &[(usize, String)]) -> String {
    let note = |at: usize| notes.iter().filter(move |(place, _)| *place == at).map(|(_, note)| note.as_str());
    let width = frames.iter().map(|seen| label(seen).chars().count()).max().unwrap_or(0);
    let (mut text, mut at, mut lines) = (String::new(), 0, 0);
    while at < frames.len() && lines < LINES {
        let alike = |seen: &Arc<ReceivedFrame>| seen.kind == Kind::Delta && seen.name == frames[at].name;
        let same =
            frames[at..].iter().enumerate().take_while(|(i, seen)| alike(seen) && note(at + i).eq(note(at)));
        let many = same.count().max(1);
        let times = if many > 1 { format!("× {many}") } else { String::new() };
        let _ = write!(text, "\n  {:>3}  {:width$} {times:5}", at + 1, label(&frames[at]));
        note(at).for_each(|note| text.push_str(&format!(" <- {note}")));
        text.truncate(text.trim_end().len());
        at += many;
        lines += 1;
    }
    if at < frames.len() {
        let _ = write!(text, "\n       and {} more", frames.len() - at);
    }
    notes
        .iter()
        .filter(|(place, _)| *place >= at)
        .for_each(|(_, note)| text.push_str(&format!("\n       {note}")));
    text
}

fn label(seen: &ReceivedFrame) -> String {
    let mut label = seen.name.clone();
    if let Some(seq) = seen.seq {
        let first =
            seen.first_seq.filter(|first| *first != seq).map(|first| format!("{first}-")).unwrap_or_default();
        label.push_str(&format!(" #{first}{seq}"));
    }
    if let Some(call) = &seen.call {
        // The end of an id tells it apart, as its beginning is often the time.
        let tail: String = call.chars().rev().take(6).collect::<Vec<_>>().into_iter().rev().collect();
        label.push_str(&format!(" [{tail}]"));
    }
    label
}
