//! A message with `{names}` in it, each of which stands for a JSON value.

use serde::Deserialize;
use serde_json::Value;

/// A text such as `{"type":"chat","content":{text}}`: a name of letters in braces stands for a value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Template(String);

impl Template {
    /// A template of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// True when the name stands in it.
    pub fn names(&self, name: &str) -> bool {
        self.0.contains(&format!("{{{name}}}"))
    }

    /// The text with the values in the places of their names, written as JSON.
    pub fn fill(&self, values: &[(&str, Value)]) -> String {
        self.put(values, Value::to_string)
    }

    /// The text with the values in the places of their names, as they are: for addresses.
    pub fn fill_plain(&self, values: &[(&str, Value)]) -> String {
        self.put(values, |value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    }

    /// One pass: what a value brings in is not looked at again.
    fn put(&self, values: &[(&str, Value)], write: impl Fn(&Value) -> String) -> String {
        let (mut filled, mut rest) = (String::with_capacity(self.0.len() + 64), self.0.as_str());
        while let Some(open) = rest.find('{') {
            let (before, from) = rest.split_at(open);
            filled.push_str(before);
            let known = values.iter().find_map(|(name, value)| {
                let after = from[1..].strip_prefix(name)?.strip_prefix('}')?;
                Some((value, after))
            });
            rest = match known {
                Some((value, after)) => {
                    filled.push_str(&write(value));
                    after
                }
                None => {
                    filled.push('{');
                    &from[1..]
                }
            };
        }
        filled + rest
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_become_json_and_what_they_bring_is_left_alone() {
        let template = Template::new(r#"{"type":"chat","content":{text},"id":{id}}"#);
        let filled = template.fill(&[("text", json!("say \"{id}\"")), ("id", json!(7))]);
        assert_eq!(filled, r#"{"type":"chat","content":"say \"{id}\"","id":7}"#);
    }
}
