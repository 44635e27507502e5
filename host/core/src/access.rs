//! May this call run this method? Decided from what the type says of itself.

use crate::{
    CallError, Caller, Callers, Durability, ErrorKind, Invocation, MethodSpec, Mode, TypeSpec,
};

/// What the platform calls when a client is gone, and nobody else may.
pub const ON_CLIENT_GONE: &str = "on_client_gone";

impl TypeSpec {
    /// May `caller` run this method? Answers what the method is.
    ///
    /// # Errors
    /// `not-found` for an unknown method, `denied` for the wrong caller or a write on behalf of a
    /// read-only turn, `invalid-argument` for a payload that is too large or a key that could not
    /// be honoured.
    pub fn admit(&self, asked: &Invocation, caller: &Caller) -> Result<MethodSpec, CallError> {
        let Some(method) = self.methods.get(&*asked.method).copied() else {
            return Err(self.unknown(&asked.method));
        };
        if *asked.method == *ON_CLIENT_GONE && !matches!(caller, Caller::Platform) {
            return Err(self.denied(asked, "is called by the platform only"));
        }
        match (method.callers, caller) {
            (Callers::Objects, Caller::Client(_)) => {
                return Err(self.denied(asked, "is for other objects, not for clients"));
            }
            (Callers::Clients, Caller::Object(_)) => {
                return Err(self.denied(asked, "is for clients, not for other objects"));
            }
            (Callers::Both | Callers::Objects | Callers::Clients, _) => {}
        }
        let writes = method.mode == Mode::Write;
        if asked.read_only && writes {
            return Err(self.denied(asked, "writes, and a read-only turn may only read"));
        }
        if asked.payload.len() > self.limits.payload_bytes {
            return Err(CallError::new(
                ErrorKind::InvalidArgument,
                format!(
                    "the argument has {} bytes, {} takes up to {} (limits.payload_bytes)",
                    asked.payload.len(),
                    self.type_name,
                    self.limits.payload_bytes
                ),
            ));
        }
        if writes && asked.has_own_key() && self.durability != Durability::Durable {
            let (name, durability) = (&self.type_name, self.durability);
            let message =
                format!("{name} is {durability}: an idempotency key needs a durable type");
            return Err(CallError::new(ErrorKind::InvalidArgument, message));
        }
        Ok(method)
    }

    fn unknown(&self, method: &str) -> CallError {
        let shown: String = method.chars().take(80).collect();
        let known: Vec<_> = self.methods.keys().map(|name| &**name).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        CallError::new(
            ErrorKind::NotFound,
            format!("{} has no method `{shown}`: its methods are {known}", self.type_name),
        )
    }

    fn denied(&self, asked: &Invocation, why: &str) -> CallError {
        CallError::new(ErrorKind::Denied, format!("`{}` of {} {why}", asked.method, self.type_name))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;

    use super::*;
    use crate::{Limits, ObjectId, TypeName};

    fn spec(durability: Durability) -> TypeSpec {
        let methods = [
            ("read", Mode::ReadOnly, Callers::Both),
            ("write", Mode::Write, Callers::Both),
            ("clients", Mode::Write, Callers::Clients),
            ("objects", Mode::Write, Callers::Objects),
            (ON_CLIENT_GONE, Mode::Write, Callers::Both),
        ];
        TypeSpec {
            type_name: TypeName::new("T").unwrap(),
            label: String::new(),
            doc: String::new(),
            schema: 1,
            durability,
            encoding: crate::Encoding::Json,
            activation: crate::Activation::OnCall,
            limits: Limits { payload_bytes: 8, ..Limits::default() },
            methods: methods
                .map(|(name, mode, callers)| (name.into(), MethodSpec { mode, callers }))
                .into_iter()
                .collect::<BTreeMap<_, _>>(),
            json: String::new(),
        }
    }

    fn ask(method: &str) -> Invocation {
        Invocation { method: method.into(), payload: Bytes::new(), key: None, read_only: false }
    }

    #[track_caller]
    fn check(asked: &Invocation, caller: &Caller, expected: Option<ErrorKind>) {
        let answer = spec(Durability::Periodic).admit(asked, caller);
        assert_eq!(answer.as_ref().err().map(CallError::kind), expected, "{asked:?} {caller:?}");
    }

    #[test]
    fn each_method_says_who_may_call_it() {
        let client = Caller::Client(None);
        let object = Caller::Object(ObjectId::parse("T", "a").unwrap());
        let denied = Some(ErrorKind::Denied);
        check(&ask("clients"), &client, None);
        check(&ask("clients"), &object, denied);
        check(&ask("objects"), &client, denied);
        check(&ask("objects"), &object, None);
        check(&ask("objects"), &Caller::Platform, None);
        check(&ask(ON_CLIENT_GONE), &client, denied);
        check(&ask(ON_CLIENT_GONE), &object, denied);
        check(&ask(ON_CLIENT_GONE), &Caller::Platform, None);
    }

    #[test]
    fn an_unknown_method_is_not_found_and_the_known_are_named() {
        let error = spec(Durability::Periodic).admit(&ask("wirte"), &Caller::Client(None));
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.message().contains("read, write"), "{error}");
    }

    #[test]
    fn a_read_only_turn_reads_only() {
        let asked = |method| Invocation { read_only: true, ..ask(method) };
        check(&asked("read"), &Caller::Client(None), None);
        check(&asked("write"), &Caller::Client(None), Some(ErrorKind::Denied));
    }

    #[test]
    fn a_payload_over_the_limit_is_an_invalid_argument() {
        let asked = |bytes| Invocation { payload: vec![0; bytes].into(), ..ask("write") };
        check(&asked(8), &Caller::Client(None), None);
        check(&asked(9), &Caller::Client(None), Some(ErrorKind::InvalidArgument));
    }

    #[test]
    fn a_key_that_cannot_be_honoured_is_refused_and_one_that_matters_not_is_ignored() {
        let asked = |method, key: &str| Invocation { key: Some(key.into()), ..ask(method) };
        let derived = format!("{}k", crate::DERIVED);
        check(&asked("write", "k"), &Caller::Client(None), Some(ErrorKind::InvalidArgument));
        check(&asked("write", &derived), &Caller::Client(None), None);
        check(&asked("read", "k"), &Caller::Client(None), None);
        let durable = spec(Durability::Durable);
        durable.admit(&asked("write", "k"), &Caller::Client(None)).unwrap();
    }
}
