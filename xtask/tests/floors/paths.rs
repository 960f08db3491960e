//! Finds the paths that a source names from its crate (`crate::`, `super::`, `self::`), in `use` and inline, nested
//! groups and macros included. It works on tokens, so comments and strings do not count.

use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::Source;

/// One token of a source, and where it stands. Groups are laid flat between their brackets.
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
    pub(crate) module: Vec<String>,
}

impl Token {
    fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }

    /// Whether it belongs to the tests of its file.
    pub(crate) fn in_tests(&self) -> bool {
        self.module.iter().any(|name| name == "tests")
    }
}

/// A path named somewhere, from the root of its crate: `crate::store::Store` is `["store", "Store"]`.
pub(crate) struct Mention {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    pub(crate) in_tests: bool,
}

/// All tokens of a source, with the inline modules followed.
pub(crate) fn tokens(source: &Source) -> Vec<Token> {
    let stream = TokenStream::from_str(&source.text)
        .unwrap_or_else(|error| panic!("{}: cannot be read as Rust: {error}", source.file));
    let mut flat = Vec::new();
    flatten(stream, &source.module, &mut flat);
    flat
}

fn flatten(stream: TokenStream, module: &[String], flat: &mut Vec<Token>) {
    let mut last_two = [String::new(), String::new()];
    for tree in stream {
        let line = tree.span().start().line;
        let token = |text: &str| Token { text: text.to_owned(), line, module: module.to_vec() };
        match &tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                let mut inside = module.to_vec();
                if last_two[0] == "mod" && open == "{" {
                    inside.push(last_two[1].clone());
                }
                flat.push(token(open));
                flatten(group.stream(), &inside, flat);
                flat.push(token(close));
            }
            TokenTree::Literal(_) => flat.push(token("\"\"")),
            other => flat.push(token(&other.to_string())),
        }
        let name = if let TokenTree::Ident(name) = &tree { name.to_string() } else { String::new() };
        last_two = [std::mem::take(&mut last_two[1]), name];
    }
}

/// Every path that starts at the crate, at a parent or at the module itself.
pub(crate) fn mentions(tokens: &[Token]) -> Vec<Mention> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let is_head = at == 0 || tokens[at - 1].text != ":";
        if !is_head || !is_colons(tokens, at + 1) {
            continue;
        }
        let base = match token.text.as_str() {
            "crate" => Vec::new(),
            "self" => token.module.clone(),
            "super" => parent(&token.module),
            _ => continue,
        };
        branch(tokens, at + 3, base, &mut found);
    }
    found
}

/// Reads what follows a `::`: a name, a group of branches, `*`, or the end of the path.
fn branch(tokens: &[Token], at: usize, mut path: Vec<String>, found: &mut Vec<Mention>) -> usize {
    let Some(token) = tokens.get(at) else { return at };
    match token.text.as_str() {
        "{" => return group(tokens, at + 1, &path, found),
        "super" => path = parent(&path),
        "self" => {}
        "*" => path.push("*".to_owned()),
        name if token.is_name() => path.push(name.to_owned()),
        _ => {
            found.push(Mention { path, line: token.line, in_tests: token.in_tests() });
            return at;
        }
    }
    if is_colons(tokens, at + 1) {
        return branch(tokens, at + 3, path, found);
    }
    found.push(Mention { path, line: token.line, in_tests: token.in_tests() });
    at + 1
}

/// Reads the branches of a group up to its closing bracket, and returns the place after it.
fn group(tokens: &[Token], mut at: usize, path: &[String], found: &mut Vec<Mention>) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "}" => return at + 1,
            "," => at += 1,
            "as" => at += 2,
            _ => at = branch(tokens, at, path.to_vec(), found).max(at + 1),
        }
    }
    at
}

fn is_colons(tokens: &[Token], at: usize) -> bool {
    tokens.get(at).is_some_and(|t| t.text == ":") && tokens.get(at + 1).is_some_and(|t| t.text == ":")
}

fn parent(module: &[String]) -> Vec<String> {
    module.split_last().map(|(_, above)| above.to_vec()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(file: &str, text: &str) -> Vec<String> {
        mentions(&tokens(&Source::planted(file, text))).iter().map(|found| found.path.join("::")).collect()
    }

    #[test]
    fn use_lines_and_nested_groups() {
        assert_eq!(named("hub.rs", "use crate::store::Store;"), ["store::Store"]);
        let text = "use crate::{a, b::{self, c as d, e::*}, f::g};";
        assert_eq!(named("hub.rs", text), ["a", "b", "b::c", "b::e::*", "f::g"]);
        assert_eq!(named("hub.rs", "use {crate::a::B, super::c::D};"), ["a::B", "c::D"]);
    }

    #[test]
    fn parents_are_resolved_from_the_file_and_the_inline_module() {
        assert_eq!(
            named("runs/lease.rs", "use super::Run; use super::super::store;"),
            ["runs::Run", "store"]
        );
        assert_eq!(named("hub.rs", "mod tests { use super::*; use super::super::ws; }"), ["hub::*", "ws"]);
        assert_eq!(named("hub.rs", "use self::inner::X;"), ["hub::inner::X"]);
    }

    #[test]
    fn inline_paths_and_macros() {
        let text =
            "fn f() -> crate::error::Result<crate::ids::Id> { info!(\"{}\", crate::ws::count::<u8>()) }";
        assert_eq!(named("hub.rs", text), ["error::Result", "ids::Id", "ws::count"]);
        assert_eq!(named("hub.rs", "macro_rules! m { () => { $crate::ws::X } }"), ["ws::X"]);
    }

    #[test]
    fn comments_strings_and_visibility_do_not_count() {
        let text =
            "/// See [`crate::ws`].\n// crate::ws::X\npub(crate) fn f(&self) { let _ = \"crate::ws::X\"; }";
        assert!(named("hub.rs", text).is_empty());
    }

    #[test]
    fn lines_are_counted_from_one() {
        let found = mentions(&tokens(&Source::planted("hub.rs", "\nuse crate::{\n  a,\n  b,\n};")));
        assert_eq!(found.iter().map(|mention| mention.line).collect::<Vec<_>>(), [3, 4]);
    }
}
