//! What a type says of itself, as JSON, with a JSON Schema for whatever travels.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};

/// What `#[object]` found out about a type.
#[derive(Debug)]
pub struct Type {
    /// Its name.
    pub name: &'static str,
    /// A label for people.
    pub revision: &'static str,
    /// The version of its state.
    pub schema: u32,
    /// `volatile`, `periodic` or `durable`.
    pub durability: &'static str,
    /// `json` or `bytes`.
    pub encoding: &'static str,
    /// `on-call` or `explicit`.
    pub activation: &'static str,
    /// A paragraph for people.
    pub doc: &'static str,
    /// Limits by name.
    pub limits: &'static [(&'static str, u64)],
    /// Its methods.
    pub methods: &'static [Method],
}

/// What `#[object]` found out about a method.
#[derive(Debug)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// `write` or `read-only`.
    pub mode: &'static str,
    /// `both`, `clients` or `objects`.
    pub callers: &'static str,
    /// A paragraph for people.
    pub doc: &'static str,
    /// What its argument looks like.
    pub input: Option<fn() -> Value>,
    /// What its result looks like.
    pub output: Option<fn() -> Value>,
}

impl Type {
    /// The description as JSON.
    pub fn to_json(&self) -> String {
        let limits: Map<_, _> =
            self.limits.iter().map(|(name, limit)| ((*name).into(), (*limit).into())).collect();
        let mut json = object([
            ("type", self.name.into()),
            ("revision", self.revision.into()),
            ("schema", self.schema.into()),
            ("durability", self.durability.into()),
            ("encoding", self.encoding.into()),
            ("activation", self.activation.into()),
            ("limits", limits.into()),
        ]);
        if !self.doc.is_empty() {
            json.insert("doc".into(), self.doc.into());
        }
        let methods = self.methods.iter().map(Method::to_json).collect();
        json.insert("methods".into(), Value::Array(methods));
        Value::Object(json).to_string()
    }
}

impl Method {
    fn to_json(&self) -> Value {
        let mut json = object([
            ("name", self.name.into()),
            ("mode", self.mode.into()),
            ("callers", self.callers.into()),
            ("doc", self.doc.into()),
        ]);
        for (name, schema) in [("input", self.input), ("output", self.output)] {
            if let Some(schema) = schema {
                json.insert(name.into(), schema());
            }
        }
        json.into()
    }
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What an argument looks like.
pub fn input<T: JsonSchema>() -> Value {
    settings().for_deserialize().into_generator().into_root_schema_for::<T>().to_value()
}

/// What a result looks like.
pub fn output<T: JsonSchema>() -> Value {
    settings().for_serialize().into_generator().into_root_schema_for::<T>().to_value()
}

/// Each schema stands alone, so that it can be put into another document.
fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    })
}
