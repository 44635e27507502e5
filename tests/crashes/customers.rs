//! Who makes keyed requests while the node is killed: a customer of each account, and some who ask
//! the chain, each with one request under way.

use std::{sync::Arc, time::Duration};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    keyed::{ACCOUNTS, Answered, Request, Said, Wish},
    site::Site,
};

/// Who ask the chain.
const OF_CHAIN: usize = 2;
/// Amounts are so large that two of them are hardly ever the same.
const AMOUNT_MAX: i64 = 1 << 32;
/// Of so many requests one has so little time that it is often made again while its first call runs.
const IMPATIENT_ONE_OF: u32 = 4;
const IMPATIENT: Duration = Duration::from_millis(50);
/// The others are made again by the gate alone.
pub(crate) const PATIENT: Duration = Duration::from_secs(20);

/// Customers at work.
#[derive(Debug)]
pub(crate) struct Customers(JoinSet<Answers>);

/// What customers have come to.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) answered: Vec<Answered>,
    /// So often a request had to be made again.
    pub(crate) again: u64,
}

struct Customer {
    site: Arc<Site>,
    /// None: of the chain.
    account: Option<usize>,
    /// As it was last answered.
    balance: Option<i64>,
    dice: StdRng,
}

impl Customers {
    /// Sets them to work.
    pub(crate) fn begin(site: &Arc<Site>, end: &CancellationToken, dice: &mut StdRng) -> Self {
        let mut customers = JoinSet::new();
        let accounts = (0..ACCOUNTS).map(Some);
        for account in accounts.chain([None; OF_CHAIN]) {
            let (site, dice) = (Arc::clone(site), StdRng::seed_from_u64(dice.random()));
            let customer = Customer { site, account, balance: None, dice };
            customers.spawn(customer.work(end.clone()));
        }
        Self(customers)
    }

    /// All requests, once each is answered.
    pub(crate) async fn all(self) -> Answers {
        self.0.join_all().await.into_iter().fold(Answers::default(), |mut all, mut one| {
            all.answered.append(&mut one.answered);
            all.again += one.again;
            all
        })
    }
}

impl Customer {
    async fn work(mut self, end: CancellationToken) -> Answers {
        let mut answers = Answers::default();
        while !end.is_cancelled() {
            let wish = self.wish();
            let is_impatient = self.dice.random_ratio(1, IMPATIENT_ONE_OF);
            let timeout = if is_impatient { IMPATIENT } else { PATIENT };
            let request = Request::new(wish, &mut self.dice);
            let (answered, times) = request.ask(&self.site, timeout).await;
            self.balance = match answered.said() {
                Ok(Said::Done(balance) | Said::TooLittle(balance)) => Some(balance),
                // Whoever reads the answer finds it.
                Err(_) => None,
            };
            answers.answered.push(answered);
            answers.again += times - 1;
        }
        answers
    }

    fn wish(&mut self) -> Wish {
        let amount = self.dice.random_range(1..AMOUNT_MAX);
        match (self.account, self.balance, self.dice.random_range(0..6)) {
            (None, ..) => Wish::Chain { amount },
            // A little more than there is: soon after there will be as much.
            (Some(account), Some(balance), 0) => {
                Wish::Withdraw { account, amount: balance + amount }
            }
            (Some(from), _, 1..=3) => {
                let to = (from + self.dice.random_range(1..ACCOUNTS)) % ACCOUNTS;
                Wish::Transfer { from, to, amount: 1 + amount / 2 }
            }
            (Some(account), ..) => Wish::Deposit { account, amount },
        }
    }
}
