//! The `text_statistics` tool: counts what a text is made of.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use wireproof_protocol::cut_chars;

use crate::ToolError;

/// What the tool says about itself.
pub(crate) const DESCRIPTION: &str = "Counts the words, characters (Unicode code points), sentences and lines of a \
    text, and its longest word. A word is a run of non-space characters with at least one letter or digit.";

/// Most characters of the longest word that are given.
const MAX_WORD: usize = 1_000;

/// The text to look at.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct TextArguments {
    /// The text.
    text: String,
}

/// Counts; every text has statistics, an empty one zeros.
pub(crate) fn text_statistics(arguments: TextArguments) -> Result<Value, ToolError> {
    let text = arguments.text;
    let words: Vec<&str> = words(&text).collect();
    let mut longest = "";
    let mut longest_length = 0;
    for word in &words {
        let length = word.chars().count();
        if length > longest_length {
            (longest, longest_length) = (word, length);
        }
    }
    let spaces = text.chars().filter(|character| character.is_whitespace()).count();
    let characters = text.chars().count();
    Ok(json!({
        "words": words.len(),
        "characters": characters,
        "characters_without_spaces": characters - spaces,
        "letters": text.chars().filter(|character| character.is_alphabetic()).count(),
        "sentences": sentences(&text),
        "lines": text.lines().count(),
        "longest_word": cut_chars(longest, MAX_WORD),
        "longest_word_length": longest_length,
    }))
}

/// The words of a text without the punctuation around them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
        .map(|word| word.trim_matches(|character: char| !character.is_alphanumeric()))
        .filter(|word| !word.is_empty())
}

/// Stretches of words that end with `. ! ?` (or their wide forms) before a space, or with the text.
fn sentences(text: &str) -> usize {
    let ends = |word: &&str| {
        word.trim_end_matches(['"', '\'', ')', ']', '»', '”', '’'])
            .ends_with(['.', '!', '?', '…', '。', '！', '？'])
    };
    let (mut sentences, mut open) = (0, false);
    for word in text.split_whitespace() {
        open |= word.contains(char::is_alphanumeric);
        if open && ends(&word) {
            sentences += 1;
            open = false;
        }
    }
    sentences + usize::from(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(text: &str) -> Value {
        text_statistics(TextArguments { text: text.to_owned() }).unwrap()
    }

    #[test]
    fn counts_by_table() {
        for (text, words, sentences, lines) in [
            ("", 0, 0, 0),
            ("What is 17*23, and how many words are in this sentence?", 11, 1, 1),
            ("One. Two three!\nFour (\"five.\") Six", 6, 4, 2),
            ("Pi is 3.14, e.g. - or so", 6, 2, 1),
            ("日本語 です。 はい！", 3, 2, 1),
            ("... !!! ???", 0, 0, 1),
        ] {
            let value = statistics(text);
            let got = (value["words"].as_u64(), value["sentences"].as_u64(), value["lines"].as_u64());
            assert_eq!(got, (Some(words), Some(sentences), Some(lines)), "{text:?}");
        }
    }

    #[test]
    fn names_the_longest() {
        let value = statistics("The cat and the dog and the élève.");
        assert_eq!(value["longest_word"], "élève");
        assert_eq!(value["characters"], 34);
    }
}
