//! Texts of others on their way to a person's terminal or page: without what moves the cursor, sets titles, writes to the
//! clipboard, hides text or turns its direction around.

use std::borrow::Cow;

/// What stands in the place of a character that is not shown.
const MARK: char = '\u{fffd}';

/// A text of several lines: line breaks and tabs stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    filter(text, |c| matches!(c, '\n' | '\t'))
}

/// A text for one line: line breaks and tabs are not shown either.
pub fn printable_line(text: &str) -> Cow<'_, str> {
    filter(text, |_| false)
}

/// A text in one printable line of at most so many characters, with `…` behind it where something was cut off.
pub fn shorten_line(text: &str, most: usize) -> String {
    let line = crate::shorten(text, most).replace(['\n', '\r', '\t'], " ");
    printable_line(&line).into_owned()
}

fn filter(text: &str, stays: fn(char) -> bool) -> Cow<'_, str> {
    let hides = |c: char| is_harmful(c) && !stays(c);
    if !text.contains(hides) {
        return Cow::Borrowed(text);
    }
    // The two characters that end a line in other systems are one line break here.
    let text = if stays('\n') { text.replace("\r\n", "\n") } else { text.to_owned() };
    Cow::Owned(text.chars().map(|c| if hides(c) { MARK } else { c }).collect())
}

/// Controls of terminals (C0, DEL, C1), of the direction of text, and further ends of lines.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'
                | '\u{2029}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A title with `ESC ] 0 ; x BEL`, or with a sign that turns text around, reached the terminal of whoever looked.
    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        for (text, shown) in [
            ("a\u{1b}]0;x\u{7}b", "a\u{fffd}]0;x\u{fffd}b"),
            ("\u{1b}]52;c;eA==\u{1b}\\", "\u{fffd}]52;c;eA==\u{fffd}\\"),
            ("a\u{9b}31mb\u{7f}\0", "a\u{fffd}31mb\u{fffd}\u{fffd}"),
            ("x\u{202e}y\u{2066}z\u{200f}", "x\u{fffd}y\u{fffd}z\u{fffd}"),
            ("over\rwritten\u{8}\u{8}", "over\u{fffd}written\u{fffd}\u{fffd}"),
            ("a\u{2028}b\u{2029}c", "a\u{fffd}b\u{fffd}c"),
            ("one\r\ntwo\n\tthree", "one\ntwo\n\tthree"),
            ("é 👩\u{200d}👩\u{200d}👧 שלום ไทย", "é 👩\u{200d}👩\u{200d}👧 שלום ไทย"),
        ] {
            assert_eq!(printable(text), shown, "{text:?}");
        }
        assert_eq!(printable_line("a\n\tb\r\n"), "a\u{fffd}\u{fffd}b\u{fffd}\u{fffd}");
        let every: String = ('\0'..=char::MAX).collect();
        let left: Vec<char> = printable_line(&every).chars().filter(|c| is_harmful(*c)).collect();
        assert_eq!(left, []);
    }
}
