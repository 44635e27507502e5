//! The objects that are called in a trial, and what is held against each of them at its end.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    calls::{Call, Deed, Outcome},
    history::{Step, What, check},
};

/// Objects that are called all the time, and objects that are called now and then, of each kind.
const HOT: usize = 6;
const COLD: usize = 120;
/// Pairs of a caller and whom it calls, of each kind.
const PAIRS: usize = 12;

/// The objects of a trial; others have never heard of them.
pub(crate) struct Objects {
    /// Counters: ones are added, without keys.
    pub(crate) counters: Vec<Arc<str>>,
    /// Lists: words are appended, under keys.
    pub(crate) lists: Vec<Arc<str>>,
    /// Volatile sums, and who adds to them by a call of its own.
    pub(crate) sums: Vec<(Arc<str>, Arc<str>)>,
    /// Durable ends of chains, and who begins these, under keys.
    pub(crate) chains: Vec<(Arc<str>, Arc<str>)>,
}

/// How an object is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    List,
    Sum,
    /// The end of a chain.
    Chain,
}

impl Objects {
    /// Those of the trial of that name; in each of these shards there is a counter that is called all
    /// the time, too.
    pub(crate) fn of(trial: &str, shards: &[u16]) -> Self {
        let of = |kind: &str, count| {
            let name = |number| Arc::from(format!("{kind}/{trial}-{number}"));
            (0..count).map(name).collect::<Vec<Arc<str>>>()
        };
        let pairs = |from: Vec<Arc<str>>, to: Vec<Arc<str>>| to.into_iter().zip(from).collect();
        let more = shards.iter().map(|shard| format!("Counter/shard#{shard}/{trial}").into());
        Self {
            counters: more.chain(of("Counter", HOT + COLD)).collect(),
            lists: of("Chameleon", HOT + COLD),
            sums: pairs(of("Caller", PAIRS), of("Tally", PAIRS)),
            chains: pairs(
                of("Chameleon", PAIRS).iter().map(|it| format!("{it}-head").into()).collect(),
                of("Chameleon", PAIRS).iter().map(|it| format!("{it}-tail").into()).collect(),
            ),
        }
    }

    /// The first of these, which are called all the time.
    pub(crate) fn hot(&self) -> impl Iterator<Item = (Kind, &Arc<str>)> {
        let more = self.counters.len() - HOT - COLD;
        let counters = self.counters[..more + HOT].iter().map(|object| (Kind::Counter, object));
        counters.chain(self.lists[..HOT].iter().map(|object| (Kind::List, object)))
    }

    /// All of which a history is kept.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Kind, &Arc<str>)> {
        let counters = self.counters.iter().map(|object| (Kind::Counter, object));
        let lists = self.lists.iter().map(|object| (Kind::List, object));
        let sums = self.sums.iter().map(|(end, _)| (Kind::Sum, end));
        let chains = self.chains.iter().map(|(end, _)| (Kind::Chain, end));
        counters.chain(lists).chain(sums).chain(chains)
    }
}

impl Kind {
    /// The method by which all that an object has is read.
    pub(crate) fn reader(self) -> &'static str {
        match self {
            Self::Counter | Self::Chain => "value",
            Self::List => "entries",
            Self::Sum => "total",
        }
    }
}

/// The id of an object that is named `Type/id`.
pub(crate) fn id(object: &str) -> &str {
    object.split_once('/').unwrap().1
}

/// What a caller of [`Objects::sums`] is asked for.
pub(crate) fn sum_by_way(sum: &str) -> Value {
    json!({ "tally": id(sum), "by": 1 })
}

/// What the head of a chain is asked for.
pub(crate) fn chain_to(tail: &str) -> Value {
    json!({ "type": "Chameleon", "id": id(tail), "method": "add", "argument": 1 })
}

/// What is wrong with an object: its calls are not of one history that ends with what it has.
pub(crate) fn wrong(kind: Kind, object: &str, calls: &[&Call], last: &Value) -> Option<String> {
    let told = |what: String| Some(format!("{object}: {what}"));
    let (steps, count) = match kind {
        Kind::List => {
            let words: Vec<_> = last.as_array().into_iter().flatten().map(word).collect();
            match of_list(calls, &words) {
                Ok(steps) => (steps, i64::try_from(words.len()).unwrap()),
                Err(what) => return told(what),
            }
        }
        Kind::Counter | Kind::Sum | Kind::Chain => {
            let steps = calls.iter().filter_map(|call| step(call, None)).collect();
            (steps, last.as_i64().unwrap_or_default())
        }
    };
    let what = check(&steps, count).err()?;
    let near: Vec<_> = steps.iter().filter(|step| is_near(step, what.place())).collect();
    told(format!("{what}; it ends with {count}; {near:?}"))
}

/// Whether a step tells why something is wrong at that place.
fn is_near(step: &Step, place: i64) -> bool {
    match step.what {
        What::Write(other) | What::Read(other) => (other - place).abs() <= 2,
        What::Perhaps => true,
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What a call was, if it may have done something.
fn step(call: &Call, place: Option<i64>) -> Option<Step> {
    let what = match (&call.outcome, &call.deed) {
        (_, Deed::Other) | (Outcome::Refused, _) | (Outcome::Unknown, Deed::Read) => return None,
        (Outcome::Done(place, _), Deed::Write(_)) => What::Write(*place),
        (Outcome::Done(seen, _), Deed::Read) => What::Read(*seen),
        (Outcome::Unknown, Deed::Write(_)) => place.map_or(What::Perhaps, What::Write),
    };
    let is_answered = call.outcome != Outcome::Unknown;
    let returned = if is_answered { call.returned } else { Duration::MAX };
    Some(Step { invoked: call.invoked, returned, what })
}

/// A list tells of each word whether and where it is.
fn of_list(calls: &[&Call], words: &[&str]) -> Result<Vec<Step>, String> {
    let mut places = HashMap::new();
    for (place, word) in (1_i64..).zip(words) {
        if let Some(before) = places.insert(*word, place) {
            return Err(format!("{word} is there twice, at {before} and {place}"));
        }
    }
    let mut steps = Vec::new();
    for call in calls {
        let place = match &call.deed {
            Deed::Write(Some(word)) => places.get(&**word).copied(),
            Deed::Write(None) | Deed::Read | Deed::Other => None,
        };
        match (&call.deed, &call.outcome) {
            (Deed::Write(word), Outcome::Done(told, _)) if place != Some(*told) => {
                return Err(format!("{word:?} was told {told}, and is at {place:?}"));
            }
            (Deed::Write(word), Outcome::Refused) if place.is_some() => {
                return Err(format!("{word:?} was refused, and is at {place:?}"));
            }
            (Deed::Write(_), Outcome::Unknown) if place.is_none() => continue,
            (Deed::Read, Outcome::Done(seen, Some(last))) if places.get(&**last) != Some(seen) => {
                let place = places.get(&**last);
                return Err(format!("{last} was read at {seen}, and is at {place:?}"));
            }
            _ => steps.extend(step(call, place)),
        }
    }
    Ok(steps)
}
