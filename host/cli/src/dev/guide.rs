//! What `dev` prints when clients may come in: where, and the next two commands to type.

use std::{fmt::Write as _, time::Duration};

use serde_json::Value;
use wasmverse_gate::Addresses;
use wasmverse_node::TypeEntry;

use super::Size;
use crate::output::{plural, program};

/// Where the command line looks if it is not told.
const DEFAULT_HTTP: &str = "127.0.0.1:8080";

/// The words for one running system.
#[derive(Debug)]
pub(crate) struct Guide {
    program: String,
    /// Where HTTP and gRPC clients come in: at the first gate, and at the others.
    first: (String, String),
    others: Vec<(String, String)>,
    size: Size,
    has_page: bool,
    types: Vec<String>,
    /// An object, a method of it and its argument, to try.
    example: Option<(String, String, Option<String>)>,
}

impl Guide {
    pub(crate) fn new(
        addresses: &[Addresses],
        size: Size,
        types: &[TypeEntry],
        has_page: bool,
    ) -> Self {
        let shown = |gate: &Addresses| (gate.http.to_string(), gate.grpc.to_string());
        let mut gates = addresses.iter().map(shown);
        let described: Vec<(&str, Value)> = types
            .iter()
            .map(|t| (t.type_name.as_str(), serde_json::from_str(&t.spec.json).unwrap_or_default()))
            .collect();
        Self {
            program: program(),
            first: gates.next().unwrap_or_default(),
            others: gates.collect(),
            size,
            has_page,
            types: described.iter().map(|(name, _)| (*name).to_owned()).collect(),
            example: example(&described),
        }
    }

    pub(crate) fn http_url(&self) -> String {
        format!("http://{}", self.first.0)
    }

    pub(crate) fn grpc_url(&self) -> String {
        format!("grpc://{}", self.first.1)
    }

    /// Where clients come in, over HTTP and over gRPC, at each gate.
    pub(crate) fn gates(&self) -> impl Iterator<Item = (String, String)> {
        let gates = std::iter::once(&self.first).chain(&self.others);
        gates.map(|(http, grpc)| (format!("http://{http}"), format!("grpc://{grpc}")))
    }

    /// Where the web chat is; none: there is no page, or nothing to chat in.
    pub(crate) fn web_url(&self) -> Option<String> {
        (self.has_page && self.has_rooms()).then(|| format!("{}/", self.http_url()))
    }

    fn has_rooms(&self) -> bool {
        self.types.iter().any(|name| name == "ChatRoom")
    }

    pub(crate) fn text(&self, state: &str, took: Duration) -> String {
        let Size { nodes, gates } = self.size;
        let on = match self.size.is_one() {
            true => String::new(),
            false => format!(
                " on {} behind {}",
                plural(nodes.into(), "node"),
                plural(gates.into(), "gate")
            ),
        };
        let mut text = format!(
            "wasmverse runs {}{on} after {} ms (Ctrl-C ends it)\n\n",
            plural(self.types.len() as u64, "type"),
            took.as_millis()
        );
        let mut say = |name: &str, value: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {name:6} {value}");
        };
        for (http, grpc) in self.gates() {
            say("http", &http);
            say("grpc", &grpc);
        }
        if let Some(web) = self.web_url() {
            say("web", &web);
        }
        say("types", &self.types.join(", "));
        say("state", state);
        text += "\nnext, from another terminal:\n";
        for command in self.next() {
            let _ = writeln!(text, "  {command}");
        }
        if !self.size.is_one() {
            let _ = writeln!(text, "  {} cluster{} status", self.program, self.url());
        }
        text
    }

    /// The flag that says where the cluster is; none, where the command line looks anyway.
    fn url(&self) -> String {
        match self.first.0 == DEFAULT_HTTP {
            true => String::new(),
            false => format!(" --url {}", self.http_url()),
        }
    }

    /// The next two commands to type.
    fn next(&self) -> [String; 2] {
        let url = self.url();
        let program = &self.program;
        if self.has_rooms() {
            return ["alice", "bob"].map(|user| format!("{program} chat{url} --user {user}"));
        }
        let Some((object, method, argument)) = &self.example else {
            return [format!("{program} types{url}"), format!("{program} deploy{url} FILE")];
        };
        let given = argument.as_deref().unwrap_or_default();
        let space = if given.is_empty() { "" } else { " " };
        [
            format!("{program} call{url} {object} {method}{space}{given}"),
            format!(
                "curl -d {} {}/v1/objects/{object}/{method}",
                non_empty(given),
                self.http_url()
            ),
        ]
    }
}

fn non_empty(argument: &str) -> &str {
    if argument.is_empty() { "''" } else { argument }
}

/// A call that works with what is deployed: a counter if there is one, else the first method whose
/// argument is simple enough to make up.
fn example(types: &[(&str, Value)]) -> Option<(String, String, Option<String>)> {
    let first = |(type_name, description): &(&str, Value)| {
        let methods = description["methods"].as_array()?;
        methods.iter().find_map(|method| {
            let callable = method["callers"] != "objects";
            let argument = callable.then(|| argument(&method["input"])).flatten()?;
            let name = method["name"].as_str()?.to_owned();
            Some((format!("{type_name}/first"), name, argument))
        })
    };
    let counter = types.iter().find(|(name, _)| *name == "Counter");
    counter.into_iter().chain(types).find_map(first)
}

