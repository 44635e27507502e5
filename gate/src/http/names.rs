//! Names in paths: which object, which method.
//!
//! The raw path is taken apart at its slashes and then decoded, piece by piece, so that an id may
//! hold anything: `a/b` arrives as `a%2Fb`, `a%2Fb` as `a%252Fb`, and `..` is an id like any other.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use wasmverse_core::{CallError, ErrorKind, ObjectId, TypeName};

/// One piece of a path in plain text.
pub(crate) fn decode(piece: &str) -> Result<Cow<'_, str>, CallError> {
    percent_decode_str(piece).decode_utf8().map_err(|_| {
        CallError::new(
            ErrorKind::InvalidArgument,
            "a name in the path is not UTF-8 after percent-decoding",
        )
    })
}

/// The object that `…/{type}/{id}` ends in, from the pieces behind `prefix`.
pub(crate) fn object(path: &str, prefix: &str) -> Result<ObjectId, CallError> {
    let mut pieces = pieces(path, prefix);
    one(&mut pieces)
}

/// The object and the method that `…/{type}/{id}/{method}` ends in.
pub(crate) fn method<'a>(
    path: &'a str,
    prefix: &str,
) -> Result<(ObjectId, Cow<'a, str>), CallError> {
    let mut pieces = pieces(path, prefix);
    let object = one(&mut pieces)?;
    Ok((object, decode(pieces.next().unwrap_or_default())?))
}

/// The type that the piece behind `prefix` names.
pub(crate) fn type_name(path: &str, prefix: &str) -> Result<TypeName, CallError> {
    Ok(TypeName::new(&piece(path, prefix)?)?)
}

/// The name that the piece behind `prefix` is.
pub(crate) fn piece<'a>(path: &'a str, prefix: &str) -> Result<Cow<'a, str>, CallError> {
    decode(pieces(path, prefix).next().unwrap_or_default())
}

/// The number that the piece behind `prefix` is.
pub(crate) fn number(path: &str, prefix: &str) -> Result<u64, CallError> {
    let piece = piece(path, prefix)?;
    piece.parse().map_err(|_| {
        CallError::new(ErrorKind::InvalidArgument, format!("`{piece}` in the path is no number"))
    })
}

fn pieces<'a>(path: &'a str, prefix: &str) -> std::str::Split<'a, char> {
    path.strip_prefix(prefix).unwrap_or_default().split('/')
}

fn one<'a>(pieces: &mut impl Iterator<Item = &'a str>) -> Result<ObjectId, CallError> {
    let type_name = decode(pieces.next().unwrap_or_default())?;
    let id = decode(pieces.next().unwrap_or_default())?;
    Ok(ObjectId::parse(&type_name, &id)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    const PREFIX: &str = "/v1/objects/";

    #[track_caller]
    fn check(piece: &str, id: &str) {
        let path = format!("/v1/objects/Counter/{piece}/add");
        let (object, method) = method(&path, PREFIX).unwrap();
        assert_eq!((object.id(), &*method), (id, "add"), "{piece}");
    }

    #[test]
    fn ids_are_decoded_once_and_only_once() {
        check("visits", "visits");
        check("a%2Fb", "a/b");
        check("a%252Fb", "a%2Fb");
        check("x%20y", "x y");
        check("x+y", "x+y");
        check("%C3%B6%E2%82%AC%E6%BC%A2", "ö€漢");
        check("...", "...");
        check("..", "..");
        check("%2e%2E", "..");
        check(".", ".");
        check("q%3Fx%3D1%26y", "q?x=1&y");
        check("%7Btag%7Drest", "{tag}rest");
        check("shard%237%2Fabc", "shard#7/abc");
        check("100%", "100%");
        check(&"z".repeat(255), &"z".repeat(255));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for path in [
            "/v1/objects/Counter/%FF/add",
            "/v1/objects/Counter/a%0Ab/add",
            "/v1/objects/Counter//add",
            "/v1/objects/9/x/add",
            "/v1/objects/%C3%B6/x/add",
            "/v1/objects/Counter",
            "/elsewhere",
            "",
        ] {
            let error = method(path, PREFIX).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{path}");
        }
        let long = format!("/v1/objects/Counter/{}/add", "z".repeat(256));
        assert!(method(&long, PREFIX).is_err());
        assert!(method("/v1/objects/Counter/x/%FF", PREFIX).is_err());
    }

    #[test]
    fn a_number_is_one() {
        assert_eq!(number("/letters/17", "/letters/").unwrap(), 17);
        assert_eq!(number("/letters/17/retry", "/letters/").unwrap(), 17);
        for path in ["/letters/", "/letters/-1", "/letters/x", "/letters/99999999999999999999"] {
            let error = number(path, "/letters/").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{path}");
        }
    }

    proptest! {
        #[test]
        fn every_legal_id_arrives_as_it_was_sent(id in "[^\\p{Cc}]{1,63}", name in "[^\\p{Cc}]{1,20}") {
            let (piece, name_piece) =
                (utf8_percent_encode(&id, NON_ALPHANUMERIC), utf8_percent_encode(&name, NON_ALPHANUMERIC));
            let path = format!("{PREFIX}Counter/{piece}/{name_piece}");
            let (object, method) = method(&path, PREFIX).unwrap();
            prop_assert_eq!(object.id(), id.as_str());
            prop_assert_eq!(&*method, name.as_str());
        }

        #[test]
        fn no_path_makes_it_panic(path in "\\PC{0,80}") {
            let _ = (method(&path, ""), object(&path, ""), type_name(&path, ""));
        }
    }
}
