//! The import `objects`: calls of other objects go out now, sends are collected.

#![expect(clippy::result_large_err, reason = "a failure is lowered into the guest by value")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use wasmverse_core::{
    Action, Call, CallError, Caller, ErrorKind, Invocation, Limits, ObjectId, Reply, SendRequest,
};

use crate::{
    Outbound,
    bindings::{Failure, ObjectRef, Request, wasmverse::object::objects},
    failure,
    host::{EFFECT_BYTES, Host, invalid},
    run::until,
};

/// The longest method name and idempotency key, in bytes.
const NAME_BYTES_MAX: usize = 255;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl objects::Host for Host {
    async fn call(&mut self, request: Request) -> Answer<Vec<u8>> {
        self.count(1)?;
        let answer = match self.calling(request) {
            Ok(departure) => departure.go().await,
            Err(error) => Err(error),
        };
        let limit = self.limits.payload_bytes;
        let result = answer.and_then(|reply| result_of(reply, limit));
        Ok(self.answer(result))
    }

    async fn call_many(
        &mut self,
        requests: Vec<Request>,
    ) -> wasmtime::Result<Vec<Result<Vec<u8>, Failure>>> {
        self.count(requests.len().max(1))?;
        let Limits { payload_bytes, memory_bytes, .. } = self.limits;
        let mut room = Room::new(memory_bytes);
        let calls = requests.into_iter().map(|request| room.fit(self.calling(request), |_| 0));
        let calls: Vec<_> = calls.collect();
        let answers = side_by_side(calls, payload_bytes, room).await;
        Ok(answers.into_iter().map(|answer| self.answer(answer)).collect())
    }

    fn send(&mut self, request: Request) -> Answer<()> {
        self.count(1)?;
        let answer = self.sending(request);
        Ok(self.answer(answer))
    }

    async fn create(&mut self, object: ObjectRef) -> Answer<()> {
        self.count(1)?;
        let call = self.write_turn("objects.create").map(drop).and_then(|()| {
            let target = parse(&object)?;
            self.outgoing(target, Action::Create, None)
        });
        let answer = match call {
            Ok(departure) => departure.go().await.map(drop),
            Err(error) => Err(error),
        };
        Ok(self.answer(answer))
    }

    async fn delete(&mut self, object: ObjectRef) -> Answer<()> {
        self.count(1)?;
        let answer = match self.deleting(&object) {
            Ok(Some(departure)) => departure.go().await.map(drop),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        Ok(self.answer(answer))
    }

    async fn exists(&mut self, object: ObjectRef) -> Answer<bool> {
        self.count(1)?;
        let call = self.turn("objects.exists").map(drop).and_then(|()| {
            let target = parse(&object)?;
            self.outgoing(target, Action::Exists, None)
        });
        let answer = match call {
            Ok(departure) => departure.go().await.map(|reply| reply == Reply::Exists(true)),
            Err(error) => Err(error),
        };
        Ok(self.answer(answer))
    }
}

impl Host {
    fn calling(&mut self, request: Request) -> Result<Departure, CallError> {
        let read_only = self.turn("objects.call")?.read_only;
        let target = parse(&request.to)?;
        let method = method(&request.method)?;
        self.check_payload(&request.payload)?;
        let Options { timeout, key } = Options::parse(request.options)?;
        let payload = Bytes::from(request.payload);
        self.calls = self.calls.saturating_add(1);
        let key = key.or_else(|| self.derived_key(&target, &method, &payload));
        let invocation = Invocation { method, payload, key, read_only };
        self.outgoing(target, Action::Invoke(invocation), timeout)
    }

    /// The call as it leaves: what waits, until when. Refused here if it can only fail.
    fn outgoing(
        &mut self,
        target: ObjectId,
        action: Action,
        timeout: Option<Duration>,
    ) -> Result<Departure, CallError> {
        let outside = || invalid("there is no turn");
        let (turn, writer) = (self.turn.as_ref(), self.writer.as_ref());
        let (turn, writer) = (turn.ok_or_else(outside)?, writer.ok_or_else(outside)?);
        let chain = self.chain.get_or_insert_with(|| turn.chain.and(&writer.object));
        // Whether an object exists is answered without a turn: nobody waits in a circle.
        if !matches!(action, Action::Exists) {
            chain.admit(&target)?;
        }
        let now = Instant::now();
        if now >= turn.deadline {
            let message = "the deadline of this turn has passed: it may call nobody any more";
            return Err(CallError::new(ErrorKind::Timeout, message).about(&target));
        }
        let own = timeout.and_then(|timeout| now.checked_add(timeout));
        let call = Call {
            object: target,
            action,
            caller: Caller::Object(writer.object.clone()),
            chain: chain.clone(),
            deadline: own.map_or(turn.deadline, |own| own.min(turn.deadline)),
            traceparent: turn.traceparent.clone(),
        };
        // The step's own alarm rings for the others, and one timer less is armed.
        let alarm = (call.deadline < self.ends).then_some(call.deadline);
        Ok(Departure { outbound: Arc::clone(&writer.outbound), call, alarm })
    }

    fn sending(&mut self, request: Request) -> Result<(), CallError> {
        self.write_turn("objects.send")?;
        let to = parse(&request.to)?;
        let method = method(&request.method)?;
        self.check_payload(&request.payload)?;
        if let Some((name, _)) = request.options.first() {
            return Err(invalid(format!(
                "a send has no options, and so no `{name}`: it arrives once, without a key"
            )));
        }
        self.take_effect_bytes(EFFECT_BYTES + request.payload.len() + method.len())?;
        let payload = Bytes::from(request.payload);
        self.effects.sends.push(SendRequest { to, method, payload });
        Ok(())
    }

    /// The call that deletes another object; none: it is the object itself, at the turn's end.
    fn deleting(&mut self, object: &ObjectRef) -> Result<Option<Departure>, CallError> {
        self.write_turn("objects.delete")?;
        let target = parse(object)?;
        if self.writer.as_ref().is_some_and(|me| me.object == target) {
            self.effects.delete = true;
            return Ok(None);
        }
        self.outgoing(target, Action::Delete, None).map(Some)
    }
}

/// A call that is ready to leave.
struct Departure {
    outbound: Arc<dyn Outbound>,
    call: Call,
    /// When to give up, unless the step itself ends by then.
    alarm: Option<Instant>,
}

impl Departure {
    /// Sends the call out and waits no longer than until its deadline.
    async fn go(self) -> Result<Reply, CallError> {
        let Some(deadline) = self.alarm else {
            return self.outbound.call(self.call).await;
        };
        let object = self.call.object.clone();
        if let Some(answer) = until(deadline, self.outbound.call(self.call)).await {
            return answer;
        }
        let error = CallError::new(ErrorKind::Timeout, format!("{object} did not answer in time"));
        Err(error.about(&object).maybe_executed())
    }
}

/// What the answers of one `call-many` may still take together: no more than fits into the memory
/// of the guest.
struct Room {
    left: usize,
    limit: usize,
}

impl Room {
    fn new(limit: usize) -> Self {
        Self { left: limit, limit }
    }

    /// The answer if it fits, else a short failure; `size` tells of good ones.
    fn fit<T>(
        &mut self,
        answer: Result<T, CallError>,
        size: impl FnOnce(&T) -> usize,
    ) -> Result<T, CallError> {
        let bytes = match &answer {
            Ok(good) => size(good),
            Err(error) => failure::bytes(error),
        };
        if let Some(left) = self.left.checked_sub(bytes) {
            self.left = left;
            return answer;
        }
        let executed = answer.as_ref().map_or_else(CallError::may_have_executed, |_| true);
        let error = too_large("the answers of one `call-many` are", self.limit);
        Err(if executed { error.maybe_executed() } else { error })
    }
}

/// All calls at once; answers in the order of the calls. What finds no room is not gathered.
async fn side_by_side(
    calls: Vec<Result<Departure, CallError>>,
    payload_bytes: usize,
    mut room: Room,
) -> Vec<Result<Vec<u8>, CallError>> {
    let mut answers: Vec<_> = calls.iter().map(|_| Ok(Vec::new())).collect();
    let mut waiting = FuturesUnordered::new();
    for (place, call) in calls.into_iter().enumerate() {
        match call {
            Ok(departure) => waiting.push(async move { (place, departure.go().await) }),
            // It found its room before.
            Err(error) => answers[place] = Err(error),
        }
    }
    while let Some((place, answer)) = waiting.next().await {
        let result = answer.and_then(|reply| result_of(reply, payload_bytes));
        answers[place] = room.fit(result, Vec::len);
    }
    answers
}

fn result_of(reply: Reply, limit: usize) -> Result<Vec<u8>, CallError> {
    let payload = reply.into_payload();
    if payload.len() > limit {
        return Err(too_large("the result is", limit).maybe_executed());
    }
    Ok(payload.into())
}

fn too_large(what: &str, limit: usize) -> CallError {
    let message = format!("{what} over the {limit} bytes that this object may take");
    CallError::new(ErrorKind::Trapped, message)
}

fn parse(object: &ObjectRef) -> Result<ObjectId, CallError> {
    Ok(ObjectId::parse(&object.type_name, &object.id)?)
}

pub(super) fn method(name: &str) -> Result<Arc<str>, CallError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(invalid(format!(
            "a method's name has 1 to {NAME_BYTES_MAX} bytes and no control characters"
        )));
    }
    Ok(name.into())
}

