//! Brings the JSON Schemas of descriptions into one document.
//!
//! In a description each schema is a document of its own: `#/$defs/Message` is found inside it.
//! Here they share one, so definitions move to `components/schemas` as `Type.Message`, and local
//! references are turned to where their targets went.

use serde_json::{Map, Value};

/// Where schemas live in the document.
const COMPONENTS: &str = "#/components/schemas/";

/// Keywords whose values are data, not schemas: what looks like a reference there is none.
const DATA: [&str; 5] = ["const", "default", "enum", "example", "examples"];

/// The schemas so far, by their names in `components`.
#[derive(Debug, Default)]
pub(super) struct Schemas(Map<String, Value>);

impl Schemas {
    /// Takes in a schema that stands at `place` (`Type.method.input`), and answers what to write
    /// there: the schema itself, or a reference to where it went.
    pub(super) fn hoist(&mut self, schema: &Value, type_name: &str, place: &str) -> Value {
        let Value::Object(fields) = schema else {
            // `true` and `false` are schemas, everything else is none.
            return if schema.is_boolean() { schema.clone() } else { Value::Object(Map::new()) };
        };
        let mut fields = fields.clone();
        for dialect in ["$schema", "$id"] {
            fields.remove(dialect);
        }
        let mut moved = Vec::new();
        for keyword in ["$defs", "definitions"] {
            if let Some(Value::Object(definitions)) = fields.remove(keyword) {
                for (name, definition) in definitions {
                    moved.push((format!("#/{keyword}/{}", escape(&name)), name, definition));
                }
            }
        }
        let names = self.names_for(&moved, type_name);
        let root = self.root_for(place, &names);
        let mut turn = Turn { moved: &moved, names: &names, root: &root, root_meant: false };
        let mut schema = Value::Object(fields);
        turn.schema(&mut schema);
        let definitions = moved.iter().zip(&names).map(|((_, _, definition), name)| {
            let mut definition = definition.clone();
            turn.schema(&mut definition);
            (name.clone(), definition)
        });
        let definitions: Vec<_> = definitions.collect();
        let root_meant = turn.root_meant;
        self.0.extend(definitions);
        if !root_meant {
            return schema;
        }
        let reference = serde_json::json!({"$ref": format!("{COMPONENTS}{root}")});
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
    fn names_for(&self, moved: &[(String, String, Value)], type_name: &str) -> Vec<String> {
        let mut round = 1_u32;
        loop {
            let mut names: Vec<String> = Vec::new();
            for (at, (_, name, _)) in moved.iter().enumerate() {
                let numbered = if round == 1 { name.clone() } else { format!("{name}{round}") };
                let name = component(&format!("{type_name}.{numbered}"));
                // Two names may differ only in what a component's name cannot hold.
                let taken = names.contains(&name);
                names.push(if taken { format!("{name}.{at}") } else { name });
            }
            let free = moved.iter().zip(&names).all(|((_, _, definition), name)| {
                self.0.get(name).is_none_or(|known| {
                    let mut same = definition.clone();
                    Turn { moved, names: &names, root: "", root_meant: false }.schema(&mut same);
                    *known == same
                })
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
    /// Old pointer, name and schema of each definition.
    moved: &'a [(String, String, Value)],
    names: &'a [String],
    root: &'a str,
    /// Something refers to the schema as a whole, or into it: it must be a component, too.
    root_meant: bool,
}

impl Turn<'_> {
    fn schema(&mut self, schema: &mut Value) {
        match schema {
            Value::Object(fields) => {
                for (keyword, value) in fields.iter_mut() {
                    match value {
                        Value::String(target) if keyword == "$ref" => *target = self.target(target),
                        _ if DATA.contains(&keyword.as_str()) => {}
                        // Names of properties are not keywords.
                        Value::Object(inner) if is_by_name(keyword) => {
                            inner.values_mut().for_each(|schema| self.schema(schema));
                        }
                        Value::Object(_) | Value::Array(_) => self.schema(value),
                        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
                    }
                }
            }
            Value::Array(schemas) => schemas.iter_mut().for_each(|schema| self.schema(schema)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn target(&mut self, target: &str) -> String {
        let Some(pointer) = target.strip_prefix('#') else { return target.to_owned() };
        for ((old, _, _), new) in self.moved.iter().zip(self.names) {
            match target.strip_prefix(old.as_str()) {
                Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                    return format!("{COMPONENTS}{new}{rest}");
                }
                Some(_) | None => {}
            }
        }
        self.root_meant = true;
        if pointer.is_empty() || pointer.starts_with('/') {
            format!("{COMPONENTS}{}{pointer}", self.root)
        } else {
            // An anchor: we do not move those, so it means the whole.
            format!("{COMPONENTS}{}", self.root)
        }
    }
}

/// Keywords that hold schemas by names of the user's own.
fn is_by_name(keyword: &str) -> bool {
    ["properties", "patternProperties", "dependentSchemas", "$defs", "definitions"]
        .contains(&keyword)
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
