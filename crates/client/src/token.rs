//! What can be wrong with a token before anybody has looked into it: the marks of files and shells around it.

/// Why a text cannot be a token as it stands, with what to do about it and without the text; nothing when it may be one.
pub fn token_fault(token: &str) -> Option<String> {
    let inner = token.trim();
    let bare = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    let (what, mend) = if inner.is_empty() {
        ("it is empty", "print one with `wireproof token --user ID`")
    } else if token.starts_with('\u{feff}') {
        ("it begins with a byte order mark", "save its file as UTF-8 without one")
    } else if token.ends_with('\r') || token.ends_with("\r\n") {
        (
            "it ends with a carriage return, as lines of Windows files do",
            "take it away, for example with tr -d '\\r'",
        )
    } else if token.ends_with('\n') {
        ("it ends with a line break", "take it away, for example with tr -d '\\n'")
    } else if inner != token {
        ("there is a space before or after it", "take it away")
    } else if inner.starts_with(['"', '\'', '`']) || inner.ends_with(['"', '\'', '`']) {
        ("it stands in quotes", "take them away")
    } else if inner.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("bearer ")) {
        ("it begins with `Bearer`", "give what comes behind it alone")
    } else if inner.contains(['\n', '\r']) {
        ("it has more than one line", "give one token on one line")
    } else if inner.contains(char::is_whitespace) {
        ("there is a space in it", "a token is one word")
    } else if !inner.chars().all(bare) {
        ("it holds a character that no token has", "copy it anew: it has letters, digits, - _ and . alone")
    } else {
        return None;
    };
    Some(format!("{what}; {mend}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token with a carriage return at its end was answered with advice about addresses.
    #[test]
    fn each_mark_around_a_token_is_named() {
        for (token, words) in [
            ("", "empty"),
            (" \n", "empty"),
            ("a.b.c\r", "carriage return"),
            ("a.b.c\r\n", "carriage return"),
            ("a.b.c\n", "line break"),
            ("a.b.c ", "space before or after"),
            ("\u{a0}a.b.c", "space before or after"),
            ("\u{feff}a.b.c", "byte order mark"),
            ("\"a.b.c\"", "quotes"),
            ("'a.b.c", "quotes"),
            ("Bearer a.b.c", "Bearer"),
            ("a.b\nc", "more than one line"),
            ("a.b c", "a space in it"),
            ("a.b\u{200b}c", "no token has"),
            ("a.b.c\u{7f}", "no token has"),
            ("a.b.cé", "no token has"),
        ] {
            let fault = token_fault(token).unwrap_or_default();
            assert!(fault.contains(words) && !fault.contains("a.b"), "{token:?}: {fault:?}");
        }
        for token in ["a.b.c", "nonsense", "eyJ-_.x=", "ghp_0+/~"] {
            assert_eq!(token_fault(token), None);
        }
    }
}
