//! The schemas of the document: of bodies as they are read, of answers as they are written, each type once.

use schemars::{
    JsonSchema, SchemaGenerator,
    generate::SchemaSettings,
    transform::{RecursiveTransform, Transform},
};
use serde_json::{Map, Value, json};
use wireproof_protocol::{ControlBody, absent_instead_of_null};

/// Where a schema comes from.
pub type SchemaOf = fn(&mut Schemas) -> Value;

/// Collects the types that a document names.
pub struct Schemas {
    read: SchemaGenerator,
    written: SchemaGenerator,
    controls: Map<String, Value>,
}

impl Default for Schemas {
    fn default() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            read: settings().for_deserialize().into_generator(),
            written: settings().for_serialize().into_generator(),
            controls: Map::new(),
        }
    }
}

impl Schemas {
    /// The schema of a body.
    pub fn read<T: JsonSchema>(&mut self) -> Value {
        self.read.subschema_for::<T>().to_value()
    }

    /// The schema of an answer.
    pub fn written<T: JsonSchema>(&mut self) -> Value {
        self.written.subschema_for::<T>().to_value()
    }

    /// The schema of a control frame as HTTP answers with it: its type among its fields, no time.
    pub fn control(&mut self, kind: &str) -> Value {
        if !self.controls.contains_key(kind) {
            let all = self.written.root_schema_for::<ControlBody>().to_value();
            let variants = all["oneOf"].as_array().into_iter().flatten();
            let found = variants.into_iter().find(|variant| variant["properties"]["type"]["const"] == kind);
            // A word that is no frame allows nothing; the tests of the document would see it.
            self.controls.insert(kind.to_owned(), found.cloned().unwrap_or(json!(false)));
            self.written.subschema_for::<ControlBody>();
        }
        json!({ "$ref": format!("#/components/schemas/{}", name_of(kind)) })
    }

    /// All that was named.
    pub fn finish(mut self) -> Map<String, Value> {
        let mut written = self.written.take_definitions(true);
        written.remove("ControlBody");
        written.extend(self.controls.into_iter().map(|(kind, schema)| (name_of(&kind), schema)));
        for schema in written.values_mut() {
            if let Ok(schema) = schema.try_into() {
                RecursiveTransform(absent_instead_of_null).transform(schema);
            }
        }
        written.extend(self.read.take_definitions(true));
        written
    }
}

/// `caught_up` becomes `CaughtUp`.
fn name_of(kind: &str) -> String {
    let words = kind.split('_').map(|word| word[..1].to_ascii_uppercase() + &word[1..]);
    words.collect()
}
