//! How wide the terminal is, and lines that fit it. Styles take no room.

use std::io;

use unicode_width::UnicodeWidthChar;

/// The columns of the terminal that stdout is; nothing where it is none, or says nothing.
pub(crate) fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// The line, cut with `…` where it is wider than `columns`; the styles behind the cut stay, so that they end.
pub(crate) fn cut(line: &str, columns: usize) -> String {
    if width(line) <= columns {
        return line.to_owned();
    }
    let (mut kept, mut used, mut is_full) = (String::new(), 0, false);
    for piece in pieces(line) {
        match piece {
            Piece::Style(style) => kept.push_str(style),
            Piece::Sign(..) if is_full => {}
            Piece::Sign(_, wide) if used + wide >= columns => {
                kept.push('…');
                is_full = true;
            }
            Piece::Sign(sign, wide) => {
                kept.push(sign);
                used += wide;
            }
        }
    }
    kept
}

/// The line, broken between words where it is wider than `columns`; what follows is indented by `indent`.
pub(crate) fn wrap(line: &str, columns: usize, indent: usize) -> String {
    let (mut wrapped, mut used) = (String::new(), 0);
    for (number, word) in line.split(' ').enumerate() {
        let wide = width(word);
        if number > 0 && used > indent && used + 1 + wide > columns {
            wrapped.push('\n');
            wrapped.extend(std::iter::repeat_n(' ', indent));
            used = indent;
        } else if number > 0 {
            wrapped.push(' ');
            used += 1;
        }
        wrapped.push_str(word);
        used += wide;
    }
    wrapped
}

fn width(line: &str) -> usize {
    pieces(line)
        .map(|piece| match piece {
            Piece::Style(_) => 0,
            Piece::Sign(_, wide) => wide,
        })
        .sum()
}

enum Piece<'a> {
    /// A control sequence that styles what follows.
    Style(&'a str),
    /// A character, and how many columns it takes.
    Sign(char, usize),
}

fn pieces(line: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let sign = rest.chars().next()?;
        let length = match sign {
            '\u{1b}' => rest.find('m').map_or(rest.len(), |end| end + 1),
            sign => sign.len_utf8(),
        };
        let (piece, behind) = rest.split_at(length);
        rest = behind;
        Some(match sign {
            '\u{1b}' => Piece::Style(piece),
            sign => Piece::Sign(sign, sign.width().unwrap_or(0)),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_at_the_edge_and_its_styles_end() {
        assert_eq!(cut("12345", 5), "12345");
        assert_eq!(cut("123456", 5), "1234…");
        assert_eq!(cut("\u{1b}[1m123456\u{1b}[0m", 5), "\u{1b}[1m1234…\u{1b}[0m");
        assert_eq!(cut("\u{1b}[1m12345\u{1b}[0m", 5), "\u{1b}[1m12345\u{1b}[0m");
        // Two columns each.
        assert_eq!(cut("漢字漢", 5), "漢字…");
    }

    #[test]
    fn words_go_to_the_next_line_under_the_indent() {
        assert_eq!(wrap("  one two three", 20, 4), "  one two three");
        assert_eq!(wrap("  one two three", 10, 4), "  one two\n    three");
        assert_eq!(
            wrap("  \u{1b}[1mone two\u{1b}[0m three", 10, 4),
            "  \u{1b}[1mone two\u{1b}[0m\n    three"
        );
        // A word that fits nowhere is not broken, and what is left of an indent is no line.
        assert_eq!(wrap("abc 1234567890 b", 6, 2), "abc\n  1234567890\n  b");
        assert_eq!(wrap("a 1234567890 b", 6, 2), "a 1234567890\n  b");
        for columns in 12..40 {
            let line = "        seen by the client     seq 1 to 58, each once: 29 before the cut";
            let wide = wrap(line, columns, 8).lines().map(width).max();
            assert!(wide <= Some(columns.max(14)), "{columns}: {wide:?}");
        }
    }
}
