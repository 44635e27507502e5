//! Arguments and results as bytes: JSON, or the bytes themselves.
//!
//! No argument is no bytes, one is its value, several are an object by name. No bytes read as
//! `null`, so that what is optional may be left out.

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Result};

/// What can travel in a call: arguments, results, and what is in them.
///
/// Every type that has `Serialize`, `Deserialize` and `JsonSchema` is one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel in a call",
    label = "not an argument or a result",
    note = "derive Serialize, Deserialize and JsonSchema for it, and own what it holds (no references)"
)]
pub trait Payload: Serialize + DeserializeOwned + JsonSchema {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + JsonSchema> Payload for T {}

fn or_null(payload: &[u8]) -> &[u8] {
    if payload.is_empty() { b"null" } else { payload }
}

/// Checks that a method without arguments got none.
pub fn no_argument(method: &str, payload: &[u8]) -> Result<()> {
    match or_null(payload) {
        b"null" => Ok(()),
        _ => Err(Error::invalid_argument(format!("`{method}` takes no argument"))),
    }
}

/// Reads the only argument of a method.
pub fn one_argument<T: Payload>(method: &str, name: &str, payload: &[u8]) -> Result<T> {
    serde_json::from_slice(or_null(payload)).map_err(|error| match payload.is_empty() {
        true => Error::invalid_argument(format!("`{method}` wants its argument {name}")),
        false => unreadable(method, name, &error),
    })
}

/// Reads the arguments of a method that has several.
pub fn arguments<T: DeserializeOwned>(method: &str, names: &str, payload: &[u8]) -> Result<T> {
    if payload.trim_ascii_start().first() != Some(&b'{') {
        let wanted = format!("`{method}` wants an object with {names}");
        return Err(Error::invalid_argument(wanted));
    }
    serde_json::from_slice(payload).map_err(|error| unreadable(method, names, &error))
}

fn unreadable(method: &str, names: &str, error: &serde_json::Error) -> Error {
    Error::invalid_argument(format!("`{method}` cannot read {names}: {error}"))
}

/// Writes an argument or a result.
pub fn write<T: Payload>(value: &T) -> Result<Vec<u8>> {
    encode(value)
}

/// Reads a result.
pub fn read<T: Payload>(payload: &[u8]) -> Result<T> {
    decode(payload)
}

/// Reads a result that has none.
pub fn read_nothing(_: &[u8]) -> Result<()> {
    Ok(())
}

/// Reads a result that is bytes.
pub fn read_bytes<T: From<Vec<u8>>>(payload: &[u8]) -> Result<T> {
    Ok(payload.to_vec().into())
}

/// Writes whatever has a form in JSON.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| Error::new("no-json", format!("a value has no form in JSON: {error}")))
}

/// Writes the argument of a call by name. Nothing, as `&()`, is no bytes.
pub(crate) fn encode_argument<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    let payload = encode(value)?;
    Ok(if payload == b"null" { Vec::new() } else { payload })
}

/// Reads an argument that was kept for later.
pub(crate) fn decode_argument<T: DeserializeOwned>(payload: &[u8]) -> Result<T> {
    serde_json::from_slice(or_null(payload))
        .map_err(|error| Error::new("unexpected-argument", format!("cannot read it: {error}")))
}

/// Reads whatever the reader takes it for.
pub(crate) fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T> {
    serde_json::from_slice(or_null(payload))
        .map_err(|error| Error::new("unexpected-result", format!("cannot read a result: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn what_is_optional_may_be_left_out() {
        assert_eq!(one_argument::<Option<u8>>("m", "`a`", b"").unwrap(), None);
        let error = one_argument::<u8>("m", "`a`", b"").unwrap_err();
        assert_eq!(error.message(), "`m` wants its argument `a`");
    }

    #[test]
    fn a_wrong_argument_is_named() {
        let error = one_argument::<u8>("m", "`a`", b"\"x\"").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().starts_with("`m` cannot read `a`: invalid type"), "{error}");
    }

    #[test]
    fn no_argument_is_nothing_or_null() {
        assert!(no_argument("m", b"").is_ok());
        assert!(no_argument("m", b"null").is_ok());
        assert!(no_argument("m", b"1").is_err());
    }

    #[test]
    fn several_arguments_are_an_object_and_no_list() {
        #[derive(serde::Deserialize, Debug)]
        struct Two {
            #[expect(dead_code, reason = "read by Debug")]
            a: u8,
        }
        assert!(arguments::<Two>("m", "`a`", b" {\"a\":1}").is_ok());
        assert!(arguments::<Two>("m", "`a`", b"[1]").is_err());
        let error = arguments::<Two>("m", "`a`", b"{}").unwrap_err();
        assert!(error.message().contains("missing field `a`"), "{error}");
    }
}
