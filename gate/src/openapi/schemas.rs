//! Brings the JSON Schemas of descriptions into one document.
//!
//! In a description each schema is a document of its own: `#/$defs/Message` is found inside it.
//! Here they share one, so definitions move to `components/schemas` as `Type.Message`, and local
//! references are turned to where their targets went. One that leads nowhere is left out.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value, json};

/// Where schemas live in the document.
const COMPONENTS: &str = "#/components/schemas/";
/// Where they live in a schema of its own.
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];
/// Keywords whose values are data, not schemas: what looks like a reference there is none.
const DATA: [&str; 5] = ["const", "default", "enum", "example", "examples"];
/// Keywords that hold schemas by names of the user's own.
const BY_NAME: [&str; 5] =
    ["properties", "patternProperties", "dependentSchemas", "$defs", "definitions"];
/// What stands as itself in the fragment of a reference.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'~').remove(b'$').remove(b'_').remove(b'-').remove(b'.');

/// The schemas so far, by their names in `components`.
#[derive(Debug, Default)]
pub(super) struct Schemas(Map<String, Value>);

/// A definition that moves.
struct Definition {
    /// Where it was: `/$defs/Message`.
    pointer: String,
    name: String,
    schema: Value,
}

impl Schemas {
    /// Takes in a schema that stands at `place` (`Type.method.input`), and answers what to write
    /// there: the schema itself, or a reference to where it went.
    pub(super) fn hoist(&mut self, whole: &Value, type_name: &str, place: &str) -> Value {
        let Value::Object(fields) = whole else {
            // `true` and `false` are schemas, everything else is none.
            return if whole.is_boolean() { whole.clone() } else { json!({}) };
        };
        let mut fields = fields.clone();
        for dialect in ["$schema", "$id"] {
            fields.remove(dialect);
        }
        let mut moved = Vec::new();
        for keyword in DEFINITIONS {
            if let Some(Value::Object(definitions)) = fields.remove(keyword) {
                moved.extend(definitions.into_iter().map(|(name, schema)| Definition {
                    pointer: format!("/{keyword}/{}", escape(&name)),
                    name,
                    schema,
                }));
            }
        }
        let names = self.names_for(whole, &moved, type_name);
        let root = self.root_for(place, &names);
        let mut turn = Turn { whole, moved: &moved, names: &names, root: &root, root_meant: false };
        let schema = turn.turned(&Value::Object(fields));
        let hoisted: Vec<_> =
            moved.iter().map(|definition| turn.turned(&definition.schema)).collect();
        let root_meant = turn.root_meant;
        self.0.extend(names.into_iter().zip(hoisted));
        if !root_meant {
            return schema;
        }
        let reference = json!({"$ref": format!("{COMPONENTS}{root}")});
        self.0.insert(root, schema);
        reference
    }

    /// All of them, with the gate's own. Those have no dot in their names, the others have.
    pub(super) fn into_components(
        self,
        own: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Value {
        let mut all = self.0;
        all.extend(own.into_iter().map(|(name, schema)| (name.to_owned(), schema)));
        Value::Object(all)
    }

    /// A name for each definition: `Type.Message`, numbered on where another schema has that name.
    /// All of a schema's definitions are numbered together, since they may refer to each other.
    fn names_for(&self, whole: &Value, moved: &[Definition], type_name: &str) -> Vec<String> {
        let mut round = 1_u32;
        loop {
            let mut names: Vec<String> = Vec::new();
            for definition in moved {
                let number = if round == 1 { String::new() } else { round.to_string() };
                let mut name = component(&format!("{type_name}.{}{number}", definition.name));
                // Two names may differ only in what a component's name cannot hold.
                while names.contains(&name) {
                    name.push('_');
                }
                names.push(name);
            }
            let mut turn = Turn { whole, moved, names: &names, root: "", root_meant: false };
            let free = moved.iter().zip(&names).all(|(definition, name)| {
                self.0.get(name).is_none_or(|known| *known == turn.turned(&definition.schema))
            });
            if free {
                return names;
            }
            round += 1;
        }
    }

    /// A name for a schema as a whole that nothing else has.
    fn root_for(&self, place: &str, names: &[String]) -> String {
        let mut root = component(place);
        while self.0.contains_key(&root) || names.contains(&root) {
            root.push('_');
        }
        root
    }
}

/// Turns local references to where their targets went.
struct Turn<'a> {
    /// The schema as it was.
    whole: &'a Value,
    moved: &'a [Definition],
    names: &'a [String],
    root: &'a str,
    /// Something refers to the schema as a whole, or into it: it must be a component, too.
    root_meant: bool,
}

impl Turn<'_> {
    fn turned(&mut self, schema: &Value) -> Value {
        match schema {
            Value::Object(fields) => {
                let turned = fields.iter().filter_map(|(keyword, value)| {
                    let value = match (keyword.as_str(), value) {
                        ("$ref", Value::String(target)) => Value::String(self.target(target)?),
                        ("$ref", _) => return None,
                        (data, value) if DATA.contains(&data) => value.clone(),
                        // Names of properties are not keywords.
                        (by_name, Value::Object(inner)) if BY_NAME.contains(&by_name) => {
                            let named = inner.iter();
                            named
                                .map(|(name, schema)| (name.clone(), self.turned(schema)))
                                .collect()
                        }
                        (_, value) => self.turned(value),
                    };
                    Some((keyword.clone(), value))
                });
                Value::Object(turned.collect())
            }
            Value::Array(schemas) => schemas.iter().map(|schema| self.turned(schema)).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => schema.clone(),
        }
    }

    /// Where a reference leads now; none: nowhere, or out of the document.
    fn target(&mut self, target: &str) -> Option<String> {
        let pointer = percent_decode_str(target.strip_prefix('#')?).decode_utf8().ok()?;
        self.whole.pointer(&pointer)?;
        for (definition, name) in self.moved.iter().zip(self.names) {
            match pointer.strip_prefix(definition.pointer.as_str()) {
                Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                    let rest = utf8_percent_encode(rest, PLAIN);
                    return Some(format!("{COMPONENTS}{name}{rest}"));
                }
                Some(_) | None => {}
            }
        }
        // What holds the definitions is no schema itself.
        if DEFINITIONS.iter().any(|keyword| pointer.strip_prefix('/') == Some(keyword)) {
            return None;
        }
        self.root_meant = true;
        Some(format!("{COMPONENTS}{}{}", self.root, utf8_percent_encode(&pointer, PLAIN)))
    }
}

/// A name that OpenAPI allows: letters, digits, `.`, `_`, `-`.
fn component(name: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
    name.chars().map(|c| if legal(c) { c } else { '_' }).collect()
}

/// A name as a step of a JSON pointer.
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
