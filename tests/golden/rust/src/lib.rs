//! One object in Rust that uses every item of the contract, on bare bindings. What each method
//! does stands in ../../README.md; the other languages do the same.

use std::cell::RefCell;

wit_bindgen::generate!({ path: "../../../wit/object.wit", world: "object" });

use exports::wasmverse::object::guest::Guest;
use wasmverse::object::{
    clients, log, objects, reminders, storage, system, turn,
    types::{Failure, ObjectRef, Request, State},
};

struct Golden;

#[derive(Default)]
struct Memory {
    me: String,
    value: i64,
}

thread_local!(static MEMORY: RefCell<Memory> = RefCell::default());

const METHODS: [(&str, &str); 23] = [
    ("echo", "read-only"),
    ("add", "write"),
    ("value", "read-only"),
    ("me", "read-only"),
    ("fail", "write"),
    ("pretend", "write"),
    ("relay", "write"),
    ("relay_within", "write"),
    ("relay_many", "write"),
    ("send", "write"),
    ("make", "write"),
    ("unmake", "write"),
    ("there", "write"),
    ("shout", "write"),
    ("whisper", "write"),
    ("note", "write"),
    ("now", "write"),
    ("random", "write"),
    ("who", "write"),
    ("storage", "write"),
    ("reminders", "write"),
    ("crash", "write"),
    ("peek", "read-only"),
];

