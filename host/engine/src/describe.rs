//! A component's JSON description of itself, read strictly: every mistake is named by its field.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use wasmverse_core::{
    Activation, Callers, Durability, Encoding, MethodSpec, Mode, TypeName, TypeSpec,
};

use crate::{Config, Refusal};

/// The longest description, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 1 << 20;
/// The longest label of a revision, in bytes.
const LABEL_BYTES_MAX: usize = 128;
/// The longest name of a method.
const METHOD_LENGTH_MAX: usize = 64;

/// Reads a description.
pub(crate) fn parse(json: String, config: &Config) -> Result<TypeSpec, Refusal> {
    if json.len() > DESCRIPTION_BYTES_MAX {
        return Err(Refusal::new(
            format!("its description has {} bytes of at most {DESCRIPTION_BYTES_MAX}", json.len()),
            "shorten the texts and schemas in it",
        ));
    }
    let description = read(&json)?;
    let type_name = TypeName::new(&description.type_name)
        .map_err(|error| wrong("type", error, "name the type so"))?;
    check_label(&description.revision)?;
    let durability = description.durability.0;
    let wishes = description.limits.iter().map(|(name, value)| (name.as_str(), *value));
    let limits = config.limits.granting(wishes, &config.bounds).map_err(|error| {
        Refusal::new(
            format!("its description asks for what it cannot have: {error}"),
            "ask for less, or let the operator raise the bound",
        )
    })?;
    let mut methods = BTreeMap::new();
    for (place, method) in description.methods.into_iter().enumerate() {
        check_method(place, &method.name)?;
        let spec = MethodSpec { mode: method.mode.0, callers: method.callers.0 };
        if methods.insert(method.name.as_str().into(), spec).is_some() {
            let field = format!("methods[{place}].name");
            let cause = format!("`{}` is there twice", method.name);
            return Err(wrong(&field, cause, "give each method a name of its own"));
        }
    }
    Ok(TypeSpec {
        type_name,
        label: description.revision,
        doc: description.doc,
        schema: description.schema,
        durability,
        encoding: description.encoding.0,
        activation: description.activation.0,
        limits,
        methods,
        json,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the fields of a description")]
struct Description {
    #[serde(rename = "type")]
    type_name: String,
    #[serde(default)]
    revision: String,
    #[serde(default = "first_schema")]
    schema: u32,
    #[serde(default)]
    durability: Word<Durability>,
    #[serde(default)]
    encoding: Word<Encoding>,
    #[serde(default)]
    activation: Word<Activation>,
    #[serde(default)]
    limits: BTreeMap<String, u64>,
    #[serde(default)]
    methods: Vec<Method>,
    #[serde(default)]
    doc: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the fields of a method")]
struct Method {
    name: String,
    #[serde(default)]
    mode: Word<Mode>,
    #[serde(default)]
    callers: Word<Callers>,
    /// For people; kept in the description's own words, as the schemas are.
    #[serde(default, rename = "doc")]
    _doc: String,
    #[serde(default, rename = "input")]
    _input: Schema,
    #[serde(default, rename = "output")]
    _output: Schema,
}

fn first_schema() -> u32 {
    1
}

/// A JSON Schema, or the name of a protobuf message.
#[derive(Default)]
struct Schema;

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Object(_) | Value::Bool(_) | Value::String(_) | Value::Null => Ok(Self),
            Value::Array(_) => Err(de::Error::custom(Self::expected("an array"))),
            Value::Number(_) => Err(de::Error::custom(Self::expected("a number"))),
        }
    }
}

impl Schema {
    fn expected(found: &str) -> String {
        format!("{found} is neither a JSON Schema nor the name of a protobuf message")
    }
}

/// One word of a closed set.
#[derive(Default)]
struct Word<T>(T);

trait Words: Sized {
    const WORDS: &[&str];
    fn from_word(word: &str) -> Option<Self>;
}

macro_rules! words {
    ($($name:ident)+) => {$(
        impl Words for $name {
            const WORDS: &[&str] = Self::WORDS;
            fn from_word(word: &str) -> Option<Self> {
                Self::from_word(word)
            }
        }
    )+};
}

words!(Durability Encoding Activation Mode Callers);

impl<'de, T: Words> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(WordVisitor(PhantomData)).map(Self)
    }
}

struct WordVisitor<T>(PhantomData<T>);

