//! Keyed storage of a durable object: values that are read and written one by one, for objects too
//! large to be one state. What a turn writes is kept or dropped with the turn.

use std::{fmt, marker::PhantomData};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Context, Error, Link, Result, codec};

/// Keys that are asked for at once.
const PAGE: u32 = 1000;

/// The storage of the object whose turn runs. For durable types, in `activate` and in methods;
/// elsewhere all of it is `denied`.
#[derive(Clone, Copy, Debug)]
pub struct Storage<'a> {
    link: &'a Link,
}

impl<'a> Storage<'a> {
    pub(crate) fn new(link: &'a Link) -> Self {
        Self { link }
    }

    /// The value under a key; none: there is no such key.
    ///
    /// # Errors
    /// `internal` if it is no `T`.
    pub fn get<T: DeserializeOwned>(self, key: &str) -> Result<Option<T>> {
        self.link.storage_get(key)?.map(|value| codec::decode(&value)).transpose()
    }

    /// Puts a value under a key of 1 to 1024 bytes, whatever was there.
    ///
    /// # Errors
    /// `denied` in a read-only turn.
    pub fn set(self, key: &str, value: &(impl Serialize + ?Sized)) -> Result<()> {
        self.link.storage_set(key, &codec::encode(value)?)
    }

    /// Removes a key; nothing is wrong if it is not there.
    ///
    /// # Errors
    /// `denied` in a read-only turn.
    pub fn remove(self, key: &str) -> Result<()> {
        self.link.storage_delete(key)
    }

    /// Keys that begin with `prefix` and come after `after`, in the order of their bytes, with their
    /// values, `limit` at most. There may be more, however few came: the end is an empty list.
    ///
    /// # Errors
    /// `internal` if a value is no `T`.
    pub fn scan<T: DeserializeOwned>(
        self,
        prefix: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<(String, T)>> {
        let page = self.link.storage_scan(prefix, after, limit)?;
        page.into_iter().map(|(key, value)| Ok((key, codec::decode(&value)?))).collect()
    }
}

/// A key of a [`Map`], as text whose bytes have the order of the keys.
pub trait StorageKey: Sized {
    /// The key as text.
    fn to_key(&self) -> String;

    /// The key that a text is; none: it is no such key.
    fn from_key(text: &str) -> Option<Self>;
}

impl StorageKey for String {
    fn to_key(&self) -> String {
        self.clone()
    }

