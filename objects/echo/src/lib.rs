//! `Echo`: answers what it hears. The smallest object, and the one that benchmarks call.

use wasmverse_sdk::prelude::*;

/// An object without a state.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Echo;

/// Answers what it hears.
#[object]
impl Echo {
    /// Answers its argument, whatever JSON it is, letter by letter.
    #[read_only]
    fn echo(&self, value: Json) -> Json {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmverse_sdk::{Object, TestContext};

    fn echo(payload: &[u8]) -> Result<Vec<u8>> {
        Echo.handle(&TestContext::of::<Echo>("e"), "echo", payload.to_vec())
    }

    #[test]
    fn what_it_hears_it_answers_letter_by_letter() {
        for heard in ["1", "1.50", "1e400", "\"ö\"", "{\"b\":1,\"a\":[null]}"] {
            assert_eq!(echo(heard.as_bytes()).unwrap(), heard.as_bytes());
        }
    }

    #[test]
    fn nothing_is_null() {
        assert_eq!(echo(b"").unwrap(), b"null");
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for heard in [&b"{"[..], b"\xff\xfe", b"nan", b"1 2"] {
            assert_eq!(echo(heard).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
    }
}
