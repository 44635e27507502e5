//! What a chameleon can do, by name.

use std::{thread, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};
use wasmverse_sdk::{Context, Error, Request, Result};

use crate::{Chameleon, firings, misbehave};

const WRITE: &[&str] = &[
    "add",
    "append",
    "tick",
    "fail",
    "trap",
    "spin",
    "wait",
    "note",
    "relay",
    "relay_many",
    "send",
    "send_and_fail",
    "add_and_fail",
    "add_and_trap",
    "add_slowly",
    "relay_and_trap",
    "relay_and_add",
    "send_many",
    "send_and_leave",
    "add_and_leave",
    "remind",
    "cancel",
    "note_firing",
    "push",
    "broadcast",
    "create",
    "delete",
    "leave",
    "who",
    "breed",
    "count_twice",
    "put",
    "put_and_fail",
    "remove",
];
const READ_ONLY: &[&str] = &[
    "value", "entries", "label", "born", "peek", "sneak", "overstep", "exists", "ask", "read",
    "scan", "pending", "fired",
];

/// The methods, for the description.
pub(crate) fn methods() -> Value {
    let write = WRITE.iter().map(|name| json!({ "name": name }));
    let read_only = READ_ONLY.iter().map(|name| json!({ "name": name, "mode": "read-only" }));
    write.chain(read_only).collect()
}

/// Keeps, finds and lists values under keys: `[key, value]`, `key`, `[prefix, after, limit]`.
fn with_storage(context: &Context, act: &str, argument: &Value) -> Result<Value> {
    let storage = context.storage();
    match act {
        "read" => Ok(storage.get(word(argument)?)?.unwrap_or_default()),
        "remove" => storage.remove(word(argument)?).map(|()| Value::Null),
        "scan" => {
            let limit = u32::try_from(number(&argument[2])?).unwrap_or_default();
            let page = storage.scan(word(&argument[0])?, word(&argument[1])?, limit)?;
            Ok(page.into_iter().map(|(key, value): (String, Value)| json!([key, value])).collect())
        }
        _ => {
            storage.set(word(&argument[0])?, &argument[1])?;
            match act {
                "put" => Ok(Value::Null),
                _ => Err(Error::new("changed-my-mind", "after putting")),
            }
        }
    }
}

/// Sets, cancels and lists reminders: `[name, when, method, argument]`, where `when` is `every` or
/// `after` with milliseconds, or `cron` with a pattern.
fn with_reminders(context: &Context, act: &str, argument: &Value) -> Result<Value> {
    match act {
        "cancel" => context.cancel_reminder(word(argument)?).map(|()| Value::Null),
        "pending" => {
            let pending = context.reminders()?.into_iter();
            Ok(pending
                .map(|it| json!({ "name": it.name, "when": it.when, "due": it.due_micros }))
                .collect())
        }
        _ => {
            let (kind, how) = (word(&argument[1][0])?, &argument[1][1]);
            let millis = || number(how).map(|millis| Duration::from_millis(millis.unsigned_abs()));
            let when = match kind {
                "every" => wasmverse_sdk::every(millis()?),
                "after" => wasmverse_sdk::after(millis()?),
                _ => wasmverse_sdk::cron(word(how)?, "UTC"),
            };
            let (name, method) = (word(&argument[0])?, word(&argument[2])?);
            context.remind(name, when, (method, &argument[3])).map(|()| Value::Null)
        }
    }
}

/// A call of another object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Errand {
    #[serde(rename = "type")]
    type_name: String,
    id: String,
    #[serde(default)]
    method: String,
    #[serde(default)]
    argument: Value,
    #[serde(default)]
    timeout_ms: Option<u64>,
    #[serde(default)]
    key: Option<String>,
}

impl Errand {
    fn request(&self, context: &Context) -> Request<Value> {
        let mut target = context.object(self.type_name.clone(), self.id.clone());
        if let Some(millis) = self.timeout_ms {
            target = target.timeout(Duration::from_millis(millis));
        }
        if let Some(key) = &self.key {
            target = target.key(key);
        }
        target.request(self.method.clone(), &self.argument)
    }
}

/// Does it.
pub(crate) fn run(
    me: &mut Chameleon,
    context: &Context,
    act: &str,
    argument: Value,
) -> Result<Value> {
    match act {
        "add" => {
            me.kept.value += number(&argument)?;
            Ok(json!(me.kept.value))
        }
        "append" => {
            me.kept.entries.push(word(&argument)?.to_owned());
            Ok(json!(me.kept.entries.len()))
        }
        "tick" => {
            me.kept.value += 1;
            Ok(json!({ "count": me.kept.value, "label": label(me) }))
        }
        "value" => Ok(json!(me.kept.value)),
        "entries" => Ok(json!(me.kept.entries)),
        "label" => Ok(label(me)),
        "born" => Ok(json!(me.born.to_string())),
        "sneak" => {
            me.kept.value += 1;
            Ok(Value::Null)
        }
        "fail" => Err(Error::new(word(&argument)?, "as the test wanted").with_details(&[1, 2, 3])),
        "trap" => misbehave("trap").map(|()| Value::Null),
        "spin" => misbehave("loop").map(|()| Value::Null),
        "add_and_fail" => {
            me.kept.value += number(&argument)?;
            Err(Error::new("changed-my-mind", "after adding"))
        }
        "add_and_trap" => {
            me.kept.value += number(&argument)?;
            misbehave("trap").map(|()| Value::Null)
        }
        "add_slowly" => {
            thread::sleep(Duration::from_millis(200));
            me.kept.value += number(&argument)?;
            Ok(json!(me.kept.value))
        }
        "relay_and_trap" | "relay_and_add" | "send_many" | "add_and_leave" => {
            and_others(me, context, act, argument)
        }
        "remind" | "cancel" | "pending" => with_reminders(context, act, &argument),
        "note_firing" => firings::note(me, context),
        "fired" => firings::after(me, context, number(&argument)?),
        "wait" => {
            thread::sleep(Duration::from_millis(number(&argument)?.unsigned_abs()));
            Ok(argument)
        }
        "note" => {
            context.warn(word(&argument)?);
            Ok(Value::Null)
        }
        "who" => Ok(who(context)),
        "count_twice" => {
            me.kept.value += number(&argument)?;
            context.storage().set("count", &me.kept.value)?;
            Ok(json!(me.kept.value))
        }
        "put" | "put_and_fail" | "remove" | "read" | "scan" => {
            with_storage(context, act, &argument)
        }
        _ => with_others(context, act, argument),
    }
}

