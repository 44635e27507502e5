//! Other objects: their names, and calls to them.

use std::{borrow::Cow, fmt, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Link, Result, codec};

/// The name of one object: `Type/id`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// The name of its type.
    pub type_name: Cow<'static, str>,
    /// Its id among the objects of that type.
    pub id: String,
}

impl ObjectId {
    /// The object of that type with that id. The host checks both when it is called.
    pub fn new(type_name: impl Into<Cow<'static, str>>, id: impl Into<String>) -> Self {
        Self { type_name: type_name.into(), id: id.into() }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.type_name, self.id)
    }
}

/// An object to call, and how.
#[derive(Clone, Debug)]
pub struct Target {
    object: ObjectId,
    timeout: Option<Duration>,
    key: Option<String>,
    link: Link,
}

impl Target {
    /// An object of whatever type.
    pub fn new(object: ObjectId) -> Self {
        Self::over(Link::current(), object)
    }

    pub(crate) fn over(link: Link, object: ObjectId) -> Self {
        Self { object, timeout: None, key: None, link }
    }

    /// Who it is.
    pub fn object(&self) -> &ObjectId {
        &self.object
    }

    /// Give up after so long, should the own deadline not be earlier.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Makes the call exactly once in effect: whoever makes it again with this key gets the result of
    /// the first time. The other is durable, or refuses it; a send needs no key and takes none.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// A call of a method by its name. `&()` is no argument.
    pub fn request<R: DeserializeOwned>(
        &self,
        method: impl Into<Cow<'static, str>>,
        argument: &(impl Serialize + ?Sized),
    ) -> Request<R> {
        let payload = codec::encode_argument(argument);
        Request::new(self.clone(), method.into(), payload, codec::decode)
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }
}

/// A call that is ready to be made: now ([`Request::call`]), one way ([`Request::send`]), side by
/// side with others ([`Context::call_many`](crate::Context::call_many)), or, if it is one to the
/// object itself, at a later time ([`Context::remind`](crate::Context::remind)).
#[must_use = "it is not made yet"]
pub struct Request<R> {
    target: Target,
    method: Cow<'static, str>,
    payload: Result<Vec<u8>>,
    read: fn(&[u8]) -> Result<R>,
}

impl<R> Request<R> {
    #[doc(hidden)]
    pub fn new(
        target: Target,
        method: Cow<'static, str>,
        payload: Result<Vec<u8>>,
        read: fn(&[u8]) -> Result<R>,
    ) -> Self {
        Self { target, method, payload, read }
    }

    /// Makes the call and waits for its result.
    ///
    /// # Errors
    /// What the other answered, or why it could not be asked.
    pub fn call(self) -> Result<R> {
        let reply = self.target.link.call(&self.outgoing()?)?;
        self.read(&reply)
    }

    /// Makes the call one way: it leaves when this turn ends well, and arrives exactly once if both
    /// objects are durable.
    ///
    /// # Errors
    /// `denied` in a read-only turn, `invalid-argument` for a name that is none, and for a key or a
    /// timeout, which a send does not have.
    pub fn send(self) -> Result<()> {
        let call = self.outgoing()?;
        call.without_options("a send", "it arrives once between durable objects by itself")?;
        self.target.link.send(&call)
    }

    pub(crate) fn read(&self, reply: &[u8]) -> Result<R> {
        (self.read)(reply)
    }

    /// The call in the form in which it leaves; fails if its argument has no such form.
    pub(crate) fn outgoing(&self) -> Result<Outgoing<'_>> {
        let payload = self.payload.as_deref().map_err(Error::clone)?;
        let mut options = Vec::new();
        if let Some(timeout) = self.target.timeout {
            // Rounded up: a timeout that is set is never none.
            let part = u64::from(timeout.subsec_nanos().div_ceil(1_000_000));
            let millis = timeout.as_secs().saturating_mul(1000).saturating_add(part).max(1);
            options.push(("timeout", Cow::Owned(format!("{millis}ms"))));
        }
        if let Some(key) = &self.target.key {
            options.push(("idempotency-key", Cow::Borrowed(key.as_str())));
        }
        Ok(Outgoing { to: &self.target.object, method: &self.method, payload, options })
    }
}

impl<R> fmt::Debug for Request<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("target", &self.target)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// A call in the form in which it leaves.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) to: &'a ObjectId,
    pub(crate) method: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) options: Vec<(&'static str, Cow<'a, str>)>,
}

impl Outgoing<'_> {
    /// Refuses a key and a timeout where nobody waits for the end of the call.
    pub(crate) fn without_options(&self, what: &str, why_no_key: &str) -> Result<()> {
        let message = match self.options.first() {
            None => return Ok(()),
            Some(("timeout", _)) => {
                format!("{what} has no timeout, since nobody waits for it: leave out `.timeout(…)`")
            }
            Some(_) => format!("{what} has no key, since {why_no_key}: leave out `.key(…)`"),
        };
        Err(Error::invalid_argument(message))
    }
}

/// A typed reference to an object, such as the `CounterRef` that `#[object]` and `#[interface]`
/// write: the methods of the object are its methods.
///
/// A method of the object that is named like one of these wins:
/// `Reference::key(&reference, "…")` still finds the other.
pub trait Reference: From<Target> {
    /// The name of the type.
    const TYPE: &'static str;

    /// The same methods, sent one way.
    type OneWay: From<Target>;

    /// The same methods, made ready for [`Context::call_many`](crate::Context::call_many) and
    /// [`Context::remind`](crate::Context::remind).
    type Requests: From<Target>;

    /// The same without its type.
    fn target(&self) -> &Target;

    /// The object of that id.
    fn at(id: impl Into<String>) -> Self {
        Target::new(ObjectId::new(Self::TYPE, id)).into()
    }

    /// Give up after so long, should the own deadline not be earlier.
    #[must_use]
    fn timeout(&self, timeout: Duration) -> Self {
        self.target().clone().timeout(timeout).into()
    }

    /// Makes the call exactly once in effect: whoever makes it again with this key gets the result of
    /// the first time. The other is durable, or refuses it; a send needs no key and takes none.
    #[must_use]
    fn key(&self, key: impl Into<String>) -> Self {
        self.target().clone().key(key).into()
    }

    /// The next method is sent one way: it leaves when this turn ends well, arrives exactly once if
    /// both objects are durable, and its result goes to nobody.
    fn send(&self) -> Self::OneWay {
        self.target().clone().into()
    }

    /// The next method is made ready, not called: for [`Context::call_many`](crate::Context::call_many)
    /// and [`Context::remind`](crate::Context::remind).
    fn request(&self) -> Self::Requests {
        self.target().clone().into()
    }

    /// Creates it now.
    ///
    /// # Errors
    /// `already-exists` if it is there.
    fn create(&self) -> Result<()> {
        self.target().link().create(self.target().object())
    }

    /// Deletes it with all its state: another one now, oneself when this turn ends well.
    ///
    /// # Errors
    /// What the platform answered.
    fn delete(&self) -> Result<()> {
        self.target().link().delete(self.target().object())
    }

    /// Whether it was created, or completed a write turn, and was not deleted since.
    ///
    /// # Errors
    /// What the platform answered.
    fn exists(&self) -> Result<bool> {
        self.target().link().exists(self.target().object())
    }

    /// Who it is.
    fn object(&self) -> &ObjectId {
        self.target().object()
    }
}
