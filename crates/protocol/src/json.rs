//! The reading of JSON that others wrote: what cannot be kept exactly as it was said is refused, and so is what is nested
//! so deep that a reader could not follow.

use std::{collections::BTreeMap, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, value::RawValue};

use crate::ids::RequestId;

/// How deep objects and lists of one text may be nested.
pub const MAX_DEPTH: usize = 100;
/// How deep objects and lists of metadata may be nested, the metadata itself counted.
pub const MAX_METADATA_DEPTH: usize = 32;

/// The fields whose numbers are kept as they were said; all others are read as what they must be, or passed over.
const KEPT: [&str; 2] = ["metadata", "edited_arguments"];

/// Reads one JSON text; the error is a sentence that repeats nothing of it.
pub fn read_json(text: &[u8]) -> Result<Value, String> {
    let (value, inexact) = parse_json(text)?;
    inexact.map_or(Ok(value), Err)
}

/// Reads one JSON text, with a sentence on the first number in it that would be kept and is not exact.
pub(crate) fn parse_json(text: &[u8]) -> Result<(Value, Option<String>), String> {
    check_depth(text)?;
    let value = serde_json::from_slice(text)
        .map_err(|e| format!("Invalid JSON at line {}, column {}.", e.line(), e.column()))?;
    Ok((value, inexact_in(text, text)))
}

/// A sentence on the first inexact number in the kept fields of an object, which is a part of the text.
fn inexact_in(text: &[u8], object: &[u8]) -> Option<String> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_slice(object).ok()?;
    let field = |name: &str| fields.get(name).map(|field| field.get().as_bytes());
    let kept = KEPT.into_iter().filter_map(field).find_map(|part| inexact(text, part));
    let nested = |payload| if object.len() == text.len() { inexact_in(text, payload) } else { None };
    kept.or_else(|| field("payload").and_then(nested))
}

/// How deep a value is nested: 0 for what is neither object nor list.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// The request id in a text that is no good JSON, if it can be read: it stands before the fault, or what is wrong is
/// inside a value.
pub fn id_in(text: &str) -> Option<RequestId> {
    let mut found = Found::default();
    let mut reader = serde_json::Deserializer::from_str(text);
    // Where the text goes wrong does not matter: what was found up to there counts.
    let _ = reader.deserialize_map(Finder { found: &mut found, in_payload: false });
    RequestId::new(found.at_top.or(found.in_payload)?).ok()
}

#[derive(Default)]
struct Found {
    at_top: Option<String>,
    in_payload: Option<String>,
}

struct Finder<'a> {
    found: &'a mut Found,
    in_payload: bool,
}

