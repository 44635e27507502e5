//! The statements that write many rows at a time, in a few sizes.

pub(super) mod texts;

use std::sync::Arc;

use crate::prepared::{Kind, Prepared};

/// Rows per statement, largest first. Few sizes, so that the prepared statements are used again.
const SIZES: [usize; 8] = [128, 64, 32, 16, 8, 4, 2, 1];
/// Bytes in one statement; a row with more goes alone.
const STATEMENT_BYTES: usize = 8 << 20;
/// Tables of results.
const SPANS: i64 = 8;

/// What a statement does with its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Puts where there is none.
    New,
    /// Puts over a version.
    Changed,
    /// Puts over anything.
    Over,
    /// Counts the version up.
    Touched,
    /// Sets keys of storage.
    Set,
    /// Removes keys of storage.
    Unset,
    /// Looks for sends.
    Find,
    /// Removes sends.
    Settle,
    /// Adds sends.
    Send,
    /// Adds results to a span.
    Keep(i64),
}

impl Deed {
    /// Values of a row that its statement passes over: none, if it takes whole sizes only.
    pub(super) fn padding(self) -> Option<usize> {
        match self {
            Self::Changed => Some(12),
            Self::Touched => Some(5),
            Self::Find => Some(6),
            Self::Settle => Some(5),
            Self::Send => Some(10),
            Self::Keep(_) => Some(9),
            Self::New | Self::Over | Self::Set | Self::Unset => None,
        }
    }

    fn index(self) -> usize {
        match self {
            Self::New => 0,
            Self::Changed => 1,
            Self::Over => 2,
            Self::Touched => 3,
            Self::Set => 4,
            Self::Unset => 5,
            Self::Find => 6,
            Self::Settle => 7,
            Self::Send => 8,
            Self::Keep(span) => 9 + usize::try_from(span.rem_euclid(SPANS)).expect("a few"),
        }
    }

    /// None: it is done one by one, or not at all.
    pub(super) fn of(row: &Prepared) -> Option<Self> {
        match row.kind? {
            Kind::New => Some(Self::New),
            Kind::Changed(_) => Some(Self::Changed),
            Kind::Over => Some(Self::Over),
            Kind::Touched(_) => Some(Self::Touched),
            Kind::Deleted(_)
            | Kind::Buried
            | Kind::NeverThere
            | Kind::NeverThereBuried
            | Kind::Left
            | Kind::LeftAlive => None,
        }
    }
}

/// The statements of every deed and size.
pub(super) struct Statements(Vec<[Arc<str>; SIZES.len()]>);

impl Statements {
    pub(super) fn new() -> Self {
        let texts = [
            texts::insert,
            texts::update,
            texts::upsert,
            texts::touch,
            texts::set,
            texts::unset,
            texts::find,
            texts::settle,
            texts::send,
        ];
        let texts = texts.map(|text: fn(usize) -> String| SIZES.map(|rows| text(rows).into()));
        let spans = (0..SPANS).map(|span| SIZES.map(|rows| texts::keep(span, rows).into()));
        Self(texts.into_iter().chain(spans).collect())
    }

    /// The statement for as many rows as it takes of those that weigh this much, how many these are,
    /// and how many are to be filled up with [`Deed::padding`].
    pub(super) fn fitting(
        &self,
        deed: Deed,
        weights: impl Iterator<Item = usize>,
    ) -> (Arc<str>, usize, usize) {
        let mut bytes = 0;
        let within = weights.take_while(|weight| {
            bytes += weight;
            bytes <= STATEMENT_BYTES
        });
        let rows = within.take(SIZES[0]).count().max(1);
        // Each statement is a way to the database's thread and back: rather one that is too large.
        let (fits, taken) = match deed.padding() {
            Some(_) => (SIZES.iter().rposition(|size| *size >= rows), rows),
            None => {
                let fits = SIZES.iter().position(|size| *size <= rows);
                (fits, fits.map_or(1, |fits| SIZES[fits]))
            }
        };
        let fits = fits.expect("one row fits, and no more than the largest were taken");
        (Arc::clone(&self.0[deed.index()][fits]), taken, SIZES[fits] - taken)
    }
}
