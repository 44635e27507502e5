//! A word that must not be seen: not in logs, not in `--print-config`.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use subtle::ConstantTimeEq as _;

/// A secret. In a configuration it stands as itself, or as `file:PATH` or `env:NAME`.
#[derive(Clone)]
pub struct Secret(Arc<str>);

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Its file cannot be read.
    #[error("failed to read the secret's file {0}: {1}")]
    File(String, #[source] std::io::Error),
    /// Its variable is not set.
    #[error("the secret's variable {0} is not set, or not UTF-8")]
    Variable(String),
    /// It is empty.
    #[error("the secret is empty: leave the key out if there is to be none")]
    Empty,
}

impl Secret {
    /// Finds a secret: in the file of `file:PATH`, in the variable of `env:NAME`, else the text
    /// itself. White space around it does not count.
    ///
    /// # Errors
    /// [`SecretError`] if it cannot be found or is empty.
    pub fn find(reference: &str) -> Result<Self, SecretError> {
        let found = if let Some(path) = reference.strip_prefix("file:") {
            std::fs::read_to_string(path).map_err(|error| SecretError::File(path.into(), error))?
        } else if let Some(name) = reference.strip_prefix("env:") {
            std::env::var(name).map_err(|_| SecretError::Variable(name.into()))?
        } else {
            reference.to_owned()
        };
        match found.trim() {
            "" => Err(SecretError::Empty),
            secret => Ok(Self(secret.into())),
        }
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `candidate` is the secret, in a time that tells nothing but its length.
    pub fn matches(&self, candidate: &str) -> bool {
        self.0.as_bytes().ct_eq(candidate.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"…\"")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("…")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not the deserializer's own error: it would show the value.
        let reference = String::deserialize(deserializer)
            .map_err(|_| D::Error::custom("a secret is a text, `file:PATH` or `env:NAME`"))?;
        Self::find(&reference).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::find("hunter2").unwrap();
        assert_eq!(format!("{secret:?}"), "\"…\"");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"…\"");
        assert!(secret.matches("hunter2"));
        for wrong in ["hunter", "hunter22", "Hunter2", ""] {
            assert!(!secret.matches(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_secret_comes_from_a_file_or_a_variable_trimmed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "  hunter2\n").unwrap();
        let found = Secret::find(&format!("file:{}", file.path().display())).unwrap();
        assert_eq!(found.expose(), "hunter2");
        // Cargo sets this one for every test.
        assert_eq!(Secret::find("env:CARGO_PKG_NAME").unwrap().expose(), "wasmverse-daemon");
    }

    #[test]
    fn a_secret_that_is_not_there_or_empty_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let empty = Secret::find(&format!("file:{}", file.path().display())).unwrap_err();
        assert!(matches!(empty, SecretError::Empty), "{empty}");
        let missing = Secret::find("file:/nowhere/at/all").unwrap_err();
        assert!(missing.to_string().contains("/nowhere/at/all"), "{missing}");
        let unset = Secret::find("env:WASMVERSE_NO_SUCH_VARIABLE").unwrap_err();
        assert!(unset.to_string().contains("WASMVERSE_NO_SUCH_VARIABLE"), "{unset}");
        assert!(Secret::find(" ").is_err());
    }

    #[test]
    fn an_error_does_not_show_what_stood_there() {
        let error = serde_json::from_str::<Secret>("31337").unwrap_err();
        assert!(!error.to_string().contains("31337"), "{error}");
    }
}
