//! Takes tokens out of reports. A check sends them, and a careless server repeats them; a reader of a report, a history
//! or a log of CI must not get credentials from it.

use super::{Target, session::TOO_MUCH};
use crate::{record::Action, report::CheckResult};

/// What stands in the place of a token.
const INSTEAD: &str = "[token]";
/// The fewest characters of a given token that is looked for: a shorter one may be a word, or the user's name.
const TELLING: usize = 8;
/// How every signed token begins: `{"` in base64.
const BEGIN: &str = "eyJ";
/// The most characters of what was seen; the rest is in the history.
const MOST: usize = 16_000;
/// The last ops that are kept of a check in which a server did not stop talking.
const LAST: usize = 1000;

/// Takes the tokens out of a result, and what a server said too much.
pub(super) fn clean(target: &Target, result: &mut CheckResult) {
    let given: Vec<&str> = target
        .given()
        .iter()
        .map(|(_, token)| token.as_str())
        .filter(|token| token.len() >= TELLING)
        .collect();
    blank(&given, &mut result.what);
    result.what = wireproof_protocol::shorten(&result.what, MOST);
    if result.history.iter().any(|op| op.f == Action::Close && op.text.contains(TOO_MUCH)) {
        result.history.drain(..result.history.len().saturating_sub(LAST));
    }
    result.history.iter_mut().for_each(|op| blank(&given, &mut op.text));
}

fn blank(given: &[&str], text: &mut String) {
    for token in given.iter().filter(|token| !token.is_empty()) {
        if text.contains(token) {
            *text = text.replace(token, INSTEAD);
        }
    }
    let mut left = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(BEGIN) {
        let (before, from_here) = rest.split_at(at);
        left.push_str(before);
        let (word, behind) = from_here.split_at(length_of_word(from_here));
        left.push_str(if word.contains('.') { INSTEAD } else { word });
        rest = behind;
    }
    if rest.len() < text.len() {
        left.push_str(rest);
        *text = left;
    }
}

/// How far the signs go of which tokens are made.
fn length_of_word(text: &str) -> usize {
    let of_a_token = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=');
    text.bytes().take_while(|byte| of_a_token(byte)).count()
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
            ("eyJeyJ and eyJa.b.c", "eyJeyJ and [token]"),
        ];
        // What is long is gone through once, whatever is in it.
        let mut long = "eyJa.b ".repeat(200_000) + &"eyJ".repeat(400_000);
        blank(&[], &mut long);
        assert!(long.ends_with("eyJ") && !long.contains("eyJa"));
        for (said, left) in cases {
            let mut text = said.to_owned();
            blank(&["opaque-1234"], &mut text);
            assert_eq!(text, left);
        }
    }
}
