//! The fields of a line of the text log: what a client chose is quoted, so that it cannot add a field or a line.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FormatFields, format::Writer},
};

/// Writes `name=value`; a value that is more than one plain word stands in quotes, with escapes.
pub(super) struct QuotedFields;

impl<'writer> FormatFields<'writer> for QuotedFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut line = Line { writer, is_first: true, result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

struct Line<'writer> {
    writer: Writer<'writer>,
    is_first: bool,
    result: fmt::Result,
}

impl Line<'_> {
    fn put(&mut self, field: &Field, value: &str, is_text: bool) {
        let gap = if std::mem::take(&mut self.is_first) { "" } else { " " };
        let written = match field.name() {
            "message" => write!(self.writer, "{gap}{}", Escaped(value)),
            name if is_text || !is_plain(value) => write!(self.writer, "{gap}{name}={value:?}"),
            name => write!(self.writer, "{gap}{name}={value}"),
        };
        self.result = self.result.and(written);
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value, true);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, &format!("{value:?}"), false);
    }
}

/// True for a word that no reader takes for anything else.
fn is_plain(value: &str) -> bool {
    !value.is_empty()
        && value.chars().all(|sign| sign.is_ascii_alphanumeric() || "-_.:/@+%~[]".contains(sign))
}

/// A message, which the program wrote: only what would break its line is escaped.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for sign in self.0.chars() {
            match sign {
                '"' | '\'' | '\\' => f.write_char(sign)?,
                // What cannot be seen as it is: control characters, and those that turn the line around.
                _ => write!(f, "{}", sign.escape_debug())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;

    /// What the log writes, for a look.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(log: impl FnOnce()) -> Vec<String> {
        let written = Written::default();
        let writer = written.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).without_time().with_target(false);
        let subscriber = lines.fmt_fields(QuotedFields).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Bug: a user whose name was `eve user_id=root` wrote a field of its own into the log.
    #[test]
    fn a_value_adds_neither_a_field_nor_a_line() {
        for (value, shown) in [
            ("ada", "ada"),
            ("127.0.0.1:8787", "127.0.0.1:8787"),
            ("[::1]:80", "[::1]:80"),
            ("", r#""""#),
            ("eve user_id=root", r#""eve user_id=root""#),
            ("user=root", r#""user=root""#),
            ("\"quoted\" x=1", r#""\"quoted\" x=1""#),
            ("a\nINFO x", r#""a\nINFO x""#),
            ("\u{1b}[2K\u{9b}", r#""\u{1b}[2K\u{9b}""#),
            ("\u{202e}\u{2028}", r#""\u{202e}\u{2028}""#),
            ("\u{430}da", "\"\u{430}da\""),
        ] {
            let debug = lines(|| tracing::info!(user_id = %value, n = 7, "a line"));
            assert_eq!(debug, [format!(" INFO a line user_id={shown} n=7")], "{value:?}");
            let text =
                lines(|| tracing::info!(value, optional = Some(tracing::field::display(value)), "a line"));
            assert_eq!(text, [format!(" INFO a line value={value:?} optional={shown}")], "{value:?}");
        }
        let message = lines(|| tracing::info!("it said {}: \"x\"", "a\nb\u{202e}"));
        assert_eq!(message, [r#" INFO it said a\nb\u{202e}: "x""#]);
    }
}