impl<'de> Visitor<'de> for Finder<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "id" => {
                    let id = map.next_value::<Option<String>>()?;
                    if self.in_payload { self.found.in_payload = id } else { self.found.at_top = id }
                }
                "payload" if !self.in_payload => {
                    map.next_value_seed(Finder { found: self.found, in_payload: true })?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Finder<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

/// Refuses a text that is nested too deep; whether it is JSON is for the parser to say.
fn check_depth(text: &[u8]) -> Result<(), String> {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at = end_of_text(text, at),
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(format!("The JSON is nested more than {MAX_DEPTH} deep."));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// A sentence on the first number in a part of a text that is not kept exactly.
fn inexact(text: &[u8], part: &[u8]) -> Option<String> {
    let mut at = 0;
    while let Some(byte) = part.get(at) {
        match byte {
            b'"' => at = end_of_text(part, at),
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let end = part[at..].iter().position(|byte| !is_part(byte)).map_or(part.len(), |n| at + n);
                if !is_exact(&part[at..end]) {
                    let before = &text[..part.as_ptr().addr() - text.as_ptr().addr() + at];
                    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                    let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
                    return Some(format!(
                        "The number at line {line}, column {column} has more digits than can be kept; send it as text."
                    ));
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the text that begins at a quote ends: at its closing quote, or with everything.
fn end_of_text(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

/// True when a number is told back as it was said: a whole one in 64 bits, or one with as many digits as a float keeps.
/// What is no number is for the parser to refuse.
fn is_exact(number: &[u8]) -> bool {
    let Ok(number) = std::str::from_utf8(number) else { return true };
    if number.parse::<u64>().is_ok() || number.parse::<i64>().is_ok() {
        return true;
    }
    let Ok(float) = number.parse::<f64>() else { return true };
    float.is_finite() && digits(number) == digits(&format!("{float:e}"))
}

/// The digits of a number without the zeros around them, and the power of ten behind the last of them; a zero has none.
fn digits(number: &str) -> Option<(String, i64)> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{}{fraction}", whole.trim_start_matches('-'));
    let kept = all.trim_start_matches('0').trim_end_matches('0');
    if kept.is_empty() {
        return Some((String::new(), 0));
    }
    let zeros = all.len() - all.trim_end_matches('0').len();
    let exponent: i64 = exponent.parse().ok()?;
    Some((kept.to_owned(), exponent.checked_add(zeros as i64)?.checked_sub(fraction.len() as i64)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bug: a number beyond 64 bits was kept as the nearest float, and told back as another one.
    #[test]
    fn a_number_is_kept_as_it_was_said_or_refused() {
        for number in [
            "0",
            "-0",
            "7",
            "-7",
            "18446744073709551615",
            "-9223372036854775808",
            "0.1",
            "1.10",
            "1e5",
            "1E+5",
            "-1.5e-7",
            "100000000000000000000",
            "1e22",
            "0.30000000000000004",
            "5e-324",
            "1.7976931348623157e308",
            "0.0",
            "0e99",
            "123456789012345.6",
        ] {
            assert!(read_json(format!("{{\"metadata\":[{number}]}}").as_bytes()).is_ok(), "{number}");
        }
        for number in [
            "18446744073709551616",
            "-9223372036854775809",
            "123456789012345678901234567890",
            "0.12345678901234567890",
            "1.00000000000000000001",
            "12345678901234567890.0",
            "1e-400",
            "1e400",
            "9007199254740993.0",
        ] {
            let within = format!("{{\"type\":\"create_thread\",\n\"metadata\":[{number}]}}");
            let refused = read_json(within.as_bytes()).unwrap_err();
            let finite = number.parse::<f64>().is_ok_and(f64::is_finite);
            assert!(!finite || refused.contains("line 2, column 13"), "{number}: {refused}");
            assert!(!refused.contains(number), "{number}: {refused}");
        }
        for text in [
            r#"{"metadata":"18446744073709551616 and \" 1e400"}"#,
            r#"{"unknown":18446744073709551616,"metadata":{"n":1.5}}"#,
        ] {
            assert!(read_json(text.as_bytes()).is_ok(), "{text}: no number of it is kept inexactly");
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_refused() {
        let nested = |deep: usize| format!("{}{}", "[".repeat(deep), "]".repeat(deep));
        assert_eq!(depth(&read_json(nested(MAX_DEPTH).as_bytes()).unwrap()), MAX_DEPTH);
        let refused = read_json(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err();
        assert_eq!(refused, "The JSON is nested more than 100 deep.");
        assert!(read_json(b"[\"[[[[[[[[\"]").is_ok());
    }

    /// Bug: a frame with half an emoji was refused without its id, so its client waited for the answer.
    #[test]
    fn the_id_is_found_in_what_cannot_be_read() {
        for text in [
            r#"{"id":"a","type":"chat","content":"\ud83d"}"#,
            r#"{"type":"chat","content":"\ud83d","id":"a"}"#,
            r#"{"type":"chat","payload":{"content":"\ud83d","id":"a"}}"#,
            r#"{"payload":{"id":"b"},"id":"a","x":1e999}"#,
            r#"{"id":"a","type":"ping""#,
            r#"{"id":"a","type":"ping",}"#,
        ] {
            assert_eq!(id_in(text).as_ref().map(RequestId::as_str), Some("a"), "{text}");
        }
        for text in [
            "",
            "[]",
            r#"{"id":7,"x":1e999}"#,
            r#"{"id":"\ud83d"}"#,
            r#"{"x":{"id":"a"},"y":1e999}"#,
            "nonsense",
        ] {
            assert_eq!(id_in(text), None, "{text}");
        }
    }
}
