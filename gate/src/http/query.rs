//! Query strings, read into a struct that says what may stand there.

use axum::{extract::Query, http::Uri};
use serde::de::DeserializeOwned;
use wasmverse_core::{CallError, ErrorKind};

/// The parameters of a request. The struct should deny unknown fields, so that a slip shows.
///
/// # Errors
/// `invalid-argument`, with the reason.
pub(crate) fn parameters<T: DeserializeOwned>(uri: &Uri) -> Result<T, CallError> {
    let parsed = Query::try_from_uri(uri);
    let Query(parameters) = parsed
        .map_err(|rejection| CallError::new(ErrorKind::InvalidArgument, rejection.body_text()))?;
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Parameters {
        #[serde(default)]
        prefix: String,
        limit: Option<u32>,
        deploy: Option<bool>,
    }

    fn read(uri: &str) -> Result<Parameters, CallError> {
        parameters(&uri.parse().unwrap())
    }

    #[test]
    fn parameters_are_decoded() {
        let all = read("/x?prefix=a%2Fb+c%2B&limit=7&&deploy=false").unwrap();
        let prefix = "a/b c+".to_owned();
        assert_eq!(all, Parameters { prefix, limit: Some(7), deploy: Some(false) });
        let none = Parameters { prefix: String::new(), limit: None, deploy: None };
        assert_eq!(read("/x").unwrap(), none);
    }

    #[test]
    fn what_is_unknown_or_doubled_or_no_number_is_refused() {
        for bad in [
            "/x?prefx=a",
            "/x?limit=1&limit=2",
            "/x?limit=",
            "/x?limit=-1",
            "/x?limit=ten",
            "/x?limit=4294967296",
            "/x?deploy=no",
        ] {
            let error = read(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{bad}");
        }
    }
}
