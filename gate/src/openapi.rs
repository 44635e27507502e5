//! OpenAPI 3.1, made from the live types: a path per method that clients may call.
//!
//! Schemas come from the types' descriptions, hoisted into `components` (see `schemas`). Whatever
//! a description holds, the document stays valid: what makes no sense there is left out.

mod schemas;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use wasmverse_core::{Callers, Encoding, ErrorKind, Mode};
use wasmverse_proto::convert::http_status;

use crate::catalog::Described;
use schemas::Schemas;

/// The tag of what concerns all types: no type can have that name.
const ANY: &str = "any object";
/// What stands as itself in a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.').remove(b'~');

/// The document for these types.
pub(crate) fn document(types: &[Described]) -> Value {
    let mut schemas = Schemas::default();
    let mut paths = objects_paths();
    let mut tags = vec![json!({"name": ANY, "description": "Objects of any type."})];
    for described in types {
        let name = &described.info.r#type;
        let mut tag = json!({"name": name});
        if !described.info.doc.is_empty() {
            tag["description"] = described.info.doc.as_str().into();
        }
        tags.push(tag);
        for method in described.methods() {
            let Some(method_name) =
                method["name"].as_str().filter(|name| !name.is_empty() && is_for_clients(method))
            else {
                continue;
            };
            let piece = utf8_percent_encode(method_name, PLAIN);
            paths.insert(
                format!("/v1/objects/{name}/{{id}}/{piece}"),
                json!({"parameters": [{"$ref": "#/components/parameters/Id"}],
                    "post": operation(described, method_name, method, &mut schemas)}),
            );
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Wasmverse",
            "summary": "Objects, called by type, id and method.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "servers": [{"url": "/"}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas.into_components(own_schemas()),
            "parameters": parameters(),
            "responses": responses(),
        },
    })
}

fn is_for_clients(method: &Value) -> bool {
    let callers = method["callers"].as_str().and_then(Callers::from_word).unwrap_or_default();
    callers != Callers::Objects
}

fn operation(
    described: &Described,
    method_name: &str,
    method: &Value,
    schemas: &mut Schemas,
) -> Value {
    let name = &described.info.r#type;
    let mode = method["mode"].as_str().and_then(Mode::from_word).unwrap_or_default();
    let mut operation = json!({
        "tags": [name],
        "operationId": format!("{name}.{method_name}"),
        "parameters": [
            {"$ref": "#/components/parameters/IdempotencyKey"},
            {"$ref": "#/components/parameters/Timeout"},
            {"$ref": "#/components/parameters/Session"},
        ],
        "responses": {
            "default": {"$ref": "#/components/responses/Error"},
        },
        "x-wasmverse-mode": mode.as_str(),
    });
    let doc = method["doc"].as_str().unwrap_or_default().trim();
    if let Some(first) = doc.lines().next() {
        operation["summary"] = first.into();
        operation["description"] = doc.into();
    }
    let input =
        body(described, method.get("input"), &format!("{name}.{method_name}.input"), schemas);
    if let Some(content) = input {
        let required = method.get("input").is_some();
        operation["requestBody"] = json!({"required": required, "content": content});
    }
    let output =
        body(described, method.get("output"), &format!("{name}.{method_name}.output"), schemas);
    let empty = output.is_none() || method.get("output").is_none();
    if let Some(content) = output {
        operation["responses"]["200"] = json!({"description": "The result.", "content": content});
    }
    if empty {
        operation["responses"]["204"] = json!({"description": "Done; there is no result."});
    }
    operation
}

/// The `content` of an argument or a result; none: there is none. A type that gives no schema at
/// all may take and answer anything.
fn body(
    described: &Described,
    schema: Option<&Value>,
    place: &str,
    schemas: &mut Schemas,
) -> Option<Value> {
    let media = media_type(described.encoding);
    let schema = match (schema.filter(|schema| !schema.is_null()), described.encoding) {
        (Some(schema), Encoding::Json) => schemas.hoist(schema, &described.info.r#type, place),
        (Some(Value::String(message)), Encoding::Protobuf | Encoding::Bytes) => {
            json!({"description": format!("`{message}`")})
        }
        (Some(_), Encoding::Protobuf | Encoding::Bytes) => json!({}),
        (None, _) if gives_schemas(described) => return None,
        (None, _) => json!({}),
    };
    Some(json!({media: {"schema": schema}}))
}

fn gives_schemas(described: &Described) -> bool {
    let mut methods = described.methods().iter();
    methods.any(|method| method.get("input").is_some() || method.get("output").is_some())
}

/// How a payload of that encoding is called in HTTP.
pub(crate) const fn media_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Json => "application/json",
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Bytes => "application/octet-stream",
    }
}

