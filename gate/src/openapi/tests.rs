//! Holds the document against the rules of OpenAPI 3.1.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wasmverse_proto::admin::TypeInfo;

use super::document;
use crate::catalog::Known;

fn types(described: &[(&str, &str, Value)]) -> Value {
    let infos: Vec<_> = described
        .iter()
        .map(|(name, encoding, description)| TypeInfo {
            r#type: (*name).into(),
            encoding: (*encoding).into(),
            doc: "A type.".into(),
            description: description.to_string(),
            ..TypeInfo::default()
        })
        .collect();
    let document = document(Known::new(&infos).types());
    check(&document);
    document
}

/// The rules that a document can break here: references that lead nowhere, parameters of paths
/// that are not declared, names that are not unique or not legal.
#[track_caller]
fn check(document: &Value) {
    for reference in references(document) {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference}"));
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let declared: Vec<_> = item["parameters"].as_array().into_iter().flatten().collect();
        let names: BTreeSet<_> = declared
            .iter()
            .map(|parameter| {
                let target = parameter["$ref"].as_str().and_then(|r| r.strip_prefix('#'));
                let parameter = target.and_then(|p| document.pointer(p)).unwrap_or(parameter);
                assert!(parameter["in"] != "path" || parameter["required"] == true);
                parameter["name"].as_str().unwrap()
            })
            .collect();
        let wanted: BTreeSet<_> = path
            .split('/')
            .filter_map(|piece| piece.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        assert_eq!(names, wanted, "{path}");
        for method in ["get", "put", "post", "delete"] {
            let Some(operation) = item.get(method) else { continue };
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} is there twice");
            assert!(!operation["responses"].as_object().unwrap().is_empty(), "{id}");
        }
    }
    for component in document["components"]["schemas"].as_object().unwrap().keys() {
        let legal = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        assert!(component.chars().all(legal), "{component}");
    }
    let tags = document["tags"].as_array().unwrap();
    let names: BTreeSet<_> = tags.iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), tags.len());
}

fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str);
            let inner = fields.iter().filter(|(keyword, _)| *keyword != "const");
            own.into_iter().chain(inner.flat_map(|(_, value)| references(value))).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

fn method<'a>(document: &'a Value, path: &str) -> &'a Value {
    let operation = &document["paths"][path]["post"];
    assert!(operation.is_object(), "{path} is not there: {document:#}");
    operation
}

#[test]
fn a_method_is_a_path_with_its_schemas() {
    let counter = json!({"type": "Counter", "methods": [
        {"name": "add", "doc": "Adds.\n\nAnd answers the sum.", "input": {"type": "integer"},
            "output": {"type": "integer"}},
        {"name": "value", "mode": "read-only", "output": {"type": "integer"}},
        {"name": "reset"},
        {"name": "tick", "callers": "objects"},
    ]});
    let document = types(&[("Counter", "json", counter)]);
    let add = method(&document, "/v1/objects/Counter/{id}/add");
    assert_eq!(add["summary"], "Adds.");
    assert_eq!(add["requestBody"]["required"], true);
    let schema = |body: &Value| body["content"]["application/json"]["schema"].clone();
    assert_eq!(schema(&add["requestBody"]), json!({"type": "integer"}));
    assert_eq!(schema(&add["responses"]["200"]), json!({"type": "integer"}));
    assert_eq!(add["responses"]["204"], Value::Null);
    let value = method(&document, "/v1/objects/Counter/{id}/value");
    assert_eq!(
        (&value["requestBody"], &value["x-wasmverse-mode"]),
        (&Value::Null, &json!("read-only"))
    );
    let reset = method(&document, "/v1/objects/Counter/{id}/reset");
    assert!(reset["responses"]["204"].is_object());
    assert_eq!(reset["responses"]["200"], Value::Null);
    assert_eq!(document["paths"]["/v1/objects/Counter/{id}/tick"], Value::Null);
}

#[test]
fn a_type_without_schemas_may_take_and_answer_anything() {
    let document = types(&[
        ("Plain", "json", json!({"methods": [{"name": "go"}]})),
        ("Raw", "bytes", json!({"methods": [{"name": "go"}]})),
        ("Proto", "protobuf", json!({"methods": [{"name": "go", "input": "my.Request"}]})),
    ]);
    let go = method(&document, "/v1/objects/Plain/{id}/go");
    assert_eq!(go["requestBody"]["required"], false);
    assert!(go["responses"]["200"].is_object() && go["responses"]["204"].is_object());
    let go = method(&document, "/v1/objects/Raw/{id}/go");
    assert!(go["requestBody"]["content"]["application/octet-stream"].is_object());
    let go = method(&document, "/v1/objects/Proto/{id}/go");
    let content = &go["requestBody"]["content"]["application/x-protobuf"];
    assert_eq!(content["schema"]["description"], "`my.Request`");
}