/// An argument that fits a schema, quoted for a shell; `Some(None)`: it wants none.
fn argument(schema: &Value) -> Option<Option<String>> {
    let made_up = match (schema, schema["type"].as_str()) {
        (Value::Null, _) | (_, Some("null")) => return Some(None),
        (_, Some("integer" | "number")) => "5",
        (_, Some("string")) => "'\"hello\"'",
        (_, Some("boolean") | None) if schema.get("$ref").is_none() => "true",
        _ => return None,
    };
    Some(Some(made_up.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn guide(http: &str, types: &[(&str, Value)]) -> Guide {
        Guide {
            program: "wasmverse".to_owned(),
            first: (http.to_owned(), "127.0.0.1:49000".to_owned()),
            others: Vec::new(),
            size: Size { nodes: 1, gates: 1 },
            has_page: true,
            types: types.iter().map(|(name, _)| (*name).to_owned()).collect(),
            example: example(types),
        }
    }

    fn counter() -> Value {
        json!({"type": "Counter", "methods": [
            {"name": "merge", "input": {"type": "object"}},
            {"name": "add", "input": {"type": "integer", "format": "int64"}},
            {"name": "value"},
        ]})
    }

    #[test]
    fn the_next_commands_are_calls_that_work() {
        let types = [("Aaa", json!({"methods": [{"name": "a"}]})), ("Counter", counter())];
        let expected = [
            "wasmverse call Counter/first add 5",
            "curl -d 5 http://127.0.0.1:8080/v1/objects/Counter/first/add",
        ];
        assert_eq!(guide("127.0.0.1:8080", &types).next(), expected);
    }

    #[test]
    fn where_there_are_rooms_the_next_commands_are_two_who_chat() {
        let types = [("ChatRoom", json!({"methods": []})), ("Counter", counter())];
        let expected = [
            "wasmverse chat --url http://127.0.0.1:9 --user alice",
            "wasmverse chat --url http://127.0.0.1:9 --user bob",
        ];
        assert_eq!(guide("127.0.0.1:9", &types).next(), expected);
    }

    #[test]
    fn the_web_chat_is_named_where_there_is_one_with_rooms() {
        let rooms = [("ChatRoom", json!({"methods": []}))];
        let shown = |guide: Guide| guide.text("./.wasmverse", Duration::ZERO);
        assert!(shown(guide("127.0.0.1:9", &rooms)).contains("web    http://127.0.0.1:9/\n"));
        let without_page = Guide { has_page: false, ..guide("127.0.0.1:9", &rooms) };
        for guide in [without_page, guide("127.0.0.1:9", &[("Counter", counter())])] {
            assert_eq!(guide.web_url(), None);
            assert!(!shown(guide).contains("web "));
        }
    }

    #[test]
    fn another_address_is_part_of_them() {
        let types = [("Shy", json!({"methods": [{"name": "look", "callers": "both"}]}))];
        let expected = [
            "wasmverse call --url http://127.0.0.1:9 Shy/first look",
            "curl -d '' http://127.0.0.1:9/v1/objects/Shy/first/look",
        ];
        assert_eq!(guide("127.0.0.1:9", &types).next(), expected);
    }

    #[test]
    fn arguments_are_made_up_from_simple_schemas_only() {
        assert_eq!(argument(&Value::Null), Some(None));
        assert_eq!(argument(&json!(true)), Some(Some("true".into())));
        assert_eq!(argument(&json!({"type": "string"})), Some(Some("'\"hello\"'".into())));
        assert_eq!(argument(&json!({"type": "object"})), None);
        assert_eq!(argument(&json!({"$ref": "#/x"})), None);
    }

    #[test]
    fn everything_that_a_newcomer_needs_is_on_the_screen() {
        let text = guide("127.0.0.1:8080", &[("Counter", counter())])
            .text("./.wasmverse", Duration::from_millis(312));
        for part in ["1 type after 312 ms", "http://127.0.0.1:8080", "grpc://127.0.0.1:49000"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }

    #[test]
    fn every_gate_of_several_is_named() {
        let one = guide("127.0.0.1:8080", &[("Counter", counter())]);
        let text = Guide {
            others: vec![("127.0.0.1:3".to_owned(), "127.0.0.1:4".to_owned())],
            size: Size { nodes: 3, gates: 2 },
            ..one
        }
        .text("./.wasmverse", Duration::ZERO);
        for part in [
            "1 type on 3 nodes behind 2 gates after",
            "  http   http://127.0.0.1:8080\n  grpc   grpc://127.0.0.1:49000\n",
            "  http   http://127.0.0.1:3\n  grpc   grpc://127.0.0.1:4\n",
            "  wasmverse cluster status\n",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }
}