impl<T: Words> de::Visitor<'_> for WordVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of `{}`", T::WORDS.join("`, `"))
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<T, E> {
        T::from_word(word).ok_or_else(|| E::invalid_value(de::Unexpected::Str(word), &self))
    }
}

fn read(json: &str) -> Result<Description, Refusal> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let description = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        if error.is_syntax() || error.is_eof() {
            return not_json(&error);
        }
        let field = if path == "." { "its top level" } else { path.as_str() };
        wrong(field, error, "correct that field")
    })?;
    deserializer.end().map_err(|error| not_json(&error))?;
    Ok(description)
}

fn not_json(error: &serde_json::Error) -> Refusal {
    Refusal::new(
        format!("its description is not JSON ({error})"),
        "let `describe` answer one JSON object",
    )
}

fn check_label(label: &str) -> Result<(), Refusal> {
    if label.len() <= LABEL_BYTES_MAX && !label.chars().any(char::is_control) {
        return Ok(());
    }
    let cause = format!("a label has up to {LABEL_BYTES_MAX} bytes and no control characters");
    Err(wrong("revision", cause, "shorten it"))
}

fn check_method(place: usize, name: &str) -> Result<(), Refusal> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let starts = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    if name.len() <= METHOD_LENGTH_MAX
        && name.bytes().next().is_some_and(starts)
        && name.bytes().all(legal)
    {
        return Ok(());
    }
    let cause = format!("`{}` is no method name", name.chars().take(80).collect::<String>());
    let fix =
        "use a letter or `_`, then up to 63 letters, digits, `_` or `-`, such as `send_message`";
    Err(wrong(&format!("methods[{place}].name"), cause, fix))
}

