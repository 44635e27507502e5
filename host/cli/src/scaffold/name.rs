//! The name of a new crate, and of the type in it.

use std::str::FromStr;

/// A name that cargo takes for a package and the host for a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// As given: `guest-book`.
    pub(crate) package: String,
    /// In CamelCase: `GuestBook`.
    pub(crate) type_name: String,
}

/// What Rust, cargo, the crates that a new one depends on, and its file `src/lib.rs` call so.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "schemars",
    "sdk",
    "self",
    "serde",
    "serde_json",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "wasmverse_sdk",
    "wasmverse_sdk_macros",
    "where",
    "while",
    "wit_bindgen",
    "yield",
];

/// What the prelude and the standard library call so.
const TAKEN_TYPES: &[&str] = &[
    "Box",
    "Clone",
    "Context",
    "Copy",
    "Default",
    "Deserialize",
    "Drop",
    "Eq",
    "Err",
    "Error",
    "ErrorKind",
    "Fn",
    "From",
    "Into",
    "Iterator",
    "Json",
    "JsonSchema",
    "Level",
    "None",
    "ObjectId",
    "Ok",
    "Option",
    "Ord",
    "Reference",
    "Result",
    "Self",
    "Send",
    "Serialize",
    "Some",
    "String",
    "Sync",
    "ToString",
    "Vec",
];

const LENGTH_MAX: usize = 64;

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |why: &str| Err(format!("`{text}` cannot be the name of a crate: {why}"));
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !text.starts_with(|c: char| c.is_ascii_alphabetic()) || !text.chars().all(plain) {
            return refuse("use a letter, then letters, digits, `-` or `_`");
        }
        if text.len() > LENGTH_MAX {
            return refuse("use 64 characters at most");
        }
        if TAKEN.contains(&text.replace('-', "_").to_ascii_lowercase().as_str()) {
            return refuse("the word is taken in Rust");
        }
        let type_name = camel_case(text);
        if TAKEN_TYPES.contains(&type_name.as_str()) {
            return refuse(&format!("its type would be `{type_name}`, and Rust has one"));
        }
        Ok(Self { package: text.to_owned(), type_name })
    }
}

fn camel_case(text: &str) -> String {
    let words = text.split(['-', '_']).filter(|word| !word.is_empty());
    words.map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_name_gives_the_types_name() {
        let pairs = [
            ("hello", "Hello"),
            ("guest-book", "GuestBook"),
            ("chat_room_2", "ChatRoom2"),
            ("ChatRoom", "ChatRoom"),
        ];
        for (package, type_name) in pairs {
            let name: Name = package.parse().unwrap();
            assert_eq!((name.package.as_str(), name.type_name.as_str()), (package, type_name));
            assert!(wasmverse_core::TypeName::new(&name.type_name).is_ok());
        }
    }

    #[test]
    fn a_name_that_would_not_compile_is_refused_with_the_reason() {
        let long = "a".repeat(LENGTH_MAX + 1);
        let refused = [
            "",
            "9lives",
            "-x",
            "a b",
            "ü",
            "a/b",
            &long,
            "fn",
            "serde",
            "test",
            "Self",
            "result",
            "wasmverse-sdk",
            "proc-macro",
        ];
        for text in refused {
            let problem = text.parse::<Name>().unwrap_err();
            assert!(problem.contains("cannot be the name of a crate: "), "{text}: {problem}");
        }
    }
}
