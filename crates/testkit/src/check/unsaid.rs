//! What no report may say: tokens. A check sends them, and a careless server repeats them; whoever reads a report, a history
//! or a log of CI must not be able to come in with what stands there.

use super::Target;
use crate::report::CheckResult;

/// What stands in the place of a token.
const INSTEAD: &str = "[token]";
/// The fewest characters of a given token that is looked for: a shorter one may be a word, or the user's name.
const TELLING: usize = 8;
/// How every signed token begins: `{"` in base64.
const BEGIN: &str = "eyJ";
/// The most characters of what was seen; the rest is in the history.
const MOST: usize = 16_000;

/// Takes the tokens out of a result, and what a server said too much.
pub(super) fn clean(target: &Target, result: &mut CheckResult) {
    let given: Vec<&str> = target
        .given()
        .iter()
        .map(|(_, token)| token.as_str())
        .filter(|token| token.len() >= TELLING)
        .collect();
    blank(&given, &mut result.what);
    if let Some((end, _)) = result.what.char_indices().nth(MOST) {
        result.what.truncate(end);
        result.what.push('…');
    }
    result.history.iter_mut().for_each(|op| blank(&given, &mut op.text));
}

fn blank(given: &[&str], text: &mut String) {
    for token in given.iter().filter(|token| !token.is_empty()) {
        if text.contains(token) {
            *text = text.replace(token, INSTEAD);
        }
    }
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(BEGIN)).map(|at| from + at) {
        from = at + BEGIN.len();
        if let Some(length) = signed(&text[at..]) {
            text.replace_range(at..at + length, INSTEAD);
            from = at + INSTEAD.len();
        }
    }
}

/// How long the token is that a text begins with; nothing when it is none: three parts, of which the last may be empty or,
/// in a token that was cut, absent.
fn signed(text: &str) -> Option<usize> {
    let of_a_token = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=');
    let length = text.bytes().take_while(|byte| of_a_token(byte)).count();
    (text[..length].matches('.').count() >= 1).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A history held the tokens that a check renewed with, good for another hour; so did the report made of it.
    #[test]
    fn tokens_are_taken_out_wherever_they_stand_and_nothing_else_is() {
        let cases = [
            (
                r#"{"token":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.a-_b","id":"1"}"#,
                r#"{"token":"[token]","id":"1"}"#,
            ),
            (
                "?token=eyJh.eyJz. is no token, eyJh.eyJz neither",
                "?token=[token] is no token, [token] neither",
            ),
            ("opaque-1234 and opaque-1234", "[token] and [token]"),
            ("eyJust a word", "eyJust a word"),
            ("é eyJ", "é eyJ"),
        ];
        for (said, left) in cases {
            let mut text = said.to_owned();
            blank(&["opaque-1234"], &mut text);
            assert_eq!(text, left);
        }
    }
}