/// What a request asks for beside the call itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    timeout: Option<Duration>,
    key: Option<Arc<str>>,
}

impl Options {
    /// Of two options with one name the later wins.
    fn parse(pairs: Vec<(String, String)>) -> Result<Self, CallError> {
        let mut options = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "timeout" => options.timeout = Some(timeout(&value)?),
                "idempotency-key" => options.key = Some(key(&value)?),
                _ => {
                    return Err(invalid(format!(
                        "`{}` is no option of a call: known are `timeout`, `idempotency-key`",
                        name.escape_debug()
                    )));
                }
            }
        }
        Ok(options)
    }
}

fn timeout(text: &str) -> Result<Duration, CallError> {
    humantime::parse_duration(text).map_err(|error| {
        invalid(format!("the option `timeout` is no duration such as `5s`: {error}"))
    })
}

fn key(text: &str) -> Result<Arc<str>, CallError> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(invalid(format!(
            "the option `idempotency-key` has 1 to {NAME_BYTES_MAX} bytes and no control characters"
        )));
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Options, CallError> {
        Options::parse(pairs.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect())
    }

    #[test]
    fn failures_take_room_too_and_beyond_it_are_short() {
        let chain = "T/x → ".repeat(100);
        let cycle = || CallError::new(ErrorKind::Cycle, chain.as_str()).with("chain", &chain);
        let mut room = Room::new(5_000);
        let kinds: Vec<_> = (0..10)
            .map(|_| room.fit(Err::<Vec<u8>, _>(cycle()), Vec::len).unwrap_err())
            .map(|error| (error.kind(), error.message().len() < 200, error.may_have_executed()))
            .collect();
        assert_eq!(kinds[0], (ErrorKind::Cycle, false, false));
        assert_eq!(kinds[9], (ErrorKind::Trapped, true, false));
        let result = room.fit(Ok(vec![0; 5_000]), Vec::len).unwrap_err();
        assert!(result.may_have_executed());
    }

    #[test]
    fn options_are_known_by_name_and_the_later_wins() {
        let options = parse(&[("timeout", "5s"), ("idempotency-key", "k"), ("timeout", "250ms")]);
        let timeout = Some(Duration::from_millis(250));
        assert_eq!(options, Ok(Options { timeout, key: Some("k".into()) }));
        assert_eq!(parse(&[]), Ok(Options::default()));
    }

    #[test]
    fn what_is_no_option_is_an_invalid_argument_that_names_it() {
        for (name, value) in [
            ("retries", "3"),
            ("Timeout", "5s"),
            ("timeout", "soon"),
            ("timeout", ""),
            ("timeout", "-5s"),
            ("idempotency-key", ""),
            ("idempotency-key", "a\nb"),
        ] {
            let error = parse(&[(name, value)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{name}={value}");
            assert!(error.message().contains(name), "{error}");
        }
    }

    #[test]
    fn methods_have_short_names_without_control_characters() {
        assert!(method("add").is_ok());
        for bad in ["", "a\nb", &"x".repeat(256)] {
            assert_eq!(method(bad).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
    }
}
