//! Names of types, objects and nodes: parsed once, at the edge, and right from then on.
//!
//! An object is (type, id); its text form is `Type/id`. Ids are the users' own words, so
//! everything that is legal UTF-8 without control characters is a legal id.

use std::{fmt, str::FromStr, sync::Arc};

/// The longest type name, in bytes.
const TYPE_LENGTH_MAX: usize = 64;
/// The longest object id, in bytes.
const ID_LENGTH_MAX: usize = 255;

/// Why a name is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not `[A-Za-z][A-Za-z0-9_-]{0,63}`.
    #[error("`{0}` is no type name: use a letter, then up to 63 letters, digits, `_` or `-`")]
    TypeName(String),
    /// Empty or longer than 255 bytes.
    #[error("an object id has 1 to 255 bytes of UTF-8, this one has {0}")]
    Length(usize),
    /// Holds a control character.
    #[error("an object id has no control characters, this one has U+{0:04X}")]
    Control(u32),
    /// `shard#N/…` with an N beyond the shard count, or not a number.
    #[error("`{0}` pins to no shard: use `shard#N/…` with N below {1}")]
    Shard(String, u16),
    /// `node#…` without `HOST:PORT/`.
    #[error("`{0}` pins to no node: use `node#HOST:PORT/…`")]
    Node(String),
    /// The text form lacks its slash.
    #[error("`{0}` names no object: use `Type/id`")]
    Text(String),
}

/// The name of a type: `[A-Za-z][A-Za-z0-9_-]{0,63}`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeName(Arc<str>);

impl TypeName {
    /// Parses a type's name.
    ///
    /// # Errors
    /// [`IdError::TypeName`] if it is not of the form above.
    pub fn new(name: &str) -> Result<Self, IdError> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let fits = name.len() <= TYPE_LENGTH_MAX
            && name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
            && name.bytes().all(legal);
        if fits {
            Ok(Self(name.into()))
        } else {
            Err(IdError::TypeName(name.chars().take(80).collect()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One object: a type and an id of 1 to 255 bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    type_name: TypeName,
    id: Arc<str>,
}

impl ObjectId {
    /// The object `id` of a type.
    ///
    /// # Errors
    /// [`IdError`] if the id's length is off or it holds a control character. Whether a pin
    /// (`shard#N/`, `node#HOST:PORT/`) makes sense is for [`crate::ShardCount::place`] to say.
    pub fn new(type_name: TypeName, id: &str) -> Result<Self, IdError> {
        if id.is_empty() || id.len() > ID_LENGTH_MAX {
            return Err(IdError::Length(id.len()));
        }
        if let Some(control) = id.chars().find(|c| c.is_control()) {
            return Err(IdError::Control(control.into()));
        }
        Ok(Self { type_name, id: id.into() })
    }

    /// Parses both parts.
    ///
    /// # Errors
    /// [`IdError`] as [`TypeName::new`] and [`ObjectId::new`] give it.
    pub fn parse(type_name: &str, id: &str) -> Result<Self, IdError> {
        Self::new(TypeName::new(type_name)?, id)
    }

    /// What kind of object.
    pub fn type_name(&self) -> &TypeName {
        &self.type_name
    }

    /// Which one of them.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl FromStr for ObjectId {
    type Err = IdError;

    /// Parses the text form; the id begins after the first slash and may hold more of them.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let (type_name, id) =
            text.split_once('/').ok_or_else(|| IdError::Text(text.chars().take(80).collect()))?;
        Self::parse(type_name, id)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.type_name, self.id)
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.type_name, self.id)
    }
}

/// A node, by its configured id (by default the address that it advertises). Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// Any text names a node.
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn type_names_start_with_a_letter_and_stay_short() {
        for good in ["A", "ChatRoom", "a-b_c9", &"x".repeat(64)] {
            assert!(TypeName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "9a", "-a", "a b", "ä", "a/b", &"x".repeat(65)] {
            assert!(TypeName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_hold_anything_but_control_characters() {
        for good in ["x", "a/b", "x y", "ö€漢", "<script>", "'", "...", &"z".repeat(255)] {
            assert!(ObjectId::parse("T", good).is_ok(), "{good}");
        }
        for bad in ["", "a\nb", "\u{7f}", "\u{85}", &"z".repeat(256), &"ä".repeat(128)] {
            assert!(ObjectId::parse("T", bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn the_text_form_parses_back(name in "[A-Za-z][A-Za-z0-9_-]{0,63}", id in "[^\\p{Cc}]{1,60}") {
            let object = ObjectId::parse(&name, &id).unwrap();
            prop_assert_eq!(object.to_string().parse::<ObjectId>().unwrap(), object);
        }

        #[test]
        fn parsing_never_panics(text in ".{0,300}") {
            let _ = text.parse::<ObjectId>();
        }
    }
}
