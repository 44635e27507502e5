//! A call on its way to an object, and the chain of callers that it carries.

use std::{fmt, sync::Arc, time::Instant};

use bytes::Bytes;

use crate::{CallError, ErrorKind, ObjectId, SendNumber};

/// What the keys begin with that the platform derives itself, and no other key may: where one cannot
/// be honoured it is ignored, because nobody asked for it.
pub const DERIVED: char = '\u{1}';

/// How many objects may wait for the answer of one call.
const CHAIN_LENGTH_MAX: u16 = 64;

/// Something to be done at an object. It travels through gate, router and node unchanged.
#[derive(Clone, Debug)]
pub struct Call {
    /// Whom it concerns.
    pub object: ObjectId,
    /// What to do there.
    pub action: Action,
    /// Who asks.
    pub caller: Caller,
    /// The objects that wait for the answer, outermost first.
    pub chain: Chain,
    /// When the caller gives up. Never extended on the way.
    pub deadline: Instant,
    /// W3C trace context.
    pub traceparent: Option<Arc<str>>,
}

/// What to do at an object.
#[derive(Clone, Debug)]
pub enum Action {
    /// Run a turn. Answered by [`Reply::Payload`].
    Invoke(Invocation),
    /// Run the turn that a send asks for, the calling object's of that number: once, where the type is
    /// durable. Answered by [`Reply::Payload`], also if it was run before.
    Deliver(Invocation, SendNumber),
    /// Make it exist. Answered by [`Reply::Done`], or `already-exists`.
    Create,
    /// Remove it with all its state. Answered by [`Reply::Done`], also if there was none.
    Delete,
    /// Does it exist? Waits for no turn. Answered by [`Reply::Exists`].
    Exists,
    /// These clients are gone: its method `on_client_gone` hears of each, if it has one and the
    /// object exists. From the platform, one way; answered by [`Reply::Done`] at once.
    ClientsGone(Vec<Arc<str>>),
}

/// A method and its argument.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The method's plain name (`send_message`).
    pub method: Arc<str>,
    /// The argument, in the type's encoding; empty: none.
    pub payload: Bytes,
    /// Makes it exactly once in effect; one that begins with [`DERIVED`] is the platform's own.
    pub key: Option<Arc<str>>,
    /// Made by a read-only turn: only a read-only method may answer it.
    pub read_only: bool,
}

impl Invocation {
    /// Whether its caller chose its key.
    pub fn has_own_key(&self) -> bool {
        self.key.as_ref().is_some_and(|key| !key.starts_with(DERIVED))
    }
}

/// Who made a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A client of a gate; with a session it has an id, `gate-address/unique`.
    Client(Option<Arc<str>>),
    /// Another object.
    Object(ObjectId),
    /// The platform itself: a reminder, `on_client_gone`, `auto_load`.
    Platform,
}

impl Caller {
    /// Among whose keys a key of this caller is: an object has its own; all clients share one, until
    /// they are told apart by who they are.
    pub fn origin(&self) -> String {
        match self {
            Self::Object(object) => object.to_string(),
            Self::Client(_) | Self::Platform => String::new(),
        }
    }
}

/// A good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A method's result; empty: it has none.
    Payload(Bytes),
    /// Created or deleted.
    Done,
    /// Whether the object exists.
    Exists(bool),
}

impl Reply {
    /// The payload of a method's result; empty for the other answers.
    pub fn into_payload(self) -> Bytes {
        match self {
            Self::Payload(payload) => payload,
            Self::Done | Self::Exists(_) => Bytes::new(),
        }
    }
}

/// The objects that wait for each other, outermost first, and when the first of their calls began.
/// Cheap to clone and to extend.
#[derive(Clone, Default)]
pub struct Chain {
    /// The revision of the cluster's view at that time; 0: it has not begun.
    began: u64,
    last: Option<Arc<Link>>,
}

struct Link {
    object: ObjectId,
    length: u16,
    before: Chain,
}

impl Chain {
    /// The chain with `object` waiting, too.
    #[must_use]
    pub fn and(&self, object: &ObjectId) -> Self {
        let length = self.length().saturating_add(1);
        let link = Link { object: object.clone(), length, before: self.clone() };
        Self { began: self.began, last: Some(Arc::new(link)) }
    }

    /// When its first call began, as a revision of the cluster's view; 0: it has not.
    pub fn began(&self) -> u64 {
        self.began
    }

    /// The chain as one that began then.
    #[must_use]
    pub fn since(self, began: u64) -> Self {
        Self { began, ..self }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// How many objects wait.
    pub fn length(&self) -> u16 {
        self.last.as_ref().map_or(0, |link| link.length)
    }

    /// Whether `object` waits in it.
    pub fn contains(&self, object: &ObjectId) -> bool {
        self.inwards().any(|waiting| waiting == object)
    }

    /// The objects, outermost first.
    pub fn objects(&self) -> Vec<&ObjectId> {
        let mut objects: Vec<_> = self.inwards().collect();
        objects.reverse();
        objects
    }

    /// May `target` be called from here?
    ///
    /// # Errors
    /// `cycle`, with the chain printed, if `target` waits in the chain or the chain is too deep.
    pub fn admit(&self, target: &ObjectId) -> Result<(), CallError> {
        let problem = if self.contains(target) {
            format!("{target} waits for this very call: {self} → {target}")
        } else if self.length() > CHAIN_LENGTH_MAX {
            format!("the call chain is deeper than {CHAIN_LENGTH_MAX}: {self} → {target}")
        } else {
            return Ok(());
        };
        Err(CallError::new(ErrorKind::Cycle, problem)
            .about(target)
            .with("chain", format!("{self} → {target}")))
    }

    fn inwards(&self) -> impl Iterator<Item = &ObjectId> {
        std::iter::successors(self.last.as_deref(), |link| link.before.last.as_deref())
            .map(|link| &link.object)
    }
}

impl<'a> FromIterator<&'a ObjectId> for Chain {
    fn from_iter<I: IntoIterator<Item = &'a ObjectId>>(objects: I) -> Self {
        objects.into_iter().fold(Self::default(), |chain, object| chain.and(object))
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, object) in self.objects().into_iter().enumerate() {
            let arrow = if place == 0 { "" } else { " → " };
            write!(f, "{arrow}{object}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(id: &str) -> ObjectId {
        ObjectId::parse("T", id).unwrap()
    }

    #[test]
    fn a_call_back_into_the_chain_is_a_cycle_with_the_chain_printed() {
        let chain = Chain::default().and(&object("a")).and(&object("b"));
        assert!(chain.admit(&object("c")).is_ok());
        let error = chain.admit(&object("a")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cycle);
        assert!(error.message().contains("T/a → T/b → T/a"), "{error}");
    }

    #[test]
    fn sixty_four_may_wait_and_no_more() {
        let ids: Vec<_> = (0..65).map(|n| object(&n.to_string())).collect();
        assert!(ids[..64].iter().collect::<Chain>().admit(&object("x")).is_ok());
        let error = ids.iter().collect::<Chain>().admit(&object("x")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cycle);
    }

    #[test]
    fn objects_come_back_outermost_first() {
        let ids = [object("a"), object("b"), object("c")];
        assert_eq!(ids.iter().collect::<Chain>().objects(), ids.iter().collect::<Vec<_>>());
    }
}