impl Guest for Golden {
    fn describe() -> String {
        let methods: Vec<_> = METHODS
            .iter()
            .map(|(name, mode)| {
                format!(r#"{{"name":"{name}","mode":"{mode}","callers":"both","doc":"See the recipe.","input":{{}},"output":true}}"#)
            })
            .collect();
        format!(
            r#"{{"type":"GoldenRust","revision":"golden-1","schema":1,"durability":"periodic","encoding":"bytes","activation":"on-call","limits":{{"cpu_ms":500}},"methods":[{}]}}"#,
            methods.join(",")
        )
    }

    fn activate(me: ObjectRef, state: Option<State>) -> Result<(), Failure> {
        let value = match state {
            None => 0,
            Some(State { schema: 1, data }) => number(&data)?,
            Some(State { schema, .. }) => {
                return Err(own("unknown-schema", format!("written by schema {schema}")));
            }
        };
        let me = format!("{}/{}", me.type_name, me.id);
        MEMORY.with_borrow_mut(|memory| *memory = Memory { me, value });
        Ok(())
    }

    fn handle(method: String, payload: Vec<u8>) -> Result<Vec<u8>, Failure> {
        match method.as_str() {
            "echo" => Ok(payload),
            "add" => {
                let by = number(&payload)?;
                Ok(MEMORY.with_borrow_mut(|memory| {
                    memory.value += by;
                    memory.value.to_string().into_bytes()
                }))
            }
            "value" => Ok(MEMORY.with_borrow(|memory| memory.value.to_string().into_bytes())),
            "me" => Ok(MEMORY.with_borrow(|memory| memory.me.clone().into_bytes())),
            "fail" => Err(Failure {
                details: payload,
                retry_after_millis: 250,
                attributes: vec![("shelf".into(), "7".into())],
                ..own("out-of-stock", "the shelf is empty".into())
            }),
            "pretend" => Err(Failure {
                kind: text(&payload)?.into(),
                ..own("", "not what the platform says".into())
            }),
            "crash" => panic!("the golden crash"),
            _ => others(&method, &payload).or_else(|| about(&method, &payload)).unwrap_or_else(
                || Err(own("no-such-method", format!("no method {method}"))),
            ),
        }
    }

    fn snapshot() -> Result<State, Failure> {
        let data = MEMORY.with_borrow(|memory| memory.value.to_string().into_bytes());
        Ok(State { schema: 1, data })
    }

    fn deactivate(why: String) {
        log::write("info", &format!("leaving: {why}"), &[]);
    }
}

/// Methods that concern other objects and clients.
fn others(method: &str, payload: &[u8]) -> Option<Result<Vec<u8>, Failure>> {
    let none = |()| Vec::new();
    let line = match text(payload) {
        Ok(line) => line,
        Err(failure) => return Some(Err(failure)),
    };
    Some(match method {
        "relay" => objects::call(&request(line)),
        "relay_within" => {
            let (timeout, line) = line.split_once(' ').unwrap_or_default();
            let options = vec![("timeout".into(), timeout.into())];
            objects::call(&Request { options, ..request(line) })
        }
        "relay_many" => {
            let requests: Vec<_> = line.split('\n').map(request).collect();
            let lines: Vec<_> = objects::call_many(&requests)
                .into_iter()
                .map(|answer| match answer {
                    Ok(payload) => format!("ok {}", String::from_utf8_lossy(&payload)),
                    Err(failure) => format!("err {}", failure.kind),
                })
                .collect();
            Ok(lines.join("\n").into_bytes())
        }
        "send" => objects::send(&request(line)).map(none),
        "make" => objects::create(&object_ref(line)).map(none),
        "unmake" => objects::delete(&object_ref(line)).map(none),
        "there" => objects::exists(&object_ref(line)).map(|there| there.to_string().into_bytes()),
        "shout" | "peek" => clients::broadcast("shout", payload).map(none),
        "whisper" => {
            let (to, words) = line.split_once(' ').unwrap_or_default();
            clients::push(&[to.into()], "whisper", words.as_bytes()).map(none)
        }
        _ => return None,
    })
}

/// Methods that concern the turn and the platform.
fn about(method: &str, payload: &[u8]) -> Option<Result<Vec<u8>, Failure>> {
    Some(Ok(match method {
        "note" => {
            let message = String::from_utf8_lossy(payload);
            log::write("warn", &message, &[("from".into(), "golden".into())]);
            Vec::new()
        }
        "now" => system::now_micros().to_string().into_bytes(),
        "random" => match number(payload) {
            Ok(length) => system::random_bytes(length as u32),
            Err(failure) => return Some(Err(failure)),
        },
        "who" => who().into_bytes(),
        "storage" => words(&[
            storage::set("a", b"1").err(),
            storage::get("a").err(),
            storage::scan("", "", 10).err(),
            storage::delete("a").err(),
        ]),
        "reminders" => words(&[
            reminders::set("tea", "every 5s", "value", &[]).err(),
            reminders::pending().err(),
            reminders::cancel("tea").err(),
        ]),
        _ => return None,
    }))
}

fn who() -> String {
    let none = || "-".to_owned();
    let caller = turn::caller().map_or_else(none, |it| format!("{}/{}", it.type_name, it.id));
    [
        format!("id {}", turn::id()),
        format!("caller {caller}"),
        format!("client {}", turn::client().unwrap_or_else(none)),
        format!("left {}", turn::deadline_micros() > system::now_micros()),
        format!("key {}", turn::idempotency_key().unwrap_or_else(none)),
        format!("trace {}", turn::traceparent().unwrap_or_else(none)),
        format!("revision {}", turn::revision()),
        format!("read-only {}", turn::read_only()),
    ]
    .join("\n")
}

fn words(failures: &[Option<Failure>]) -> Vec<u8> {
    let words: Vec<_> =
        failures.iter().map(|it| it.as_ref().map_or("ok", |failure| &failure.kind)).collect();
    words.join(" ").into_bytes()
}

/// `Type/id method rest of the line`
fn request(line: &str) -> Request {
    let (to, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (method, payload) = rest.split_once(' ').unwrap_or((rest, ""));
    Request { to: object_ref(to), method: method.into(), payload: payload.into(), options: vec![] }
}

fn object_ref(words: &str) -> ObjectRef {
    let (type_name, id) = words.split_once('/').unwrap_or((words, ""));
    ObjectRef { type_name: type_name.into(), id: id.into() }
}

fn text(payload: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(payload).map_err(|_| unreadable("not text"))
}

fn number(payload: &[u8]) -> Result<i64, Failure> {
    let words = text(payload)?;
    words.parse().map_err(|_| unreadable(&format!("not a number: {words}")))
}

fn unreadable(message: &str) -> Failure {
    Failure { kind: "invalid-argument".into(), ..own("", message.into()) }
}

fn own(code: &str, message: String) -> Failure {
    Failure {
        kind: String::new(),
        code: code.into(),
        message,
        details: Vec::new(),
        maybe_executed: false,
        retry_after_millis: 0,
        attributes: Vec::new(),
    }
}

export!(Golden);
