//! How large a text or a JSON value is on the wire, and cutting one where no character breaks.
//! Every count stops at its bound, so a huge value costs no more than an allowed one.

use std::ops::ControlFlow::{self, Break, Continue};

use serde_json::Value;
use unicode_segmentation::GraphemeCursor;

/// Deepest nesting that counts as fitting; readers of JSON commonly stop at 128 levels, those of the frame included.
const MAX_DEPTH: usize = 64;
/// Text handed on at once while a long string is written, in bytes.
const CHUNK: usize = 1 << 10;
/// Most bytes that one character of a person's script may take; what is longer is cut inside.
const MAX_CLUSTER: usize = 256;

/// The bytes of a text in JSON, without its quotation marks. Counting stops once there are more than `most`.
pub fn text_extent(text: &str, most: usize) -> usize {
    let mut bytes = 0usize;
    for byte in text.bytes() {
        if bytes > most {
            break;
        }
        bytes += match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
            0..0x20 => 6,
            _ => 1,
        };
    }
    bytes
}

/// The bytes of a value as JSON. Counting stops once there are more than `most`; nesting deeper than 64 counts as more.
pub fn json_extent(value: &Value, most: usize) -> usize {
    let mut bytes = 0usize;
    let whole = write(value, MAX_DEPTH, &mut |piece| {
        bytes += piece.len();
        if bytes > most { Break(()) } else { Continue(()) }
    });
    if whole.is_break() { bytes.max(most.saturating_add(1)) } else { bytes }
}

/// The beginning of a value's JSON, at most `most` bytes.
pub fn json_start(value: &Value, most: usize) -> String {
    let mut start = String::new();
    // A break means that it did not fit, which is why it is cut.
    let _ = write(value, MAX_DEPTH, &mut |piece| {
        start.push_str(piece);
        if start.len() > most { Break(()) } else { Continue(()) }
    });
    let end = cut(&start, most).len();
    start.truncate(end);
    start
}

/// The beginning of a text, at most `most` bytes, cut between two characters as people see them. A single one that
/// takes more than 256 bytes is cut inside.
pub fn cut(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let end = text.floor_char_boundary(most);
    let mut cursor = GraphemeCursor::new(end, text.len(), true);
    let whole = match cursor.is_boundary(text, 0) {
        Ok(true) => end,
        _ => cursor.prev_boundary(text, 0).ok().flatten().unwrap_or(0),
    };
    if end - whole > MAX_CLUSTER { &text[..end] } else { &text[..whole] }
}

/// The beginning of a text, at most `most` code points, cut as [`cut`] does.
pub fn cut_chars(text: &str, most: usize) -> &str {
    match text.char_indices().nth(most) {
        Some((end, _)) => cut(text, end),
        None => text,
    }
}

/// The beginning of a text as [`cut_chars`] gives it, and `…` behind it where something was cut off.
pub fn shorten(text: &str, most: usize) -> String {
    let start = cut_chars(text, most);
    let rest = if start.len() < text.len() { "…" } else { "" };
    format!("{start}{rest}")
}

type Sink<'a> = dyn FnMut(&str) -> ControlFlow<()> + 'a;

/// Writes a value as JSON piece by piece until the sink has enough or the nesting is too deep.
fn write(value: &Value, depth: usize, sink: &mut Sink<'_>) -> ControlFlow<()> {
    match value {
        Value::Null => sink("null"),
        Value::Bool(true) => sink("true"),
        Value::Bool(false) => sink("false"),
        Value::Number(number) => sink(&number.to_string()),
        Value::String(text) => write_text(text, sink),
        Value::Array(_) | Value::Object(_) if depth == 0 => Break(()),
        Value::Array(items) => {
            sink("[")?;
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    sink(",")?;
                }
                write(item, depth - 1, sink)?;
            }
            sink("]")
        }
        Value::Object(fields) => {
            sink("{")?;
            for (index, (name, item)) in fields.iter().enumerate() {
                if index > 0 {
                    sink(",")?;
                }
                write_text(name, sink)?;
                sink(":")?;
                write(item, depth - 1, sink)?;
            }
            sink("}")
        }
    }
}

fn write_text(text: &str, sink: &mut Sink<'_>) -> ControlFlow<()> {
    sink("\"")?;
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(CHUNK.min(rest.len())));
        let quoted = Value::from(piece).to_string();
        sink(&quoted[1..quoted.len() - 1])?;
        rest = after;
    }
    sink("\"")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_extent_is_that_of_the_json() {
        for value in
            [json!(null), json!({"a": [1, 2.5, "x\"\u{1}é"], "b": {}}), json!("line\n".repeat(2_000))]
        {
            assert_eq!(json_extent(&value, usize::MAX), value.to_string().len());
            assert_eq!(json_start(&value, usize::MAX), value.to_string());
        }
        let text = "\u{0}\u{8}\t\"\\/é\u{7f}\u{2028}";
        assert_eq!(text_extent(text, usize::MAX), json!(text).to_string().len() - 2);
    }

    #[test]
    fn counting_stops_at_the_bound() {
        let large = json!(["x".repeat(10_000_000)]);
        assert!(json_extent(&large, 100) < 2 * CHUNK);
        assert!(json_start(&large, 100).len() <= 100);
        assert!(text_extent(&"\u{1}".repeat(1_000_000), 100) < 110);
        let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
        assert!(json_extent(&deep, 10_000) > 10_000, "deeper than a client reads");
    }

    /// A text was cut inside a flag, a family or an accented letter, and half a character was shown.
    #[test]
    fn a_cut_keeps_characters_whole() {
        let family = "👨‍👩‍👧‍👦";
        for character in [family, "🇩🇪", "e\u{301}", "각", "\r\n"] {
            let text = format!("a{character}b");
            for most in 1..=character.len() {
                assert_eq!(cut(&text, most), "a", "{character} at {most}");
            }
            assert_eq!(cut(&text, 1 + character.len()), format!("a{character}"));
        }
        assert_eq!(cut_chars("abc", 3), "abc");
        assert_eq!(cut_chars(&format!("ab{family}"), 4), "ab");
        // One that never ends is cut inside, and what is cut stays below the bound.
        let endless = format!("a{}", "\u{301}".repeat(100_000));
        assert_eq!(cut(&endless, 1_000).len(), 999);
        assert!(cut(&"🇩🇪".repeat(1_000), 1_001).len() <= 1_001);
    }
}
