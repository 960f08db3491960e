//! What metadata may hold, as a schema: any JSON whose numbers are kept as they were said.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// What a client keeps with a thread.
pub type Metadata = BTreeMap<String, MetadataValue>;

/// One value of metadata. Other numbers than those of the schema are taken when a double keeps all their digits.
pub struct MetadataValue;

impl JsonSchema for MetadataValue {
    fn schema_name() -> Cow<'static, str> {
        "MetadataValue".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<Self>();
        json_schema!({
            "description": "Any JSON. A number beyond these bounds is taken when a double keeps all its digits.",
            "anyOf": [
                { "type": ["null", "boolean", "string"] },
                { "type": "integer", "minimum": i64::MIN, "maximum": u64::MAX },
                { "type": "number", "minimum": -1e15, "maximum": 1e15 },
                { "type": "array", "items": value },
                { "type": "object", "additionalProperties": value },
            ],
        })
    }
}
