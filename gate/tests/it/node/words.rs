//! What a node without objects says: who called, what went wrong, which types there are.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wasmverse_core::{Action, Call, CallError, Caller, ErrorKind, ObjectId};
use wasmverse_proto::admin::TypeInfo;

pub(super) fn caller(call: &Call) -> Value {
    match &call.caller {
        Caller::Client(client) => client.as_deref().into(),
        other => format!("{other:?}").into(),
    }
}

pub(super) fn who(call: &Call) -> String {
    let Action::Invoke(invocation) = &call.action else { unreachable!("only methods say it") };
    json!({
        "type": call.object.type_name().as_str(),
        "id": call.object.id(),
        "method": &*invocation.method,
        "bytes": invocation.payload.len(),
        "key": invocation.key.as_deref(),
        "client": matches!(call.caller, Caller::Client(None)),
        "traceparent": call.traceparent.as_deref(),
        "seconds_left": call.deadline.saturating_duration_since(Instant::now()).as_secs_f64(),
    })
    .to_string()
}

/// An error of that kind with all that it may carry.
pub(crate) fn failure(kind: ErrorKind, object: &ObjectId) -> CallError {
    let error = match kind {
        ErrorKind::Application => {
            CallError::application("out-of-tea", "no tea", "{\"left\":0}".into())
        }
        _ => CallError::new(kind, format!("it is {kind}")),
    };
    let error = error.about(object);
    match kind {
        ErrorKind::Overloaded => error.retry_after(Duration::from_millis(200)),
        ErrorKind::Unavailable => error.maybe_executed(),
        _ => error,
    }
}

/// A type that says what types say.
pub(crate) fn described(name: &str, encoding: &str) -> TypeInfo {
    TypeInfo {
        r#type: name.into(),
        revision: 1,
        digest: "d1".into(),
        durability: "volatile".into(),
        encoding: encoding.into(),
        doc: "For tests.".into(),
        description: json!({"type": name, "schema": 2, "encoding": encoding, "methods": [
            {"name": "echo", "mode": "read-only", "input": true, "output": true},
            {"name": "nothing"},
            {"name": "on_client_gone"},
        ]})
        .to_string(),
        label: "v1".into(),
    }
}
