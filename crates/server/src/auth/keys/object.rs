//! A JSON object in which no name comes twice: of two claims of one name, different readers believe different ones.

use std::fmt;

use serde::{
    Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::{Map, Value};

/// The object that the text is; nothing when it is none, or a name comes twice in it.
pub fn parse(text: &[u8]) -> Option<Map<String, Value>> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let object = reader.deserialize_map(Once).ok()?;
    reader.end().ok()?;
    Some(object)
}

struct Once;

impl<'de> Visitor<'de> for Once {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object whose names are all different")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, value)) = entries.next_entry::<String, Value>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a name comes twice"));
            }
        }
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_once_and_the_text_ends_with_the_object() {
        assert_eq!(parse(br#" {"a":1,"b":{"a":2}} "#).unwrap().len(), 2);
        for bad in [
            r#"{"a":1,"a":1}"#,
            // The same name, written in two ways.
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":1}{}"#,
            r#"{"a":1e999}"#,
            r#"{"a":NaN}"#,
            "[]",
            "",
            "null",
        ] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(parse(b"{\"a\":\"\xff\"}").is_none());
        assert!(parse("{\"a\":".repeat(2000).as_bytes()).is_none());
    }
}
