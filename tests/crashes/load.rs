//! Who calls while the node is killed: several callers of each object, each with one call under
//! way, until they are told to end; and customers, whose requests are keyed.

use std::sync::Arc;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    customers::{Answers, Customers},
    site::{Fate, Site},
};

/// Callers of each object.
const CALLERS: usize = 2;
/// Amounts are so large that two of them are hardly ever the same, nor one the sum of others.
const AMOUNT_MAX: i64 = 1 << 32;

/// What callers do to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// State and storage are changed alike.
    CountTwice,
    Add,
    Deposit,
    Post,
}

/// Who is called.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) object: String,
    pub(crate) deed: Deed,
}

/// What a call was to do.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Amount(i64),
    Text(String),
}

/// A call, and what its caller knows of it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The number of the target.
    pub(crate) target: usize,
    pub(crate) effect: Effect,
    pub(crate) fate: Fate,
    pub(crate) answer: Value,
}

/// The user who posts: it joins without a session.
pub(crate) const POSTER: &str = "poster";

impl Deed {
    fn method(self) -> &'static str {
        match self {
            Self::CountTwice => "count_twice",
            Self::Add => "add",
            Self::Deposit => "deposit",
            Self::Post => "send_message",
        }
    }
}

impl Effect {
    fn argument(&self) -> Value {
        match self {
            Self::Amount(amount) => json!(amount),
            Self::Text(text) => json!({ "user": POSTER, "text": text }),
        }
    }
}

/// All who are called: a few of each kind.
pub(crate) fn targets() -> Vec<Target> {
    let of = |kind: &str, deed, count: usize| {
        (0..count).map(move |n| Target { object: format!("{kind}/{n}"), deed }).collect::<Vec<_>>()
    };
    let chameleons = of("Chameleon", Deed::CountTwice, 3);
    let numbers = [of("Counter", Deed::Add, 2), of("BankAccount", Deed::Deposit, 2)];
    let rooms = of("ChatRoom", Deed::Post, 2);
    [chameleons, numbers.concat(), rooms].concat()
}

/// Callers at work.
pub(crate) struct Load {
    end: CancellationToken,
    callers: JoinSet<Vec<Asked>>,
    customers: Customers,
}

impl Load {
    /// Sets callers to work.
    pub(crate) fn begin(site: &Arc<Site>, targets: &[Target], dice: &mut StdRng) -> Self {
        let (end, mut callers) = (CancellationToken::new(), JoinSet::new());
        for (number, target) in targets.iter().enumerate() {
            for _ in 0..CALLERS {
                let caller = Caller {
                    site: Arc::clone(site),
                    number,
                    target: target.clone(),
                    dice: StdRng::seed_from_u64(dice.random()),
                };
                callers.spawn(caller.work(end.clone()));
            }
        }
        let customers = Customers::begin(site, &end, dice);
        Self { end, callers, customers }
    }

    /// No more calls; those under way may go on.
    pub(crate) fn end(&self) {
        self.end.cancel();
    }

    /// All calls and all keyed requests, once none is under way.
    pub(crate) async fn all(self) -> (Vec<Asked>, Answers) {
        self.end.cancel();
        let (asked, answers) = tokio::join!(self.callers.join_all(), self.customers.all());
        (asked.concat(), answers)
    }
}

struct Caller {
    site: Arc<Site>,
    number: usize,
    target: Target,
    dice: StdRng,
}

impl Caller {
    async fn work(mut self, end: CancellationToken) -> Vec<Asked> {
        let mut asked = Vec::new();
        while !end.is_cancelled() {
            let effect = match self.target.deed {
                Deed::Post => Effect::Text(format!("{:032x}", self.dice.random::<u128>())),
                Deed::CountTwice | Deed::Add | Deed::Deposit => {
                    Effect::Amount(self.dice.random_range(1..AMOUNT_MAX))
                }
            };
            let Target { object, deed } = &self.target;
            let (answer, fate) = self.site.try_call(object, deed.method(), effect.argument()).await;
            asked.push(Asked { target: self.number, effect, fate, answer });
        }
        asked
    }
}