    fn from_key(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl StorageKey for u64 {
    fn to_key(&self) -> String {
        format!("{self:020}")
    }

    fn from_key(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// A map in keyed storage, by a name that no other collection of the object has.
///
/// ```
/// # use wasmverse_sdk::{Map, Context, Result};
/// const STOCK: Map<String, u32> = Map::new("stock");
///
/// fn take(ctx: &Context, item: String) -> Result<u32> {
///     let left = STOCK.get(ctx, &item)?.unwrap_or_default().saturating_sub(1);
///     STOCK.set(ctx, &item, &left)?;
///     Ok(left)
/// }
/// ```
pub struct Map<K, V> {
    name: &'static str,
    of: PhantomData<fn(K) -> V>,
}

impl<K, V> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Map({})", self.name)
    }
}

impl<K: StorageKey, V: Serialize + DeserializeOwned> Map<K, V> {
    /// The map of that name.
    pub const fn new(name: &'static str) -> Self {
        Self { name, of: PhantomData }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// As [`Storage::get`].
    pub fn get(&self, ctx: &Context, key: &K) -> Result<Option<V>> {
        ctx.storage().get(&self.key(key))
    }

    /// Puts a value, whatever was there.
    ///
    /// # Errors
    /// As [`Storage::set`].
    pub fn set(&self, ctx: &Context, key: &K, value: &V) -> Result<()> {
        ctx.storage().set(&self.key(key), value)
    }

    /// Removes a key.
    ///
    /// # Errors
    /// As [`Storage::remove`].
    pub fn remove(&self, ctx: &Context, key: &K) -> Result<()> {
        ctx.storage().remove(&self.key(key))
    }

    /// A page of the map, in the order of the keys as text: those after `after`, `limit` at most.
    /// The end is an empty page.
    ///
    /// # Errors
    /// As [`Storage::scan`].
    pub fn page(&self, ctx: &Context, after: Option<&K>, limit: u32) -> Result<Vec<(K, V)>> {
        let prefix = self.prefix();
        let after = after.map(|after| self.key(after)).unwrap_or_default();
        let page = ctx.storage().scan(&prefix, &after, limit)?;
        let own =
            |(key, value): (String, V)| Some((K::from_key(key.strip_prefix(&prefix)?)?, value));
        Ok(page.into_iter().filter_map(own).collect())
    }

    /// All of it: for maps that fit into memory.
    ///
    /// # Errors
    /// As [`Storage::scan`].
    pub fn all(&self, ctx: &Context) -> Result<Vec<(K, V)>> {
        let mut all: Vec<(K, V)> = Vec::new();
        loop {
            let page = self.page(ctx, all.last().map(|(key, _)| key), PAGE)?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    fn prefix(&self) -> String {
        format!("{}/", self.name)
    }

    fn key(&self, key: &K) -> String {
        format!("{}/{}", self.name, key.to_key())
    }
}

/// A list in keyed storage whose entries have sequence numbers from 1, by a name that no other
/// collection of the object has. Appending reads and writes the same little, however long it is.
///
/// ```
/// # use wasmverse_sdk::{Log, Context, Result};
/// const NOTES: Log<String> = Log::new("notes");
///
/// fn note(ctx: &Context, text: String) -> Result<u64> {
///     let seq = NOTES.append(ctx, &text)?;
///     NOTES.keep_latest(ctx, 1000)?;
///     Ok(seq)
/// }
/// ```
pub struct Log<T> {
    name: &'static str,
    of: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Log<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({})", self.name)
    }
}

impl<T: Serialize + DeserializeOwned> Log<T> {
    /// The log of that name.
    pub const fn new(name: &'static str) -> Self {
        Self { name, of: PhantomData }
    }

    /// Appends an entry: its sequence number.
    ///
    /// # Errors
    /// As [`Storage::set`].
    pub fn append(&self, ctx: &Context, entry: &T) -> Result<u64> {
        let (first, last) = self.bounds(ctx)?;
        let seq = last + 1;
        ctx.storage().set(&self.key(seq), entry)?;
        ctx.storage().set(self.name, &(first, seq))?;
        Ok(seq)
    }

    /// Fills a log that nothing was ever appended to with entries that were kept elsewhere: the
    /// first gets the number `first`, and what is appended next follows the last. For a type that
    /// moves a list out of its state when it wakes.
    ///
    /// ```
    /// # use wasmverse_sdk::{Log, Context, Result};
    /// const NOTES: Log<String> = Log::new("notes");
    ///
    /// /// Does nothing the second time.
    /// fn move_notes(ctx: &Context, notes: Vec<String>) -> Result<()> {
    ///     if NOTES.last(ctx)? == 0 { NOTES.fill(ctx, 1, &notes) } else { Ok(()) }
    /// }
    /// ```
    ///
    /// # Errors
    /// `invalid-argument` if there are entries or were some, or if `first` is 0; else as
    /// [`Storage::set`].
    pub fn fill(&self, ctx: &Context, first: u64, entries: &[T]) -> Result<()> {
        let name = self.name;
        if self.last(ctx)? > 0 {
            return Err(Error::invalid_argument(format!("the log {name} is in use already")));
        }
        let Some(mut last) = first.checked_sub(1) else {
            return Err(Error::invalid_argument("the entries of a log are numbered from 1"));
        };
        for entry in entries {
            last += 1;
            ctx.storage().set(&self.key(last), entry)?;
        }
        ctx.storage().set(name, &(first, last))
    }

    /// The entry of that number; none: there is none, or no more.
    ///
    /// # Errors
    /// As [`Storage::get`].
    pub fn get(&self, ctx: &Context, seq: u64) -> Result<Option<T>> {
        ctx.storage().get(&self.key(seq))
    }

    /// The sequence number of the latest entry; 0: there was none ever.
    ///
    /// # Errors
    /// As [`Storage::get`].
    pub fn last(&self, ctx: &Context) -> Result<u64> {
        Ok(self.bounds(ctx)?.1)
    }

    /// Entries after that number, the earliest first, `limit` at most; fewer, if they are large.
    /// The end is an empty list.
    ///
    /// # Errors
    /// As [`Storage::scan`].
    pub fn after(&self, ctx: &Context, seq: u64, limit: u32) -> Result<Vec<(u64, T)>> {
        let prefix = format!("{}/", self.name);
        let page = ctx.storage().scan(&prefix, &self.key(seq), limit)?;
        let own =
            |(key, entry): (String, T)| Some((u64::from_key(key.strip_prefix(&prefix)?)?, entry));
        Ok(page.into_iter().filter_map(own).collect())
    }

    /// The latest entries, the earliest first, `limit` at most.
    ///
    /// # Errors
    /// As [`Storage::scan`].
    pub fn latest(&self, ctx: &Context, limit: u32) -> Result<Vec<(u64, T)>> {
        let last = self.last(ctx)?;
        let mut seq = last.saturating_sub(u64::from(limit));
        let mut latest = Vec::new();
        while seq < last {
            let page = self.after(ctx, seq, limit)?;
            let Some((end, _)) = page.last() else { break };
            seq = *end;
            latest.extend(page);
        }
        Ok(latest)
    }

    /// Removes the earliest entries, so that no more than `count` are left.
    ///
    /// # Errors
    /// As [`Storage::remove`].
    pub fn keep_latest(&self, ctx: &Context, count: u64) -> Result<()> {
        let (first, last) = self.bounds(ctx)?;
        let kept = (last + 1).saturating_sub(count).max(first);
        if kept == first {
            return Ok(());
        }
        for seq in first..kept {
            ctx.storage().remove(&self.key(seq))?;
        }
        ctx.storage().set(self.name, &(kept, last))
    }

    /// The numbers of the first and the last entry.
    fn bounds(&self, ctx: &Context) -> Result<(u64, u64)> {
        Ok(ctx.storage().get(self.name)?.unwrap_or((1, 0)))
    }

    fn key(&self, seq: u64) -> String {
        format!("{}/{}", self.name, seq.to_key())
    }
}
