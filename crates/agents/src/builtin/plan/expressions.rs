//! Finds formulas among words: "two plus 3", "17 x 23", "the square root of 144", "15% of 80".

use super::{arithmetic::is_formula, numerals};

/// Phrases for signs, longest first where one holds another.
const PHRASES: [(&str, &str); 22] = [
    ("multiplied by", "*"),
    ("divided by", "/"),
    ("raised to the power of", "^"),
    ("to the power of", "^"),
    ("the square root of", "sqrt"),
    ("square root of", "sqrt"),
    ("the factorial of", "factorial"),
    ("factorial of", "factorial"),
    ("percent of", "% of"),
    ("per cent of", "% of"),
    ("percent", "%"),
    ("plus", "+"),
    ("minus", "-"),
    ("times", "*"),
    ("modulo", "mod"),
    ("squared", "^2"),
    ("cubed", "^3"),
    ("=", " "),
    ("sqrt (", "sqrt("),
    ("**", "^"),
    ("half of", "0.5 *"),
    ("a quarter of", "0.25 *"),
];

/// All formulas with at least one operation in a text in lower case, in order.
pub(super) fn find(lower: &str) -> Vec<String> {
    let mut text = lower.to_owned();
    for (phrase, sign) in PHRASES {
        if text.contains(phrase) {
            text = replace_words(&text, phrase, sign);
        }
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let (mut formulas, mut formula) = (Vec::new(), Formula::default());
    for (place, word) in words.iter().enumerate() {
        let next = words.get(place + 1).copied().unwrap_or_default();
        match piece(word, next, &formula) {
            Some(piece) => {
                formula.push(piece.trim_end_matches(['?', ';', ':', '.', ',']));
                // Inside a call a comma parts arguments; outside, it ends the formula.
                if piece.ends_with(['?', ';', ':', '.', ',']) && !(piece.ends_with(',') && formula.is_open())
                {
                    formula.finish(&mut formulas);
                } else if piece.ends_with(',') {
                    formula.text.push(',');
                }
            }
            None => formula.finish(&mut formulas),
        }
    }
    formula.finish(&mut formulas);
    formulas
}

/// Replaces a phrase where it stands between words, numbers or signs, but not inside a word.
fn replace_words(text: &str, phrase: &str, sign: &str) -> String {
    let (mut replaced, mut at) = (String::with_capacity(text.len()), 0);
    let wordy = phrase.starts_with(char::is_alphabetic);
    for (found, _) in text.match_indices(phrase) {
        let end = found + phrase.len();
        let inside = wordy
            && (text[..found].ends_with(char::is_alphabetic) || text[end..].starts_with(char::is_alphabetic));
        if found < at || inside {
            continue;
        }
        replaced.push_str(&text[at..found]);
        replaced.push_str(&if wordy && !sign.starts_with('^') {
            format!(" {sign} ")
        } else {
            sign.to_owned()
        });
        at = end;
    }
    replaced.push_str(&text[at..]);
    replaced
}

/// The word as it stands in a formula, or nothing if it ends one.
fn piece(word: &str, next: &str, formula: &Formula) -> Option<String> {
    let bare = word.trim_end_matches(['?', ';', ':', '.', ',']);
    let ending = &word[bare.len()..];
    let number_next = next.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '(' | '-'));
    match bare {
        "of" if formula.text.ends_with('%') => Some("of".to_owned()),
        "x" if formula.ends_with_number() && number_next => Some("*".to_owned()),
        "factorial" if formula.text.is_empty() && number_next => Some("factorial".to_owned()),
        "mod" if !formula.text.is_empty() => Some("mod".to_owned()),
        "pi" => Some(format!("pi{ending}")),
        "e" | "" => None,
        _ => match numerals::digits(bare) {
            Some(digits) => Some(digits + ending),
            None => {
                let crossed = crossed(bare);
                is_formula(&crossed).then_some(crossed + ending)
            }
        },
    }
}

/// `17x23` with the sign for times.
fn crossed(word: &str) -> String {
    let parts: Vec<&str> = word.split('x').collect();
    let digits = |part: &&str| {
        part.starts_with(|c: char| c.is_ascii_digit()) && part.ends_with(|c: char| c.is_ascii_digit())
    };
    if parts.len() > 1 && parts.iter().all(digits) { parts.join("*") } else { word.to_owned() }
}

/// A formula in the making.
#[derive(Default)]
struct Formula {
    text: String,
    open: usize,
}

impl Formula {
    fn push(&mut self, piece: &str) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(piece);
        self.open = (self.open + piece.matches('(').count()).saturating_sub(piece.matches(')').count());
    }

    fn is_open(&self) -> bool {
        self.open > 0
    }

    fn ends_with_number(&self) -> bool {
        self.text.ends_with(|c: char| c.is_ascii_digit() || c == ')')
    }

    /// Keeps the formula if it has something to calculate, and starts anew.
    fn finish(&mut self, formulas: &mut Vec<String>) {
        let text = std::mem::take(self).text;
        let text = match text.strip_prefix("factorial ") {
            Some(of) => format!("{of}!"),
            None => text,
        };
        if has_operation(&text) {
            formulas.push(text);
        }
    }
}

/// A digit, and a sign or a function that does something with it.
fn has_operation(text: &str) -> bool {
    let between = text.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '(' | ')' | '√' | '!'));
    let acts = |c: char| "+-−–*/×÷·^%!√²³".contains(c);
    let number = text.contains(|c: char| c.is_ascii_digit()) || text.contains("pi");
    let percent = text.ends_with('%');
    number && (between.contains(acts) || between.contains(char::is_alphabetic) && between != "pi" || percent)
}
