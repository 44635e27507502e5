//! What a type says of itself, and the limits that its turns run within.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use crate::TypeName;

/// What a component's `describe` said, checked. `json` is that description, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeSpec {
    /// The type's name.
    pub type_name: TypeName,
    /// A label for people; it need not be unique.
    pub label: String,
    /// One paragraph for people.
    pub doc: String,
    /// The version of its state that it writes.
    pub schema: u32,
    /// When its state is saved.
    pub durability: Durability,
    /// How arguments, results and state are written.
    pub encoding: Encoding,
    /// Whether the first call makes an object.
    pub activation: Activation,
    /// What its turns may use.
    pub limits: Limits,
    /// Its methods, by name.
    pub methods: BTreeMap<Arc<str>, MethodSpec>,
    /// The description as the component gave it (JSON).
    pub json: String,
}

/// One method of a type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MethodSpec {
    /// Whether it may change anything.
    pub mode: Mode,
    /// Who may call it.
    pub callers: Callers,
}

/// A closed set of words in descriptions, with the default first.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// All words of the set, as descriptions spell them.
            pub const WORDS: &[&str] = &[$($word),+];

            /// The word, as descriptions spell it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The meaning of a word.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// When state is saved.
    Durability {
        /// Never; sleep, hot reload and planned hand-off carry it.
        #[default]
        Volatile = "volatile",
        /// Every interval while changed, and on sleep, hand-off and shutdown.
        Periodic = "periodic",
        /// At the end of every turn that changed something, before anyone hears of it.
        Durable = "durable",
    }
}

words! {
    /// How arguments, results and state are written.
    Encoding {
        /// JSON text.
        #[default]
        Json = "json",
        /// Protocol buffers.
        Protobuf = "protobuf",
        /// The type's own affair.
        Bytes = "bytes",
    }
}

words! {
    /// What makes an object exist.
    Activation {
        /// Its first call.
        #[default]
        OnCall = "on-call",
        /// Only `create`.
        Explicit = "explicit",
    }
}

words! {
    /// Whether a method may change anything.
    Mode {
        /// It may.
        #[default]
        Write = "write",
        /// It may not: no write, create, delete, push, send or reminder.
        ReadOnly = "read-only",
    }
}

words! {
    /// Who may call a method.
    Callers {
        /// Everyone.
        #[default]
        Both = "both",
        /// Clients only.
        Clients = "clients",
        /// Objects (and the platform) only.
        Objects = "objects",
    }
}

/// What the turns of a type may use. The operator's bounds are of the same shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// CPU time of one turn.
    pub cpu: Duration,
    /// Time of one turn in all, waiting included.
    pub time: Duration,
    /// Linear memory of one instance, in bytes.
    pub memory_bytes: usize,
    /// Elements in all tables of one instance.
    pub table_elements: usize,
    /// An argument, a result, a push, a send or a snapshot, in bytes.
    pub payload_bytes: usize,
    /// Calls of host functions in one turn; the clock's are among them, lines of the log are not.
    pub host_calls: u32,
    /// What one turn may write to its log, in bytes; the rest is dropped and counted.
    pub log_bytes: usize,
    /// Calls that may wait for one object.
    pub mailbox_length: usize,
    /// Keys in an object's storage.
    pub storage_keys: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu: Duration::from_secs(1),
            time: Duration::from_secs(60),
            memory_bytes: 64 << 20,
            table_elements: 100_000,
            payload_bytes: 4 << 20,
            host_calls: 10_000,
            log_bytes: 64 << 10,
            mailbox_length: 1024,
            storage_keys: 1_000_000,
        }
    }
}

/// The names under which a description sets limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// `cpu_ms`
    Cpu,
    /// `time_ms`
    Time,
    /// `memory_bytes`
    Memory,
    /// `table_elements`
    Tables,
    /// `payload_bytes`
    Payload,
    /// `host_calls`
    HostCalls,
    /// `log_bytes`
    Log,
    /// `mailbox_length`
    Mailbox,
    /// `storage_keys`
    StorageKeys,
}

impl LimitKind {
    /// Every limit with its name.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Cpu, "cpu_ms"),
        (Self::Time, "time_ms"),
        (Self::Memory, "memory_bytes"),
        (Self::Tables, "table_elements"),
        (Self::Payload, "payload_bytes"),
        (Self::HostCalls, "host_calls"),
        (Self::Log, "log_bytes"),
        (Self::Mailbox, "mailbox_length"),
        (Self::StorageKeys, "storage_keys"),
    ];
}

