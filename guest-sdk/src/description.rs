//! What a type says of itself, as JSON, with a JSON Schema for whatever travels.

use schemars::generate::SchemaSettings;
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::Value;

use crate::Payload;

/// What `#[object]` found out about a type.
#[derive(Debug, Serialize)]
pub struct Type {
    /// Its name.
    #[serde(rename = "type")]
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
    #[serde(serialize_with = "pairs")]
    pub limits: &'static [(&'static str, u64)],
    /// Its methods.
    pub methods: &'static [Method],
}

/// What `#[object]` found out about a method.
#[derive(Debug, Serialize)]
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
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "made")]
    pub input: Option<fn() -> Value>,
    /// What its result looks like.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "made")]
    pub output: Option<fn() -> Value>,
}

impl Type {
    /// The description as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("names, numbers and schemas have a form in JSON")
    }
}

fn pairs<S: Serializer>(pairs: &[(&str, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().copied())
}

fn made<S: Serializer>(made: &Option<fn() -> Value>, serializer: S) -> Result<S::Ok, S::Error> {
    made.ok_or_else(|| S::Error::custom("skipped when there is none"))?().serialize(serializer)
}

/// What an argument looks like.
pub fn input<T: Payload>() -> Value {
    settings().for_deserialize().into_generator().into_root_schema_for::<T>().to_value()
}

/// What a result looks like.
pub fn output<T: Payload>() -> Value {
    settings().for_serialize().into_generator().into_root_schema_for::<T>().to_value()
}

/// Each schema stands alone, so that it can be put into another document.
fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    })
}