/// What changes something here, and concerns others, too.
fn and_others(me: &mut Chameleon, context: &Context, act: &str, argument: Value) -> Result<Value> {
    match act {
        "relay_and_trap" => {
            errand(argument)?.request(context).call()?;
            misbehave("trap").map(|()| Value::Null)
        }
        "relay_and_add" => {
            let answer = errand(argument)?.request(context).call()?;
            me.kept.value += 1;
            Ok(answer)
        }
        "send_many" => {
            let errands: Vec<Errand> = parse(argument)?;
            for errand in &errands {
                errand.request(context).send()?;
            }
            me.kept.value += 1;
            Ok(json!(me.kept.value))
        }
        _ => {
            me.kept.value += number(&argument)?;
            context.delete(&context.me().type_name, context.id()).map(|()| json!(me.kept.value))
        }
    }
}

/// What concerns others.
fn with_others(context: &Context, act: &str, argument: Value) -> Result<Value> {
    let done = |()| Value::Null;
    match act {
        "relay" | "ask" => errand(argument)?.request(context).call(),
        "relay_many" => {
            let errands: Vec<Errand> = parse(argument)?;
            let requests: Vec<_> = errands.iter().map(|errand| errand.request(context)).collect();
            let answer = |answer: Result<Value>| match answer {
                Ok(value) => json!({ "ok": value }),
                Err(error) => json!({ "err": error.kind().as_str() }),
            };
            Ok(context.call_many(requests).into_iter().map(answer).collect())
        }
        "send" => errand(argument)?.request(context).send().map(done),
        "send_and_leave" => {
            errand(argument)?.request(context).send()?;
            context.delete(&context.me().type_name, context.id()).map(done)
        }
        "send_and_fail" => {
            errand(argument)?.request(context).send()?;
            Err(Error::new("changed-my-mind", "after sending"))
        }
        "push" => context.push(word(&argument)?, "test", &argument).map(done),
        "broadcast" => context.broadcast("test", &argument).map(done),
        "peek" => context.broadcast("test", &argument).map(done),
        "create" => errand(argument).and_then(|it| context.create(&it.type_name, &it.id)).map(done),
        "delete" => errand(argument).and_then(|it| context.delete(&it.type_name, &it.id)).map(done),
        "breed" => breed(context).map(done),
        "exists" => {
            let it = errand(argument)?;
            Ok(json!(context.exists(&it.type_name, &it.id)?))
        }
        "leave" => {
            let me = context.me();
            context.delete(&me.type_name, &me.id).map(done)
        }
        "overstep" => Ok(overstep(context, &errand(argument)?)),
        _ => Err(Error::new("no-such-method", act)),
    }
}

/// Sends the same to two others, which do the same: there is no end to it.
fn breed(context: &Context) -> Result<()> {
    let children = ["0", "1"].map(|child| {
        let id = format!("{}{child}", context.id());
        // Names have an end; the bomb has none.
        let id = if id.len() > 60 { format!("breed-{:x}", context.random()) } else { id };
        context.send(&context.me().type_name, &id, "breed", &())
    });
    children.into_iter().collect()
}

/// Tries everything that a read-only turn may not do.
fn overstep(context: &Context, errand: &Errand) -> Value {
    let word = |result: Result<()>| result.map_or_else(|error| error.kind().as_str(), |()| "ok");
    json!({
        "call": word(errand.request(context).call().map(|_| ())),
        "send": word(errand.request(context).send()),
        "create": word(context.create(&errand.type_name, &errand.id)),
        "delete": word(context.delete(&errand.type_name, &errand.id)),
        "delete-me": word(context.delete(&context.me().type_name, context.id())),
        "push": word(context.push("nobody", "test", &())),
        "broadcast": word(context.broadcast("test", &())),
    })
}

fn who(context: &Context) -> Value {
    json!({
        "me": context.me().to_string(),
        "caller": context.caller().map(|caller| caller.to_string()),
        "client": context.client(),
        "key": context.key(),
        "left_ms": context.time_left().as_millis(),
        "revision": context.revision(),
        "traceparent": context.traceparent(),
        "turn": context.turn_id(),
    })
}

fn label(me: &Chameleon) -> Value {
    me.settings.describe.get("revision").cloned().unwrap_or(Value::Null)
}

fn errand(argument: Value) -> Result<Errand> {
    parse(argument)
}

fn parse<T: for<'a> Deserialize<'a>>(argument: Value) -> Result<T> {
    serde_json::from_value(argument).map_err(|error| Error::invalid_argument(error.to_string()))
}

fn number(argument: &Value) -> Result<i64> {
    argument.as_i64().ok_or_else(|| Error::invalid_argument("a number is wanted"))
}

fn word(argument: &Value) -> Result<&str> {
    argument.as_str().ok_or_else(|| Error::invalid_argument("a string is wanted"))
}
