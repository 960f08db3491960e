//! Why an address cannot be used, without what may be secret in it.

/// Most characters of an address that an error shows.
const SHOWN: usize = 120;

/// Why an address cannot be used: what was given, what is wrong with it, and what one looks like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{shown:?} cannot be used as an address: {why}")]
pub struct AddressError {
    shown: String,
    why: String,
    example: &'static str,
}

impl AddressError {
    pub(super) fn new(text: &str, why: impl Into<String>, example: &'static str) -> Self {
        Self { shown: shown(text), why: why.into(), example }
    }

    /// What was given, without user, password, query and fragment.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What is wrong, and what to write, without the address.
    pub fn reason(&self) -> String {
        format!("{}; {}", self.why, self.next())
    }

    /// What to do about it.
    pub fn next(&self) -> String {
        format!("write it like {}", self.example)
    }
}

/// Without user, password, query and fragment, and not endless.
fn shown(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let (rest, more) = match rest.find(['?', '#']) {
        Some(at) => (&rest[..at], format!("{}…", &rest[at..=at])),
        None => (rest, String::new()),
    };
    let colon = if text.contains("://") { "://" } else { "" };
    let rest = rest.rsplit_once('@').map_or(rest.to_owned(), |(_, rest)| format!("…@{rest}"));
    let whole = format!("{scheme}{colon}{rest}{more}");
    match whole.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole,
    }
}

/// What no address holds, wherever it stands.
pub(super) fn look_at_characters(text: &str) -> Result<(), String> {
    match text.chars().find(|c| !c.is_ascii_graphic() || "\\\"<>^`{|}".contains(*c)) {
        _ if text.is_empty() => Err("it is empty".to_owned()),
        Some(c) if c.is_whitespace() => Err("it holds a space or a line break".to_owned()),
        Some(c) => Err(format!("it holds the character {c:?}, which an address writes as %XX")),
        None => Ok(()),
    }
}
