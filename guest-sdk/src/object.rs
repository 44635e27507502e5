//! What the `#[object]` macro makes of an impl block.

use serde::{Serialize, de::DeserializeOwned};

use crate::{Context, Error, Result};

/// The whole state of an object at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The version of the type's state that wrote it.
    pub schema: u32,
    /// The object as JSON; empty: never saved.
    pub data: Vec<u8>,
}

/// One type of object, as the host sees it. `#[object]` writes it; the host's side of a test calls
/// it.
pub trait Object: Sized {
    /// The name of the type.
    const TYPE: &'static str;

    /// The version of the state that it writes.
    const SCHEMA: u32;

    /// What the type says of itself, as JSON.
    fn describe() -> String;

    /// Becomes what was saved, or a new object.
    ///
    /// # Errors
    /// The state cannot be read, or the type's own `#[on_activate]` refuses it.
    fn activate(context: &Context, state: Option<State>) -> Result<Self>;

    /// Runs one method.
    ///
    /// # Errors
    /// `invalid-argument` for a method or an argument that is none, or the method's own.
    fn handle(&mut self, context: &Context, method: &str, payload: Vec<u8>) -> Result<Vec<u8>>;

    /// The whole state now.
    ///
    /// # Errors
    /// The state has no form in JSON.
    fn snapshot(&self) -> Result<State>;

    /// The instance goes.
    fn deactivate(&mut self, context: &Context, why: &str);
}

/// What can be the state of an object: a new one is the default, and it can be saved.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the state of an object",
    label = "not a state",
    note = "derive Default, Serialize and Deserialize for it"
)]
pub trait Saved: Default + Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: Default + Serialize + DeserializeOwned> Saved for T {}

/// Reads the state of another schema.
pub(crate) type Migrate<T> = fn(u32, &[u8]) -> Result<T>;

/// The object that was saved, or a new one.
pub fn restore<T: Object + Saved>(state: Option<State>, migrate: Option<Migrate<T>>) -> Result<T> {
    let Some(State { schema, data }) = state.filter(|state| !state.data.is_empty()) else {
        return Ok(T::default());
    };
    if schema == T::SCHEMA {
        let refuse = |error| format!("the state of schema {schema} cannot be read: {error}");
        return serde_json::from_slice(&data)
            .map_err(|error| Error::new("unreadable-state", refuse(error)));
    }
    let refuse = || {
        let known = T::SCHEMA;
        Error::new(
            "unknown-schema",
            format!("the state is of schema {schema}, this code reads schema {known}"),
        )
    };
    migrate.ok_or_else(refuse)?(schema, &data)
}

/// The whole state now.
pub fn save<T: Object + Saved>(object: &T) -> Result<State> {
    let data = serde_json::to_vec(object).map_err(|error| {
        Error::new("unwritable-state", format!("the state has no form in JSON: {error}"))
    })?;
    Ok(State { schema: T::SCHEMA, data })
}