/// Why a type's limit is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// No limit has that name.
    #[error("`limits.{0}` is no limit: known are {known}", known = known_limits())]
    Unknown(String),
    /// More than the operator grants, or nothing at all.
    #[error("`limits.{name}` is {asked}: the operator grants 1 to {bound}")]
    Bound {
        /// Which one.
        name: String,
        /// What the type asked for.
        asked: u64,
        /// What there is to be had.
        bound: u64,
    },
}

fn known_limits() -> String {
    LimitKind::ALL.map(|(_, name)| name).join(", ")
}

impl Limits {
    /// The value of a limit, in the unit of its name.
    pub fn get(&self, kind: LimitKind) -> u64 {
        let wide = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        match kind {
            LimitKind::Cpu => millis(self.cpu),
            LimitKind::Time => millis(self.time),
            LimitKind::Memory => wide(self.memory_bytes),
            LimitKind::Tables => wide(self.table_elements),
            LimitKind::Payload => wide(self.payload_bytes),
            LimitKind::HostCalls => u64::from(self.host_calls),
            LimitKind::Log => wide(self.log_bytes),
            LimitKind::Mailbox => wide(self.mailbox_length),
            LimitKind::StorageKeys => self.storage_keys,
        }
    }

    fn set(&mut self, kind: LimitKind, value: u64) {
        let size = usize::try_from(value).unwrap_or(usize::MAX);
        match kind {
            LimitKind::Cpu => self.cpu = Duration::from_millis(value),
            LimitKind::Time => self.time = Duration::from_millis(value),
            LimitKind::Memory => self.memory_bytes = size,
            LimitKind::Tables => self.table_elements = size,
            LimitKind::Payload => self.payload_bytes = size,
            LimitKind::HostCalls => self.host_calls = u32::try_from(value).unwrap_or(u32::MAX),
            LimitKind::Log => self.log_bytes = size,
            LimitKind::Mailbox => self.mailbox_length = size,
            LimitKind::StorageKeys => self.storage_keys = value,
        }
    }

    /// These defaults with a type's own wishes on top, each within the operator's bounds.
    ///
    /// # Errors
    /// [`LimitError`] names the wish that cannot be granted.
    pub fn granting<'a>(
        &self,
        wishes: impl IntoIterator<Item = (&'a str, u64)>,
        bounds: &Self,
    ) -> Result<Self, LimitError> {
        let mut granted = self.clone();
        for (name, asked) in wishes {
            let (kind, _) = LimitKind::ALL
                .into_iter()
                .find(|(_, known)| *known == name)
                .ok_or_else(|| LimitError::Unknown(name.into()))?;
            let bound = bounds.get(kind);
            if asked == 0 || asked > bound {
                return Err(LimitError::Bound { name: name.into(), asked, bound });
            }
            granted.set(kind, asked);
        }
        Ok(granted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_parse_back_and_the_first_is_the_default() {
        for word in Durability::WORDS {
            assert_eq!(Durability::from_word(word).unwrap().as_str(), *word);
        }
        assert_eq!(Durability::default().as_str(), Durability::WORDS[0]);
        assert_eq!(Encoding::default().as_str(), Encoding::WORDS[0]);
        assert_eq!(Mode::from_word("readonly"), None);
    }

    #[test]
    fn wishes_within_the_bounds_are_granted() {
        let defaults = Limits::default();
        for (kind, name) in LimitKind::ALL {
            let granted = defaults.granting([(name, 7)], &defaults).unwrap();
            assert_eq!(granted.get(kind), 7, "{name}");
        }
    }

    #[test]
    fn wishes_beyond_the_bounds_are_refused_by_name() {
        let defaults = Limits::default();
        for (kind, name) in LimitKind::ALL {
            for asked in [0, defaults.get(kind) + 1] {
                let error = defaults.granting([(name, asked)], &defaults).unwrap_err();
                assert!(error.to_string().contains(name), "{error}");
            }
        }
        let error = defaults.granting([("cpu", 1)], &defaults).unwrap_err();
        assert!(error.to_string().contains("cpu_ms"), "{error}");
    }
}