/// The routes that are there whatever the types.
fn objects_paths() -> Map<String, Value> {
    let error = json!({"$ref": "#/components/responses/Error"});
    let json_body = |schema: &str| json!({"application/json": {"schema": {"$ref": schema}}});
    let mut paths = Map::new();
    paths.insert(
        "/v1/objects".into(),
        json!({"get": {
            "tags": [ANY], "operationId": "list", "summary": "Lists objects by id.",
            "parameters": [
                {"name": "type", "in": "query", "schema": {"type": "string"}},
                {"name": "prefix", "in": "query", "schema": {"type": "string"}},
                {"name": "limit", "in": "query",
                    "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}},
                {"name": "page", "in": "query", "schema": {"type": "string"},
                    "description": "`next_page` of the page before."},
            ],
            "responses": {
                "200": {"description": "A page.", "content": json_body("#/components/schemas/ObjectPage")},
                "default": error,
            },
        }}),
    );
    paths.insert(
        "/v1/objects/{type}/{id}".into(),
        json!({
            "parameters": [
                {"name": "type", "in": "path", "required": true,
                    "schema": {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,63}$"}},
                {"$ref": "#/components/parameters/Id"},
            ],
            "get": {
                "tags": [ANY], "operationId": "get", "summary": "What is known of an object.",
                "responses": {
                    "200": {"description": "It is known.", "content": json_body("#/components/schemas/Object")},
                    "default": error,
                },
            },
            "put": {
                "tags": [ANY], "operationId": "create", "summary": "Makes an object exist.",
                "responses": {"201": {"description": "Created."}, "default": error},
            },
            "delete": {
                "tags": [ANY], "operationId": "delete",
                "summary": "Removes an object with all its state.",
                "responses": {"204": {"description": "It is gone, or never was."}, "default": error},
            },
        }),
    );
    paths.insert(
        "/v1/events".into(),
        json!({"get": {
            "tags": [ANY], "operationId": "events",
            "summary": "Opens or resumes a session: what objects push to its client.",
            "parameters": [
                {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}},
                {"name": "last_event_id", "in": "query", "schema": {"type": "string"}},
            ],
            "responses": {
                "200": {"description": "Server-sent events; the first is `session`.",
                    "content": {"text/event-stream": {"schema": {"type": "string"}}}},
                "default": error,
            },
        }}),
    );
    paths
}

fn parameters() -> Value {
    json!({
        "Id": {"name": "id", "in": "path", "required": true, "description": "Percent-encoded.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255}},
        "IdempotencyKey": {"name": "Idempotency-Key", "in": "header",
            "description": "Makes the call exactly once in effect (durable types).",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255}},
        "Timeout": {"name": "Wasmverse-Timeout", "in": "header",
            "description": "How long to wait for the answer.",
            "schema": {"type": "string", "examples": ["5s", "250ms"]}},
        "Session": {"name": "Wasmverse-Session", "in": "header",
            "description": "The token of a session, which makes its client the caller.",
            "schema": {"type": "string"}},
    })
}

fn responses() -> Value {
    let mut statuses: Vec<_> =
        ErrorKind::ALL.iter().map(|kind| format!("{} {kind}", http_status(*kind))).collect();
    statuses.sort();
    json!({"Error": {
        "description": format!("It failed: {}.", statuses.join(", ")),
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }})
}

fn own_schemas() -> [(&'static str, Value); 3] {
    let codes: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.as_str()).collect();
    [
        (
            "Error",
            json!({"type": "object", "required": ["error"], "properties": {"error": {
                "type": "object", "required": ["code", "message", "maybe_executed"], "properties": {
                    "code": {"enum": codes},
                    "message": {"type": "string"},
                    "object": {"type": "string", "examples": ["ChatRoom/general"]},
                    "retry_after_ms": {"type": "integer", "minimum": 0},
                    "maybe_executed": {"type": "boolean"},
                    "application": {"type": "object", "required": ["code"], "properties": {
                        "code": {"type": "string"}, "details": {},
                    }},
                },
            }}}),
        ),
        (
            "Object",
            json!({
                "type": "object",
                "required": ["type", "id", "state", "node", "revision", "updated_at"],
                "properties": {
                    "type": {"type": "string"},
                    "id": {"type": "string"},
                    "state": {"enum": ["live", "asleep", "stored"]},
                    "node": {"type": ["string", "null"]},
                    "revision": {"type": "integer"},
                    "updated_at": {"type": ["string", "null"], "format": "date-time"},
                },
            }),
        ),
        (
            "ObjectPage",
            json!({
                "type": "object", "required": ["objects", "next_page"], "properties": {
                    "objects": {"type": "array", "items": {"$ref": "#/components/schemas/Object"}},
                    "next_page": {"type": ["string", "null"]},
                },
            }),
        ),
    ]
}

#[cfg(test)]
mod tests;