#[test]
fn definitions_are_shared_by_name_and_kept_apart_where_they_differ() {
    let message = |kind: &str| {
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "array", "items": {"$ref": "#/$defs/Message"},
            "$defs": {
                "Message": {"type": "object", "properties": {
                    "user": {"$ref": "#/$defs/User"}, "$ref": {"type": kind},
                }},
                "User": {"type": kind},
                "Pair<A/B>": true,
            },
        })
    };
    let room = json!({"methods": [
        {"name": "recent", "output": message("string")},
        {"name": "all", "output": message("string")},
        {"name": "counts", "output": message("integer")},
    ]});
    let lobby = json!({"methods": [{"name": "recent", "output": message("string")}]});
    let document = types(&[("Room", "json", room), ("Lobby", "json", lobby)]);
    let items = |path: &str| {
        let output = &method(&document, path)["responses"]["200"]["content"]["application/json"];
        output["schema"]["items"]["$ref"].as_str().unwrap().to_owned()
    };
    let at = |name: &str| format!("#/components/schemas/{name}");
    assert_eq!(items("/v1/objects/Room/{id}/recent"), at("Room.Message"));
    assert_eq!(items("/v1/objects/Room/{id}/all"), at("Room.Message"));
    assert_eq!(items("/v1/objects/Room/{id}/counts"), at("Room.Message2"));
    assert_eq!(items("/v1/objects/Lobby/{id}/recent"), at("Lobby.Message"));
    let second = &document["components"]["schemas"]["Room.Message2"];
    assert_eq!(second["properties"]["user"]["$ref"], at("Room.User2"));
}

#[test]
fn a_schema_that_refers_to_itself_becomes_a_component() {
    let tree = json!({"type": "object", "properties": {
        "children": {"type": "array", "items": {"$ref": "#"}},
        "first": {"$ref": "#/properties/children"},
        "default": {"$ref": "#/definitions/a~1b"},
    }, "definitions": {"a/b": {"type": "null", "const": {"$ref": "#/not/one"}}}});
    let document = types(&[("Tree", "json", json!({"methods": [{"name": "put", "input": tree}]}))]);
    let put = method(&document, "/v1/objects/Tree/{id}/put");
    let schema = &put["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(*schema, json!({"$ref": "#/components/schemas/Tree.put.input"}));
    let tree = &document["components"]["schemas"]["Tree.put.input"];
    assert_eq!(tree["properties"]["children"]["items"]["$ref"], schema["$ref"]);
}

#[test]
fn whatever_a_description_holds_the_document_is_made() {
    let names = json!({"methods": [
        {"name": "", "input": true},
        {"name": 5},
        {"name": "a b{c}/d", "input": 5, "output": [], "mode": "?", "callers": 7, "doc": []},
        {"name": "ok", "input": null, "output": {"$defs": {"A<B>": true, "A[B]": false},
            "anyOf": [{"$ref": "#/$defs/A%3CB%3E"}, {"$ref": "#/$defs/A[B]"}]}},
        {"name": "lost", "input": {"$ref": "#/$defs/Gone"}, "output": {"$defs": {}, "anyOf": [
            {"$ref": "#/$defs"}, {"$ref": 5}, {"$ref": "#anchor"}, {"$ref": "https://x.example/y"},
            {"$ref": "#/%FF"},
        ]}},
        7,
    ]});
    let document = types(&[
        ("Odd", "json", names),
        ("None", "json", Value::Null),
        ("Text", "json", json!("no object")),
        ("List", "json", json!({"methods": {"name": "x"}})),
    ]);
    method(&document, "/v1/objects/Odd/{id}/a%20b%7Bc%7D%2Fd");
    let odd = method(&document, "/v1/objects/Odd/{id}/ok");
    let schema = &odd["responses"]["200"]["content"]["application/json"]["schema"]["anyOf"];
    assert_ne!(schema[0]["$ref"], schema[1]["$ref"]);
}