fn wrong(field: &str, cause: impl fmt::Display, fix: &str) -> Refusal {
    Refusal::new(format!("its description is wrong at `{field}`: {cause}"), fix)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(json: impl Into<String>) -> Result<TypeSpec, Refusal> {
        super::parse(json.into(), &Config::default())
    }

    #[test]
    fn only_the_type_is_needed() {
        let spec = parse(r#"{"type": "Echo"}"#).unwrap();
        assert_eq!(spec.type_name.as_str(), "Echo");
        assert_eq!((spec.schema, spec.durability), (1, Durability::Volatile));
        assert_eq!((spec.encoding, spec.activation), (Encoding::Json, Activation::OnCall));
        assert_eq!(spec.limits, Config::default().limits);
        assert!(spec.methods.is_empty() && spec.label.is_empty() && spec.doc.is_empty());
    }

    #[test]
    fn everything_can_be_said() {
        let json = json!({
            "type": "Counter", "revision": "v2 (blue)", "schema": 3, "durability": "periodic",
            "encoding": "protobuf", "activation": "explicit", "doc": "Counts.",
            "limits": {"cpu_ms": 20, "payload_bytes": 1000},
            "methods": [
                {"name": "add", "mode": "write", "callers": "both", "doc": "Adds.",
                 "input": {"type": "integer"}, "output": "pkg.Message"},
                {"name": "value", "mode": "read-only", "callers": "clients"},
                {"name": "on_client_gone", "callers": "objects", "input": true, "output": null},
            ],
        });
        let spec = parse(json.to_string()).unwrap();
        assert_eq!(spec.label, "v2 (blue)");
        assert_eq!(spec.schema, 3);
        assert_eq!(spec.limits.cpu, Duration::from_millis(20));
        assert_eq!(spec.methods["value"].mode, Mode::ReadOnly);
        assert_eq!(spec.methods["value"].callers, Callers::Clients);
        assert_eq!(spec.methods["on_client_gone"].callers, Callers::Objects);
        assert_eq!(spec.json, json.to_string());
    }

    #[test]
    fn every_mistake_is_named_by_its_field() {
        let long = "x".repeat(65);
        let two = |a: &str, b: &str| {
            format!(r#"{{"type":"T","methods":[{{"name":"{a}"}},{{"name":"{b}"}}]}}"#)
        };
        let cases = [
            (String::new(), "not JSON"),
            ("{".into(), "not JSON"),
            ("hello".into(), "not JSON"),
            (r#"{"type":"T"} x"#.into(), "not JSON"),
            ("[]".into(), "top level"),
            ("{}".into(), "missing field `type`"),
            (r#"{"type":7}"#.into(), "`type`"),
            (r#"{"type":"9 lives"}"#.into(), "`type`"),
            (r#"{"type":"T","type":"U"}"#.into(), "duplicate field `type`"),
            (r#"{"type":"T","colour":"red"}"#.into(), "unknown field `colour`"),
            (r#"{"type":"T","revision":"a\nb"}"#.into(), "`revision`"),
            (r#"{"type":"T","schema":-1}"#.into(), "`schema`"),
            (r#"{"type":"T","schema":"1"}"#.into(), "`schema`"),
            (r#"{"type":"T","durability":"forever"}"#.into(), "`durability`"),
            (r#"{"type":"T","encoding":"xml"}"#.into(), "`encoding`"),
            (r#"{"type":"T","activation":true}"#.into(), "`activation`"),
            (r#"{"type":"T","doc":null}"#.into(), "`doc`"),
            (r#"{"type":"T","limits":{"cpu":1}}"#.into(), "limits.cpu"),
            (r#"{"type":"T","limits":{"cpu_ms":0}}"#.into(), "limits.cpu_ms"),
            (r#"{"type":"T","limits":{"cpu_ms":1001}}"#.into(), "1 to 1000"),
            (r#"{"type":"T","limits":{"cpu_ms":1.5}}"#.into(), "`limits.cpu_ms`"),
            (r#"{"type":"T","methods":{}}"#.into(), "`methods`"),
            (r#"{"type":"T","methods":[{}]}"#.into(), "missing field `name`"),
            (
                r#"{"type":"T","methods":[{"name":"a","mode":"readonly"}]}"#.into(),
                "`methods[0].mode`",
            ),
            (
                r#"{"type":"T","methods":[{"name":"a","callers":"me"}]}"#.into(),
                "`methods[0].callers`",
            ),
            (r#"{"type":"T","methods":[{"name":"a","input":[1]}]}"#.into(), "`methods[0].input`"),
            (
                r#"{"type":"T","methods":[{"name":"a","returns":1}]}"#.into(),
                "unknown field `returns`",
            ),
            (two("a", "a"), "`methods[1].name`"),
            (two("a", ""), "`methods[1].name`"),
            (two("a", "b c"), "`methods[1].name`"),
            (two("a", "9"), "`methods[1].name`"),
            (two("a", &long), "`methods[1].name`"),
            (format!(r#"{{"type":"T","doc":"{}"}}"#, "x".repeat(1 << 20)), "1048576"),
        ];
        for (json, expected) in cases {
            let shown: String = json.chars().take(80).collect();
            let refusal = parse(json).unwrap_err();
            assert!(refusal.cause.contains(expected), "{shown}: {refusal}");
            assert!(!refusal.fix.is_empty());
        }
    }

    #[test]
    fn a_wrong_word_is_answered_with_the_right_ones() {
        let refusal = parse(r#"{"type":"T","durability":"forever"}"#).unwrap_err();
        for word in Durability::WORDS {
            assert!(refusal.cause.contains(word), "{refusal}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_no_crash() {
        let deep = format!(r#"{{"type":"T","methods":{}"#, "[".repeat(100_000));
        assert!(parse(deep).is_err());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-zA-Z_-]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            let keys = prop::sample::select(vec![
                "type", "methods", "name", "mode", "limits", "cpu_ms", "doc", "input", "schema",
            ]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(keys.prop_map(str::to_owned), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = parse(text);
        }

        #[test]
        fn any_json_is_read_or_refused_with_a_fix(json in any_json()) {
            if let Err(refusal) = parse(json.to_string()) {
                prop_assert!(!refusal.cause.is_empty() && !refusal.fix.is_empty());
            }
        }

        #[test]
        fn every_legal_description_is_read(
            name in "[A-Za-z][A-Za-z0-9_-]{0,63}",
            methods in prop::collection::btree_set("[a-z_][a-z0-9_-]{0,63}", 0..6),
            cpu in 1u64..=1000,
        ) {
            let listed: Vec<_> = methods.iter().map(|name| json!({"name": name})).collect();
            let json = json!({"type": name, "limits": {"cpu_ms": cpu}, "methods": listed});
            let spec = parse(json.to_string()).unwrap();
            prop_assert_eq!(spec.type_name.as_str(), name.as_str());
            prop_assert_eq!(spec.methods.len(), methods.len());
            prop_assert_eq!(spec.limits.cpu, Duration::from_millis(cpu));
        }
    }
}
