//! Calls of clients, as they are kept: what was asked of which object, when, and what its caller was
//! told.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use wasmverse_tests::fleet::doors::{Ask, Doors, Said};

/// How long a call may take that has no key: as long as the gate lets it by default.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Who has a key is patient.
const KEYED_TIMEOUT: Duration = Duration::from_secs(60);
/// Until a caller whose gate is gone goes to another.
const PAUSE: Duration = Duration::from_millis(20);

/// What was asked of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// The next place is taken; of a list, with this word.
    Write(Option<String>),
    /// The places that are taken are counted.
    Read,
    /// Whatever else.
    Other,
}

/// What its caller was told in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The place that was taken, or how many are; and the last word, if it was read.
    Done(i64, Option<String>),
    /// It was surely not executed.
    Refused,
    Unknown,
}

/// A call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) object: Arc<str>,
    pub(crate) deed: Deed,
    pub(crate) is_keyed: bool,
    /// Since the load began.
    pub(crate) invoked: Duration,
    pub(crate) returned: Duration,
    pub(crate) outcome: Outcome,
    /// What gates said that did not do it: the name of the error, and its text.
    pub(crate) failures: Vec<(String, String)>,
    /// So often the gate was not there, or went away.
    pub(crate) breaks: u32,
}

/// Who calls: through all gates, the one or the other.
pub(crate) struct Client {
    pub(crate) doors: Arc<Doors>,
    pub(crate) began: Instant,
    pub(crate) dice: StdRng,
}

/// What is to be called.
pub(crate) struct Wish<'a> {
    pub(crate) object: &'a Arc<str>,
    pub(crate) method: &'a str,
    pub(crate) argument: Value,
    pub(crate) deed: Deed,
    pub(crate) is_keyed: bool,
}

impl Client {
    /// Another one, whose choices are its own.
    pub(crate) fn another(&mut self) -> Self {
        let dice = StdRng::seed_from_u64(self.dice.random());
        Self { doors: Arc::clone(&self.doors), began: self.began, dice }
    }

    /// Makes a call: one with a key until it is done, one without again only where it was surely not
    /// heard of, since there was no gate.
    pub(crate) async fn make(&mut self, wish: Wish<'_>) -> Call {
        let Wish { object, method, argument, deed, is_keyed } = wish;
        let key = is_keyed.then(|| format!("{:032x}", self.dice.random::<u128>()));
        let timeout = if is_keyed { KEYED_TIMEOUT } else { TIMEOUT };
        let ask = Ask { object, method, argument: &argument, key: key.as_deref(), timeout };
        let (invoked, mut failures, mut breaks) = (self.began.elapsed(), Vec::new(), 0);
        let mut worst = Outcome::Refused;
        let outcome = loop {
            let door = self.dice.random_range(0..self.doors.count());
            let said = self.doors.open_from(door).ask(ask).await;
            let is_unreached = said == Said::Unreached;
            match said {
                Said::Value(value) => break done(&value),
                Said::Refused(code, message) => failures.push((code, message)),
                Said::Unknown(code, message) => {
                    failures.push((code, message));
                    worst = Outcome::Unknown;
                }
                Said::Unreached => breaks += 1,
                Said::Broken => {
                    breaks += 1;
                    worst = Outcome::Unknown;
                }
            }
            let is_again = is_keyed || is_unreached;
            if !is_again || self.began.elapsed() > invoked + 2 * KEYED_TIMEOUT {
                break worst;
            }
            tokio::time::sleep(PAUSE).await;
        };
        let returned = self.began.elapsed();
        let object = Arc::clone(object);
        Call { object, deed, is_keyed, invoked, returned, outcome, failures, breaks }
    }
}

/// A number is a place, and a message has one; a list is as long as it is, and ends with a word;
/// anything else tells nothing.
fn done(value: &Value) -> Outcome {
    let Some(list) = value.as_array() else {
        let place = value.as_i64().or_else(|| value["seq"].as_i64());
        return Outcome::Done(place.unwrap_or_default(), None);
    };
    let length = i64::try_from(list.len()).unwrap();
    Outcome::Done(length, list.last().and_then(Value::as_str).map(ToOwned::to_owned))
}
